/* Sleeping on an int, 0 at first, that another thread sets: the sleeper is up at once. */
#ifndef SW_BASE_WAKE_H
#define SW_BASE_WAKE_H

/* Sets it to 1 and wakes who sleeps on it. What was done before is seen by who then reads it with
 * acquire. A signal handler may call this. */
void sw_wake_set(int *wake);

/* Returns when *wake is not 0, and after `seconds` at the latest, or earlier for no reason. */
void sw_wake_sleep(const int *wake, double seconds);

#endif

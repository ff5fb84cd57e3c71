/* Who sleeps on an int is up when another thread sets it. */
#include "base/clock.h"
#include "base/wake.h"
#include "unit.h"

#include <pthread.h>
#include <time.h>

#define LONG_S 300 /* a sleep that nobody ends */
#define SOON_S 150

static void *set_soon(void *wake)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    sw_wake_set(wake);
    return NULL;
}

static void another_thread_ends_a_sleep(void)
{
    int wake = 0;
    pthread_t thread;
    const double begin = sw_clock();
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, set_soon, &wake), 0);
    while (!__atomic_load_n(&wake, __ATOMIC_ACQUIRE))
        sw_wake_sleep(&wake, LONG_S);
    CU_ASSERT(sw_clock() - begin < SOON_S);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(wake, 1);
}

static void what_is_set_is_not_slept_on(void)
{
    int wake = 0;
    const double begin = sw_clock();
    sw_wake_set(&wake);
    sw_wake_sleep(&wake, LONG_S);
    CU_ASSERT(sw_clock() - begin < SOON_S);
}

static void a_sleep_ends_by_itself(void)
{
    const int wake = 0;
    const double begin = sw_clock();
    sw_wake_sleep(&wake, 0.01);
    CU_ASSERT(sw_clock() - begin < SOON_S);
}

SW_UNIT_TESTS({"another thread ends a sleep", another_thread_ends_a_sleep},
              {"what is set is not slept on", what_is_set_is_not_slept_on},
              {"a sleep ends by itself", a_sleep_ends_by_itself})

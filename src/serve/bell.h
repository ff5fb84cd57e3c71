/* Wakes a thread that sleeps in poll. Any thread rings; many rings before an answer are one. */
#ifndef SW_SERVE_BELL_H
#define SW_SERVE_BELL_H

struct sw_bell {
    int fd;      /* to poll for input; -1: not open */
    int is_rung; /* atomic */
};

/* -1, and fd -1, for want of descriptors. */
int sw_bell_open(struct sw_bell *bell);

/* What was done before this is seen by the thread after its next sw_bell_answer. */
void sw_bell_ring(struct sw_bell *bell);

/* By the thread that polls, when it was woken and before it looks for what there is to do. */
void sw_bell_answer(struct sw_bell *bell);

void sw_bell_close(struct sw_bell *bell);

#endif

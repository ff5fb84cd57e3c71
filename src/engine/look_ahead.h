/*
 * Whether it pays to read experts that are only expected to be chosen. The disk has the time for it
 * in which the layer before is computed. Of what is read ahead and then chosen that much is gained;
 * what is not chosen holds up others by what takes longer. That is judged by guesses: while it is
 * off, some are only compared with what is chosen, and nothing is read for them.
 */
#ifndef SW_ENGINE_LOOK_AHEAD_H
#define SW_ENGINE_LOOK_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#define SW_LOOK_AHEAD_JUDGED 64  /* guessed experts after which it is judged */
#define SW_LOOK_AHEAD_EACH 4     /* while it is off, one choice of so many is guessed */
#define SW_LOOK_AHEAD_MARGIN 0.1 /* so many more have to be right than would just do */

/* All zeros at first, and off. */
struct sw_look_ahead {
    bool is_on;
    int64_t choices;
    int64_t right, wrong;           /* guessed since it was judged last */
    double idle;                    /* seconds of the disk for them */
    int64_t read_right, read_wrong; /* of what was read ahead, in all */
};

/* Whether to guess the next choice; counts it. */
bool sw_look_ahead_wanted(struct sw_look_ahead *l);
/* Of the experts that were guessed and not at hand so many were chosen, and so many were not. idle:
 * seconds from the guess to the choice in which nobody waited for the disk; each: seconds that an
 * expert takes to be read. */
void sw_look_ahead_judge(struct sw_look_ahead *l, int right, int wrong, double idle, double each);

#endif

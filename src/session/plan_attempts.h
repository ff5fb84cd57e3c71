/*
 * In which order plans are tried until one fits, for sessions and for the verb `plan`: with all
 * layers in memory before some stay on disk, as the disk is far slower; and each of the two with
 * the usual context before no more than the positions that a request needs.
 */
#ifndef SW_SESSION_PLAN_ATTEMPTS_H
#define SW_SESSION_PLAN_ATTEMPTS_H

#include "base/status.h"

#include <stdbool.h>

struct sw_plan_attempt {
    bool disk;   /* layers may stay on disk */
    int context; /* in place of the usual one; 0: the usual one */
    bool last;   /* nothing is tried after it, so what it says about a shortage is printed */
};

/* Makes one plan; SW_ENOFIT: the next attempt follows. */
typedef enum sw_status sw_plan_attempt_make(void *user, const struct sw_plan_attempt *attempt);

/*
 * Tries until a plan fits or fails in another way than SW_ENOFIT, whose message is the last
 * attempt's. `usual`: positions of the usual context; `needed`: those of a request, 0 where the
 * context is not to be changed; `disk`: whether there is one. Logs that the context became shorter.
 */
enum sw_status sw_plan_attempts(int usual, int needed, bool disk, sw_plan_attempt_make *make,
                                void *user);

#endif

/* Owns the order in which plans are tried: memory before disk, the usual context before a short
 * one. */
#include "session/plan_attempts.h"

#include "base/log.h"

enum sw_status sw_plan_attempts(int usual, int needed, bool disk, sw_plan_attempt_make *make,
                                void *user)
{
    const bool shorter = needed > 0 && needed < usual;
    const int contexts = 1 + shorter, attempts = (1 + disk) * contexts;
    enum sw_status status = SW_ENOFIT;
    for (int i = 0; i < attempts && status == SW_ENOFIT; i++) {
        const struct sw_plan_attempt attempt = {
            .disk = i >= contexts, .context = i % contexts ? needed : 0, .last = i + 1 == attempts};
        status = make(user, &attempt);
        if (status == SW_OK && attempt.context > 0)
            sw_log(SW_LOG_INFO, "memory is short: room for %d positions, not for %d", needed,
                   usual);
        if (status == SW_OK)
            sw_error_clear(); /* of attempts that do not fit */
    }
    return status;
}

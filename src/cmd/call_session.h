/* What the verbs that compute share: a session with the settings of the command line. */
#ifndef SW_CMD_CALL_SESSION_H
#define SW_CMD_CALL_SESSION_H

#include "cmd/options.h"
#include "sample/sampler.h"
#include "session/session.h"

#include <signal.h>

/*
 * The settings of the command line; they borrow from `call` and *slices, which the caller frees
 * (NULL without --slices). SW_EUSAGE when an option is not valid.
 */
enum sw_status sw_call_settings(const struct sw_call *call, int **slices,
                                struct sw_session_settings *out);
/* The sampling of --temperature, --top-k and the like; not checked. */
struct sw_sampling sw_call_sampling(const struct sw_options *o);
/*
 * The whole life of a verb that computes. Opens the session on every rank; on rank 0 runs `drive`,
 * which starts the session, works, stops it and reports; on the others runs the worker's part;
 * ends the job.
 */
enum sw_status sw_call_run(struct sw_call *call,
                           enum sw_status (*drive)(struct sw_call *call, struct sw_session *s));
/*
 * stop_signals.c: from now on the signals TERM, INT, USR1 and HUP (unless under nohup) set this
 * flag instead of ending the process. Every wait of a transport that has the flag then ends with
 * SW_EINTERRUPTED.
 */
const volatile sig_atomic_t *sw_stop_catch(void);
/*
 * For a verb that ends in order: the signals set *asked, and the flag that is returned is only set
 * when the verb has not ended some seconds after `grace_s`, or by another TERM or INT.
 */
const volatile sig_atomic_t *sw_stop_catch_late(double grace_s,
                                                const volatile sig_atomic_t **asked);

#endif

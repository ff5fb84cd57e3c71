/* What `score --perplexity` and `compare` share: a text in windows through a session's model. */
#ifndef SW_CMD_TEXT_PASS_H
#define SW_CMD_TEXT_PASS_H

#include "cmd/options.h"
#include "engine/driver.h"
#include "jobs/perplexity.h"
#include "session/session.h"

/* Reads the file `path` ("-": standard input) whole; the caller frees *text. SW_EINPUT, SW_EIO. */
enum sw_status sw_text_pass_read(const char *path, char **text, size_t *n);
/* Ids of a window: --context, else the usual ones or what the model has room for. */
int sw_text_pass_window(const struct sw_options *options, const struct sw_model *model);

struct sw_text_pass {
    const char *what; /* for progress: "score", "compare, A" */
    const struct sw_options *options;
    const struct sw_text_windows *windows;
    /* One window at a time and in order, with these callbacks; NULL: as many as the pipeline
     * uses, without callbacks. */
    const struct sw_driver_hooks *hooks;
    /* Called when all windows are through and the model still runs; may be NULL. */
    enum sw_status (*finish)(void *context);
    void *context;
    /* out */
    struct sw_mean nll; /* of the windows done, also after a failure */
    double seconds;     /* without loading */
};

/* On rank 0: starts the session, runs all windows, stops it. */
enum sw_status sw_text_pass_run(struct sw_text_pass *pass, struct sw_session *session);

#endif

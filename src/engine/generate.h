/* Generates one sequence on rank 0. The engine runs nothing else meanwhile. */
#ifndef SW_ENGINE_GENERATE_H
#define SW_ENGINE_GENERATE_H

#include "base/strbuf.h"
#include "engine/driver.h"

struct sw_generate {
    const int32_t *prompt; /* (n_prompt) ids; of an encoder-decoder the source */
    int n_prompt;
    int max_new; /* most tokens to generate */
    int context; /* positions that the slot has room for */
    int chunk;   /* most prompt tokens of a micro-batch */
    struct sw_sampling sampling;
    struct sw_steering steering;
    const struct sw_strbuf *tokens; /* as of struct sw_scheduler_options, for a grammar */
    /* Called with each new token, in order; sets *stop to end the text after this token. */
    enum sw_status (*token)(void *context_of_caller, const struct sw_sampled *token, bool *stop);
    void *context_of_caller;
    /* Results. */
    int n_new;        /* tokens generated */
    double prompt_s;  /* seconds until the first token */
    double decode_s;  /* seconds from the first token to the last */
    bool out_of_room; /* generation ended because the context was full */
};

/* SW_EINPUT when the prompt is empty or leaves no room for a token, or no token goes on as the
 * grammar wants. */
enum sw_status sw_generate(struct sw_driver *driver, struct sw_generate *g);
/*
 * Runs n ids through slot 0, from position 0, in chunks; every row is sampled, and the results are
 * dropped. For callers that take the values by sw_driver_hooks. source: rows of the source that was
 * encoded before, of an encoder-decoder; else 0.
 */
enum sw_status sw_prefill(struct sw_driver *driver, int source, const int32_t *ids, int n,
                          int chunk);
/* Runs n ids, at most a micro-batch, through the encoder, for slot 0 to attend to. */
enum sw_status sw_encode_source(struct sw_driver *driver, const int32_t *ids, int n);

#endif

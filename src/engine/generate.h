/* One sequence from prompt to end, over an engine on rank 0 that does nothing else meanwhile. */
#ifndef SW_ENGINE_GENERATE_H
#define SW_ENGINE_GENERATE_H

#include "engine/engine.h"

struct sw_generate {
    const int32_t *prompt; /* (n_prompt) */
    int n_prompt;
    int max_new; /* tokens */
    int context; /* positions there is room for */
    int chunk;   /* prompt tokens a batch, at most */
    struct sw_sampling sampling;
    /* Told of each new token, in order; sets *stop to end the text after it. */
    enum sw_status (*token)(void *context_of_caller, const struct sw_sampled *token, bool *stop);
    void *context_of_caller;
    /* out */
    int n_new;
    double prompt_s;  /* until the first token was known */
    double decode_s;  /* from then until the last */
    bool out_of_room; /* ended because the context was full */
};

/* SW_EINPUT: the prompt is empty or leaves no room for a token. */
enum sw_status sw_generate(struct sw_engine *engine, struct sw_generate *g);
/* Feeds ids at positions from 0 of slot 0 in chunks, outputs about every row, and drops the
 * results: for sw_engine_hooks. */
enum sw_status sw_prefill(struct sw_engine *engine, const int32_t *ids, int n, int chunk);

#endif

/* Owns the generation of a single sequence: a scheduler with one request, and its times. */
#include "engine/generate.h"

#include "base/clock.h"
#include "engine/scheduler.h"
#include "grammar/guide.h"
#include "sample/sampler.h"

struct single_request {
    struct sw_generate *g;
    double start, first; /* sw_clock when the prompt was submitted; when the first token came */
};

static enum sw_status generate_on_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct single_request *a = owner;
    struct sw_generate *g = a->g;
    if (g->n_new++ == 0) {
        a->first = sw_clock();
        g->prompt_s = a->first - a->start;
    }
    SW_TRY(g->token(g->context_of_caller, token, stop));
    g->decode_s = sw_clock() - a->first;
    return SW_OK;
}

static enum sw_status generate_on_end(void *owner, enum sw_finish finish)
{
    const struct single_request *a = owner;
    a->g->out_of_room = finish == SW_FINISH_CONTEXT;
    return finish == SW_FINISH_UNDEFINED ? sw_logits_undefined()
           : finish == SW_FINISH_STUCK   ? sw_guide_stuck()
                                         : SW_OK;
}

enum sw_status sw_generate(struct sw_driver *driver, struct sw_generate *g)
{
    const struct sw_scheduler_options options = {.driver = driver,
                                                 .slots = 1,
                                                 .context = g->context,
                                                 .max_batch_tokens = g->chunk,
                                                 .tokens = g->tokens};
    struct single_request single = {.g = g};
    struct sw_request request = {.max_new = g->max_new,
                                 .sampling = g->sampling,
                                 .steering = g->steering,
                                 .token = generate_on_token,
                                 .done = generate_on_end,
                                 .owner = &single};
    sw_request_prompt(&request, sw_driver_start(driver), g->prompt, g->n_prompt);
    struct sw_scheduler *scheduler;
    g->n_new = 0;
    g->prompt_s = g->decode_s = 0;
    g->out_of_room = false;
    SW_TRY(sw_scheduler_open(&options, &scheduler));
    enum sw_status status = sw_scheduler_submit(scheduler, &request, NULL);
    single.start = sw_clock();
    while (status == SW_OK && !sw_scheduler_idle(scheduler))
        status = sw_scheduler_step(scheduler);
    sw_scheduler_close(scheduler);
    return status;
}

enum sw_status sw_encode_source(struct sw_driver *driver, const int32_t *ids, int n)
{
    struct sw_span span = {.slot = 0, .position = 0, .row = 0, .n = n};
    struct sw_row_outputs outputs = {n, n, 0, 0};
    const struct sw_microbatch batch = {.n_rows = n,
                                        .n_spans = 1,
                                        .end = sw_driver_encoder(driver),
                                        .spans = &span,
                                        .outputs = &outputs,
                                        .ids = (int32_t *)(uintptr_t)ids,
                                        .memory = &n};
    SW_TRY(sw_driver_submit(driver, &batch));
    return sw_driver_drain(driver);
}

enum sw_status sw_prefill(struct sw_driver *driver, int source, const int32_t *ids, int n,
                          int chunk)
{
    for (int at = 0; at < n; at += chunk) {
        const int m = n - at < chunk ? n - at : chunk;
        struct sw_span span = {.slot = 0, .position = at, .row = 0, .n = m};
        struct sw_row_outputs outputs = {0, 0, 0, 0};
        const struct sw_microbatch batch = {.n_rows = m,
                                            .n_spans = 1,
                                            .first = sw_driver_encoder(driver),
                                            .memory = &source,
                                            .spans = &span,
                                            .outputs = &outputs,
                                            .ids = (int32_t *)(uintptr_t)(ids + at)};
        SW_TRY(sw_driver_submit(driver, &batch));
    }
    return sw_driver_drain(driver);
}

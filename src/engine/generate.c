/* Owns the loop of one sequence. */
#include "engine/generate.h"

#include "base/clock.h"

/* Submits ids as one span of slot 0. */
static enum sw_status submit(struct sw_engine *engine, const int32_t *ids, int n, int64_t position,
                             enum sw_want want)
{
    struct sw_span span = {.slot = 0, .position = position, .row = 0, .n = n};
    unsigned char wanted = (unsigned char)want;
    const struct sw_batch batch = {.n_rows = n,
                                   .n_spans = 1,
                                   .spans = &span,
                                   .want = &wanted,
                                   .ids = (int32_t *)(uintptr_t)ids};
    return sw_engine_submit(engine, &batch);
}

/* All chunks but the last are wanted as `early`, the last as `last`; the last's results are left.
 */
static enum sw_status feed(struct sw_engine *engine, const int32_t *ids, int n, int chunk,
                           enum sw_want early, enum sw_want last, const struct sw_result **results,
                           int *n_results)
{
    int batches = 0;
    for (int at = 0; at < n; at += chunk, batches++) {
        const int m = n - at < chunk ? n - at : chunk;
        SW_TRY(submit(engine, ids + at, m, at, at + m < n ? early : last));
    }
    for (; batches > 0; batches--)
        SW_TRY(sw_engine_collect(engine, results, n_results));
    return SW_OK;
}

enum sw_status sw_feed(struct sw_engine *engine, const int32_t *ids, int n, int chunk,
                       enum sw_want want)
{
    const struct sw_result *results;
    int n_results;
    return feed(engine, ids, n, chunk, want, want, &results, &n_results);
}

enum sw_status sw_generate(struct sw_engine *engine, struct sw_generate *g)
{
    const struct sw_result *results;
    int n;
    bool stop = false;
    g->n_new = 0;
    g->prompt_s = g->decode_s = 0;
    g->out_of_room = false;
    if (g->n_prompt < 1)
        return sw_fail(SW_EINPUT, "the prompt is empty, and this model has no start token");
    if (g->n_prompt > g->context)
        return sw_fail(SW_EINPUT,
                       "the prompt has %d tokens, but there is room for %d; raise "
                       "--context",
                       g->n_prompt, g->context);
    if (g->max_new < 1)
        return SW_OK;
    SW_TRY(sw_engine_slot(engine, 0, &g->sampling));
    const double start = sw_clock();
    SW_TRY(feed(engine, g->prompt, g->n_prompt, g->chunk, SW_WANT_NOTHING, SW_WANT_LAST, &results,
                &n));
    const double first = sw_clock();
    g->prompt_s = first - start;
    for (;;) {
        const struct sw_sampled sampled = results[0].sampled;
        g->n_new++;
        SW_TRY(g->token(g->context_of_caller, &sampled, &stop));
        g->decode_s = sw_clock() - first;
        if (stop || g->n_new >= g->max_new)
            return SW_OK;
        const int64_t position = (int64_t)g->n_prompt + g->n_new - 1;
        if (position >= g->context) {
            g->out_of_room = true;
            return SW_OK;
        }
        SW_TRY(submit(engine, &sampled.id, 1, position, SW_WANT_LAST));
        SW_TRY(sw_engine_collect(engine, &results, &n));
    }
}

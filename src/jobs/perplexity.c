/* Owns running the windows of a text and summing their log-probabilities. */
#include "jobs/perplexity.h"

#include <math.h>
#include <stdlib.h>

void sw_mean_add(struct sw_mean *mean, double value)
{
    mean->sum += value;
    mean->squares += value * value;
    mean->count++;
}

double sw_mean_value(const struct sw_mean *mean)
{
    return mean->count > 0 ? mean->sum / (double)mean->count : 0;
}

double sw_mean_error(const struct sw_mean *mean)
{
    const double value = sw_mean_value(mean), n = (double)mean->count;
    const double variance = n > 0 ? mean->squares / n - value * value : 0;
    return n > 1 && variance > 0 ? sqrt(variance / (n - 1)) : 0;
}

struct window_run {
    struct perplexity_run *run;
    struct sw_mean nll;
    bool done;
};

struct perplexity_run {
    const struct sw_perplexity_options *options;
    struct window_run *windows; /* (options->windows->n) */
    int32_t *ids;               /* (size) of a window */
    size_t n_sent, n_done;
};

static enum sw_status window_scored(void *owner, int index, const struct sw_sampled *score,
                                    bool greedy)
{
    struct window_run *window = owner;
    (void)index;
    (void)greedy;
    sw_mean_add(&window->nll, -(double)score->logprob);
    return SW_OK;
}

static enum sw_status window_done(void *owner, enum sw_finish how)
{
    struct window_run *window = owner;
    if (how == SW_FINISH_UNDEFINED) {
        (void)sw_logits_undefined();
        sw_error_context("window %zu of the text", (size_t)(window - window->run->windows) + 1);
        return SW_EDEVICE;
    }
    window->done = true;
    window->run->n_done++;
    return SW_OK;
}

static enum sw_status window_submit(struct perplexity_run *run)
{
    const struct sw_text_windows *windows = run->options->windows;
    struct window_run *window = &run->windows[run->n_sent];
    window->run = run;
    sw_text_windows_get(windows, run->n_sent++, run->ids);
    const struct sw_request request = {.ids = run->ids,
                                       .n_ids = windows->size,
                                       .score_from = sw_text_windows_from(windows),
                                       .sampling = sw_sampling_default(),
                                       .scored = window_scored,
                                       .done = window_done,
                                       .owner = window};
    return sw_scheduler_submit(run->options->scheduler, &request, NULL);
}

static enum sw_status perplexity_steps(struct perplexity_run *run)
{
    const struct sw_perplexity_options *o = run->options;
    while (run->n_done < o->windows->n) {
        while (run->n_sent < o->windows->n && sw_scheduler_room(o->scheduler) > 0)
            SW_TRY(window_submit(run));
        SW_TRY(sw_scheduler_step(o->scheduler));
        SW_TRY(o->tick(o->context, run->n_done));
    }
    return SW_OK;
}

enum sw_status sw_perplexity_run(const struct sw_perplexity_options *options, struct sw_mean *out)
{
    const size_t n = options->windows->n;
    struct perplexity_run run = {.options = options};
    enum sw_status status = SW_OK;
    *out = (struct sw_mean){0};
    run.windows = calloc(n, sizeof *run.windows);
    run.ids = calloc((size_t)options->windows->size, sizeof *run.ids);
    if (run.windows && run.ids)
        status = perplexity_steps(&run);
    else
        status = sw_fail(SW_ENOMEM, "no memory for %zu windows", n);
    for (size_t i = 0; run.windows && i < n && run.windows[i].done; i++) {
        out->sum += run.windows[i].nll.sum;
        out->squares += run.windows[i].nll.squares;
        out->count += run.windows[i].nll.count;
    }
    free(run.windows);
    free(run.ids);
    return status;
}

/*
 * The perplexity of a text: its windows through the model, and the mean of the negative
 * log-probabilities of the ids that are scored. Sums are taken in the order of the text, so the
 * result does not depend on what was under way at once.
 */
#ifndef SW_JOBS_PERPLEXITY_H
#define SW_JOBS_PERPLEXITY_H

#include "engine/scheduler.h"
#include "jobs/text_windows.h"

/* Sums of a quantity and of its squares. */
struct sw_mean {
    double sum, squares;
    uint64_t count;
};
void sw_mean_add(struct sw_mean *mean, double value);
double sw_mean_value(const struct sw_mean *mean);
/* The standard error of the value; 0 for fewer than two. */
double sw_mean_error(const struct sw_mean *mean);

struct sw_perplexity_options {
    struct sw_scheduler *scheduler;
    const struct sw_text_windows *windows;
    /* Called after every step with the number of windows that are done. Its failure ends the
     * run. */
    enum sw_status (*tick)(void *context, size_t done);
    void *context;
};

/*
 * Runs all windows. *out: of the negative log-probabilities; also on failure, of the windows up to
 * the first that is not done. SW_EDEVICE: logits that are not finite.
 */
enum sw_status sw_perplexity_run(const struct sw_perplexity_options *options, struct sw_mean *out);

#endif

/* Owns `score --perplexity`: the perplexity of a text and its report. */
#include "cmd/score_perplexity.h"

#include "base/log.h"
#include "base/units.h"
#include "cmd/call_session.h"
#include "cmd/output.h"
#include "cmd/text_pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static enum sw_status perplexity_report(const struct sw_call *call, struct sw_session *s,
                                        const struct sw_text_pass *pass)
{
    const struct sw_text_windows *windows = pass->windows;
    const double nll = sw_mean_value(&pass->nll), error = sw_mean_error(&pass->nll);
    const double tokens = (double)windows->n * (double)windows->size;
    const double rate = pass->seconds > 0 ? tokens / pass->seconds : 0;
    if (!call->options.json) {
        char text[16];
        printf("perplexity %.4f ± %.4f\n", exp(nll), exp(nll) * error);
        sw_log(SW_LOG_INFO, "score: %llu of %zu tokens scored, in %zu windows of %d; %s tokens/s",
               (unsigned long long)pass->nll.count, windows->ids.count, windows->n, windows->size,
               sw_number_format(rate, text, sizeof text));
        return SW_OK;
    }
    return sw_json_print(
        json_pack("{s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:i, s:f, s:f, s:f, s:o, s:o}", "perplexity",
                  exp(nll), "perplexity_error", exp(nll) * error, "nll", nll, "nll_error", error,
                  "tokens", (json_int_t)windows->ids.count, "scored", (json_int_t)pass->nll.count,
                  "windows", (json_int_t)windows->n, "window", windows->size, "seconds",
                  pass->seconds, "tokens_per_s", rate, "load_s", s->load_s, "predicted",
                  sw_session_predicted(s), "ranks", sw_session_ranks(s)));
}

/* What is known of the perplexity when the run ends early. */
static void perplexity_log_part(const struct sw_text_pass *pass)
{
    const double nll = sw_mean_value(&pass->nll);
    if (pass->nll.count > 0)
        sw_log(SW_LOG_WARN, "score: perplexity of the first %llu scored tokens: %.4f ± %.4f",
               (unsigned long long)pass->nll.count, exp(nll), exp(nll) * sw_mean_error(&pass->nll));
}

static enum sw_status perplexity_cut(const struct sw_call *call, struct sw_session *s,
                                     struct sw_text_windows *windows)
{
    const struct sw_options *o = &call->options;
    char *text;
    size_t n = 0;
    SW_TRY(sw_session_tokenizer(s, true));
    SW_TRY(sw_text_pass_read(o->perplexity, &text, &n));
    const enum sw_status status = sw_text_windows_make(
        s->tokenizer, text ? text : "", n, sw_text_pass_window(o, s->model), o->windows, windows);
    free(text);
    if (status == SW_EINPUT)
        sw_error_context("%s", o->perplexity);
    return status;
}

static enum sw_status perplexity_drive(struct sw_call *call, struct sw_session *s)
{
    struct sw_text_windows windows = {0};
    struct sw_text_pass pass = {.what = "score", .options = &call->options, .windows = &windows};
    SW_TRY(sw_call_files(call, call->options.perplexity, NULL));
    enum sw_status status = perplexity_cut(call, s, &windows);
    if (status == SW_OK) {
        status = sw_text_pass_run(&pass, s);
        if (status == SW_OK)
            status = perplexity_report(call, s, &pass);
        else
            perplexity_log_part(&pass);
    }
    sw_text_windows_free(&windows);
    return status;
}

enum sw_status sw_score_perplexity(struct sw_call *call)
{
    return sw_call_run(call, perplexity_drive);
}

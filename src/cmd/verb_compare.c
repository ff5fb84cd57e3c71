/*
 * Owns the verb `compare`: what a model's quantization loses, by another model's probabilities for
 * every token of a text. The models run one after the other on the same ranks: what A says of each
 * token waits in a temporary file of rank 0 until B is there.
 */
#include "base/log.h"
#include "base/units.h"
#include "checkpoint/open_model.h"
#include "cmd/call_session.h"
#include "cmd/logit_rows.h"
#include "cmd/output.h"
#include "cmd/text_pass.h"

#include <stdio.h>
#include <stdlib.h>

/* On rank 0: what both sides share. */
struct compare {
    struct sw_call *call;
    struct sw_text_windows windows;
    struct sw_row_file *file; /* A's rows */
    struct sw_comparison comparison;
    double seconds, load_s; /* of both sides */
    int vocab;              /* A's */
};

typedef enum sw_status compare_drive(struct compare *c, struct sw_session *s);

static enum sw_status compare_refuse(const struct compare *c, const char *what)
{
    return sw_fail(SW_EMODEL,
                   "%s and %s %s, so their probabilities cannot be compared; give two forms of one "
                   "model",
                   c->call->arguments[0], c->call->arguments[1], what);
}

/* Cuts the text with B's tokenizer, where it has one: the ids must be the same. */
static enum sw_status compare_check_ids(const struct compare *c, const char *model,
                                        const char *text, size_t n)
{
    struct sw_tokenizer *tok;
    struct sw_text_windows other = {0};
    bool there;
    SW_TRY(sw_open_has_tokenizer(model, &there));
    if (!there)
        return SW_OK;
    SW_TRY(sw_open_tokenizer(model, &tok));
    enum sw_status status = sw_text_windows_make(tok, text, n, c->windows.size, 0, &other);
    if (status == SW_OK) {
        bool same = other.ids.count == c->windows.ids.count && other.bos == c->windows.bos;
        for (size_t i = 0; same && i < other.ids.count; i++)
            same = other.ids.items[i] == c->windows.ids.items[i];
        status = same ? SW_OK : compare_refuse(c, "split the text into different tokens");
    }
    sw_text_windows_free(&other);
    sw_tokenizer_close(tok);
    return status;
}

static enum sw_status compare_check_kind(const struct sw_model *model, const char *path)
{
    if (model->dims.n_encoder == 0)
        return SW_OK;
    return sw_fail(SW_EUSAGE,
                   "compare: %s is an encoder-decoder, whose probabilities depend on a source that "
                   "a text has not; give both models the same sources and targets by 'score'",
                   path);
}

/* Looks at B before A runs, which may take long. */
static enum sw_status compare_check_other(const struct compare *c, const char *text, size_t n)
{
    const char *path = c->call->models[1];
    struct sw_model *model;
    SW_TRY(sw_open_model(path, &model));
    const int vocab = model->dims.vocab, context = model->dims.context;
    const enum sw_status status = compare_check_kind(model, c->call->arguments[1]);
    sw_model_close(model);
    SW_TRY(status);
    if (vocab != c->vocab)
        return compare_refuse(c, "have vocabularies of different sizes");
    if (context > 0 && context < c->windows.size)
        return sw_fail(SW_EUSAGE, "%s supports %d positions: give --context %d or less", path,
                       context, context);
    return compare_check_ids(c, path, text, n);
}

static enum sw_status compare_cut(struct compare *c, struct sw_session *s)
{
    const struct sw_options *o = &c->call->options;
    const char *path = c->call->arguments[2];
    char *text;
    size_t n = 0;
    SW_TRY(compare_check_kind(s->model, c->call->arguments[0]));
    SW_TRY(sw_session_tokenizer(s, true));
    SW_TRY(sw_text_pass_read(path, &text, &n));
    c->vocab = s->model->dims.vocab;
    enum sw_status status =
        sw_text_windows_make(s->tokenizer, text ? text : "", n, sw_text_pass_window(o, s->model),
                             o->windows, &c->windows);
    if (status == SW_EINPUT)
        sw_error_context("%s", path);
    if (status == SW_OK)
        status = compare_check_other(c, text ? text : "", n);
    free(text);
    return status;
}

/* One side's windows through its model. */
static enum sw_status compare_pass(struct compare *c, struct sw_session *s, const char *what,
                                   struct sw_comparison *comparison)
{
    struct sw_logit_rows *rows;
    SW_TRY(sw_logit_rows_open(s, &c->windows, c->file, comparison, &rows));
    const struct sw_driver_hooks hooks = {.logits = sw_logit_rows_take, .context = rows};
    struct sw_text_pass pass = {.what = what,
                                .options = &c->call->options,
                                .windows = &c->windows,
                                .hooks = &hooks,
                                .finish = sw_logit_rows_finish,
                                .context = rows};
    const enum sw_status status = sw_text_pass_run(&pass, s);
    sw_logit_rows_close(rows);
    c->seconds += pass.seconds;
    c->load_s += s->load_s;
    return status;
}

static enum sw_status compare_first(struct compare *c, struct sw_session *s)
{
    char size[16];
    SW_TRY(sw_call_files(c->call, c->call->arguments[2], NULL));
    SW_TRY(compare_cut(c, s));
    const uint64_t n = c->windows.n * (uint64_t)sw_text_windows_scored(&c->windows);
    SW_TRY(sw_comparison_open(n, &c->comparison));
    SW_TRY(sw_row_file_open(sw_base_row_bytes((size_t)c->vocab), n, &c->file));
    sw_log(SW_LOG_INFO, "compare: %llu tokens, a temporary file of %s", (unsigned long long)n,
           sw_size_format(sw_row_file_bytes(c->file), size, sizeof size));
    return compare_pass(c, s, "compare, A", NULL);
}

static enum sw_status compare_report(struct compare *c)
{
    const struct sw_text_windows *windows = &c->windows;
    struct sw_strbuf text = {0};
    sw_comparison_finish(&c->comparison);
    if (c->call->options.json) {
        json_t *root = sw_comparison_json(&c->comparison);
        json_t *more =
            json_pack("{s:I, s:I, s:i, s:f, s:f}", "tokens", (json_int_t)windows->ids.count,
                      "windows", (json_int_t)windows->n, "window", windows->size, "seconds",
                      c->seconds, "load_s", c->load_s);
        const bool failed = !root || !more || json_object_update(root, more) != 0;
        json_decref(more);
        if (!failed)
            return sw_json_print(root);
        json_decref(root);
        return sw_json_print(NULL);
    }
    sw_comparison_describe(&c->comparison, &text);
    if (!text.failed)
        fputs(text.text, stdout);
    const bool failed = text.failed;
    sw_strbuf_free(&text);
    return failed ? sw_fail(SW_ENOMEM, "no memory for the report") : SW_OK;
}

static enum sw_status compare_second(struct compare *c, struct sw_session *s)
{
    SW_TRY(compare_pass(c, s, "compare, B", &c->comparison));
    return compare_report(c);
}

/*
 * A session of one model on every rank. *joined: the ranks that an earlier session has left, or
 * NULL; after SW_OK with `leave` those that this one has left.
 */
static enum sw_status compare_side(struct compare *c, struct sw_session_settings settings,
                                   compare_drive *drive, bool leave, struct sw_transport **joined)
{
    struct sw_session *s;
    settings.joined = *joined;
    enum sw_status status = sw_session_open(&settings, &s);
    if (status == SW_OK)
        status = sw_session_is_driver(s) ? drive(c, s) : sw_session_work(s);
    if (status == SW_OK && !leave)
        status = sw_output_flush();
    if (status == SW_OK && leave) {
        *joined = sw_session_leave(s);
        return SW_OK;
    }
    if (!s && *joined)
        return sw_transport_finish(*joined, status);
    return sw_session_end(s, status);
}

static enum sw_status compare(struct sw_call *call)
{
    struct compare c = {.call = call};
    struct sw_session_settings b;
    struct sw_transport *joined = NULL;
    int *slices;
    SW_TRY(sw_call_settings(call, &slices, &b));
    b.stop = sw_stop_catch();
    b.model = call->models[1];
    struct sw_session_settings a = b;
    const struct sw_session_settings kept = sw_session_settings_default(call->models[0]);
    a.model = kept.model; /* A is the base */
    a.weights = call->options.base_weights;
    a.kv = kept.kv;
    a.timeline = NULL;
    enum sw_status status = compare_side(&c, a, compare_first, true, &joined);
    if (status == SW_OK)
        status = compare_side(&c, b, compare_second, false, &joined);
    sw_text_windows_free(&c.windows);
    sw_comparison_free(&c.comparison);
    sw_row_file_close(c.file);
    free(slices);
    return status;
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"base-weights", 0, "FORMAT",
     "keep A's weights as FORMAT; --weights is B's (default: as the checkpoint)",
     FIELD(base_weights), sw_parse_weights},
    {0}};

const struct sw_verb sw_verb_compare = {
    .name = "compare",
    .arguments = "A B TEXT",
    .min_arguments = 3,
    .max_arguments = 3,
    .n_models = 2,
    .summary = "how far model B's probabilities are from model A's, over a text",
    .description =
        "A is the base, for example a model in 16 bits as it was published, and B the same model\n"
        "in fewer bits: another folder or file, or A again with --weights, which counts for B\n"
        "only, as --kv does. TEXT is a file, or - for standard input. It is cut into windows as\n"
        "by 'score --perplexity', and every token that is scored is compared as llama.cpp's\n"
        "perplexity tool does (--kl-divergence): both perplexities and ln of their ratio, the KL\n"
        "divergence of B from A with its percentiles, the change of the right token's\n"
        "probability (\xce\x94p), and how often both have the same likeliest token. An\n"
        "encoder-decoder (T5) is refused: without a source a text has no probabilities.\n\n"
        "A runs first, then B, so memory for one is enough. Between, A's log-probabilities are\n"
        "in a temporary file without a name, of 2 bytes for each scored token and each id of\n"
        "the vocabulary, in $TMPDIR or /var/tmp of rank 0's host; --windows makes it shorter.\n\n"
        "  spillway compare llama llama-small.gguf wiki.test.raw\n"
        "  spillway compare llama llama wiki.test.raw --base-weights f32 --weights bf16 --json",
    .own = {own},
    .takes = SW_TAKES_WINDOWS | SW_TAKES_PLACEMENT | SW_TAKES_PROGRESS,
    .run = compare,
};

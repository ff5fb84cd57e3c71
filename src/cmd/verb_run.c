/* Owns the verb `run`: a prompt in, text out as it comes. */
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"
#include "checkpoint/open_model.h"
#include "cmd/call_form.h"
#include "cmd/call_session.h"
#include "cmd/output.h"
#include "engine/generate.h"
#include "session/completion.h"
#include "session/params.h"
#include "session/token_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROMPT_LIMIT (64u << 20)

/* The text under way, and how much of it is printed. */
struct output {
    const struct sw_call *call;
    struct sw_session *s;
    struct sw_completion completion;
    size_t printed;                   /* bytes of its text */
    struct sw_strbuf grammar, tokens; /* that it follows, and the tokens' bytes; empty: none */
};

static enum sw_status run_read_prompt(const struct sw_call *call, char **prompt, size_t *length)
{
    const char *file = call->options.file;
    if (call->n_arguments > 1 && file)
        return sw_fail(SW_EUSAGE, "run: give a prompt or --file, not both");
    if (call->n_arguments > 1) {
        *prompt = strdup(call->arguments[1]);
        *length = strlen(call->arguments[1]);
        return *prompt ? SW_OK : sw_fail(SW_ENOMEM, "no memory for the prompt");
    }
    if (file && strcmp(file, "-") != 0)
        return sw_file_read(file, PROMPT_LIMIT, prompt, length);
    if (!file && isatty(STDIN_FILENO))
        return sw_fail(SW_EUSAGE, "run: needs a prompt: as the last argument, from --file, or on "
                                  "standard input");
    struct sw_strbuf text = {0};
    char buffer[65536];
    size_t n;
    while ((n = fread(buffer, 1, sizeof buffer, stdin)) > 0 && text.length <= PROMPT_LIMIT)
        sw_strbuf_append(&text, buffer, n);
    const enum sw_status status = sw_input_check();
    if (status != SW_OK) {
        sw_strbuf_free(&text);
        return status;
    }
    if (text.failed || text.length > PROMPT_LIMIT) {
        sw_strbuf_free(&text);
        return sw_fail(SW_EINPUT, "the prompt on standard input is too long");
    }
    *prompt = text.text ? text.text : strdup("");
    *length = text.length;
    return *prompt ? SW_OK : sw_fail(SW_ENOMEM, "no memory for the prompt");
}

static enum sw_status run_print_new(struct output *out)
{
    const struct sw_options *o = &out->call->options;
    const struct sw_strbuf *text = &out->completion.text;
    if (o->json || text->length == out->printed)
        return SW_OK;
    sw_output_text(text->text + out->printed, text->length - out->printed);
    out->printed = text->length;
    return o->no_stream ? SW_OK : sw_output_flush();
}

/* Without a tokenizer the id is printed in place of text. */
static enum sw_status run_print_id(const struct output *out, int32_t id)
{
    const struct sw_options *o = &out->call->options;
    if (o->json)
        return SW_OK;
    printf(out->completion.ids.count > 1 ? " %d" : "%d", id);
    return o->no_stream ? SW_OK : sw_output_flush();
}

static enum sw_status run_take_token(void *context, const struct sw_sampled *token, bool *stop)
{
    struct output *out = context;
    SW_TRY(sw_completion_push(&out->completion, token, stop));
    return out->s->tokenizer ? run_print_new(out) : run_print_id(out, token->id);
}

/* [{"id", "logprob", "top": [{"id", "logprob"}, …]}, …] */
static json_t *run_logprobs(const struct sw_completion *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->ids.count; i++) {
        const struct sw_sampled *token = &c->sampled[i];
        json_t *top = json_array();
        for (int k = 0; k < token->n_top; k++)
            json_array_append_new(top, json_pack("{s:i, s:f}", "id", token->top[k].id, "logprob",
                                                 (double)token->top[k].logprob));
        json_array_append_new(list, json_pack("{s:i, s:f, s:o}", "id", token->id, "logprob",
                                              (double)token->logprob, "top", top));
    }
    return list;
}

static double run_rate(int n, double seconds)
{
    return n > 0 && seconds > 0 ? n / seconds : 0;
}

/* ", 2750 tokens/s", with " (predicted …)" unless `predicted` is 0; "" when nothing was timed. */
static const char *run_speed_text(double rate, double predicted, char *out, size_t cap)
{
    char number[16], other[16];
    if (rate <= 0)
        return "";
    const int n =
        snprintf(out, cap, ", %s tokens/s", sw_number_format(rate, number, sizeof number));
    if (predicted > 0 && n > 0 && (size_t)n < cap)
        snprintf(out + n, cap - (size_t)n, " (predicted %s)",
                 sw_number_format(predicted, other, sizeof other));
    return out;
}

/* Logs the planned and the peak memory of each rank. */
static void run_log_memory(const struct sw_session *s)
{
    char planned[16], peak[16], context[16], name[SW_HOST_MAX + 32];
    for (int r = 0; r < s->plan.n_ranks; r++) {
        const struct sw_plan_stage *stage = &s->plan.stages[r];
        const bool gpu = stage->gpu.total > 0;
        const enum sw_log_level level = s->transport->size > 1 || gpu ? SW_LOG_INFO : SW_LOG_DEBUG;
        sw_transport_name(s->transport, r, name, sizeof name);
        sw_log(level, "%s: planned %s of host memory, took %s at most", name,
               sw_size_format(stage->host.total, planned, sizeof planned),
               sw_size_format(s->peaks[r].host, peak, sizeof peak));
        if (gpu)
            sw_log(level, "%s: planned %s of GPU memory and %s for the driver's own, took %s", name,
                   sw_size_format(stage->gpu.total - stage->gpu.context, planned, sizeof planned),
                   sw_size_format(stage->gpu.context, context, sizeof context),
                   sw_size_format(s->peaks[r].gpu, peak, sizeof peak));
    }
}

static enum sw_status run_report(struct output *out, const struct sw_generate *g)
{
    const struct sw_session *s = out->s;
    /* The first token comes with the prompt; the others are decoded. */
    const double prompt_rate = run_rate(g->n_prompt, g->prompt_s);
    const double decode_rate = run_rate(g->n_new - 1, g->decode_s);
    if (g->steering.grammar && strcmp(sw_completion_finish_reason(&out->completion), "stop") != 0)
        sw_log(SW_LOG_WARN, "the answer was cut after %d tokens, before its form is complete%s",
               g->n_new, g->out_of_room ? "" : "; raise -n");
    if (!out->call->options.json) {
        char prompt[64], decode[64];
        printf("\n");
        SW_TRY(sw_output_flush());
        sw_log(SW_LOG_INFO, "prompt %d token%s%s; generated %d%s; loaded in %.2f s", g->n_prompt,
               g->n_prompt == 1 ? "" : "s", run_speed_text(prompt_rate, 0, prompt, sizeof prompt),
               g->n_new,
               run_speed_text(decode_rate, s->plan.predicted.tokens_per_s, decode, sizeof decode),
               s->load_s);
        if (g->out_of_room)
            sw_log(SW_LOG_INFO, "ended because the context of %d positions is full", g->context);
        run_log_memory(s);
        return SW_OK;
    }
    const struct sw_completion *c = &out->completion;
    json_t *ids = json_array();
    for (size_t i = 0; i < c->ids.count; i++)
        json_array_append_new(ids, json_integer(c->ids.items[i]));
    json_t *root = json_pack("{s:s%, s:o, s:s, s:i, s:i, s:f, s:f, s:f, s:o, s:o}", "text",
                             c->text.text ? c->text.text : "", c->text.length, "ids", ids,
                             "finish_reason", sw_completion_finish_reason(c), "prompt_tokens",
                             g->n_prompt, "generated_tokens", g->n_new, "prompt_tokens_per_s",
                             prompt_rate, "tokens_per_s", decode_rate, "load_s", s->load_s,
                             "predicted", sw_session_predicted(s), "ranks", sw_session_ranks(s));
    if (root && c->options.logprobs)
        json_object_set_new(root, "logprobs", run_logprobs(c));
    return sw_json_print(root);
}

static enum sw_status run_generate(struct output *out, const struct sw_ids *prompt)
{
    struct sw_session *s = out->s;
    const struct sw_options *o = &out->call->options;
    struct sw_generate g = {
        .prompt = prompt->items,
        .n_prompt = (int)prompt->count,
        .max_new = o->n,
        .context = s->params.context,
        .chunk = s->params.max_batch_tokens,
        .sampling = sw_call_sampling(o),
        .steering = {.grammar = out->grammar.text, .n_grammar = out->grammar.length},
        .tokens = &out->tokens,
        .token = run_take_token,
        .context_of_caller = out};
    const struct sw_completion_options options = {.tokenizer = s->tokenizer,
                                                  .apart = s->model->dims.n_encoder > 0,
                                                  .ignore_end = o->ignore_end,
                                                  .special = o->special,
                                                  .logprobs = o->logprobs > 0,
                                                  .stop = o->stop,
                                                  .n_stop = (size_t)o->n_stop};
    SW_TRY(sw_completion_begin(&out->completion, &options, prompt->items, prompt->count));
    SW_TRY(sw_generate(s->driver, &g));
    SW_TRY(sw_completion_finish(&out->completion));
    SW_TRY(run_print_new(out));
    SW_TRY(sw_session_stop(s));
    return run_report(out, &g);
}

/* The ids of the prompt as a user's message in the model's chat template. */
static enum sw_status run_chat_ids(const struct sw_call *call, const struct sw_session *s,
                                   const char *text, size_t length, struct sw_ids *ids)
{
    const char *system = call->options.system;
    struct sw_chat *chat;
    SW_TRY(sw_open_chat(call->models[0], &chat));
    json_t *messages = json_array();
    if (system)
        json_array_append_new(messages,
                              json_pack("{s:s, s:s}", "role", "system", "content", system));
    json_array_append_new(messages,
                          json_pack("{s:s, s:s%}", "role", "user", "content", text, length));
    const struct sw_chat_request request = {.messages = messages, .add_generation_prompt = true};
    const enum sw_status status =
        json_array_size(messages) == (system ? 2u : 1u)
            ? sw_chat_encode(chat, s->tokenizer, &request, ids)
            : sw_fail(SW_EINPUT, "run --chat: the prompt and the system message must be UTF-8");
    json_decref(messages);
    sw_chat_free(chat);
    return status;
}

/* The ids of --tokens 1,2,3, for models without a tokenizer; else those of the prompt, with BOS if
 * the model has it. */
static enum sw_status run_prompt_ids(const struct sw_call *call, const struct sw_session *s,
                                     struct sw_ids *ids)
{
    char *text = NULL;
    size_t length = 0;
    const struct sw_options *o = &call->options;
    if (o->system && !o->chat)
        return sw_fail(SW_EUSAGE, "run: --system needs --chat");
    if (o->chat && o->tokens)
        return sw_fail(SW_EUSAGE, "run: --chat needs a text prompt, not --tokens");
    if (o->tokens)
        return sw_parse_ids(o->tokens, s->model->dims.vocab, ids);
    enum sw_status status = run_read_prompt(call, &text, &length);
    if (status == SW_OK && o->chat)
        status = run_chat_ids(call, s, text, length, ids);
    else if (status == SW_OK)
        status = sw_tokenizer_encode(s->tokenizer, text, length,
                                     SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL, ids);
    free(text);
    return status;
}

static enum sw_status run_drive(struct sw_call *call, struct sw_session *s)
{
    const struct sw_options *o = &call->options;
    const struct sw_sampling sampling = sw_call_sampling(o);
    struct output out = {.call = call, .s = s};
    struct sw_ids prompt = {0};
    SW_TRY(sw_call_files(call, NULL, NULL));
    SW_TRY(sw_sampling_check(&sampling));
    enum sw_status status = sw_call_form(o, &out.grammar);
    if (status == SW_OK)
        status = sw_session_tokenizer(s, o->tokens == NULL || out.grammar.length > 0);
    if (status == SW_EMODEL && o->tokens && out.grammar.length == 0) {
        sw_log(SW_LOG_WARN, "%s; printing ids instead of text", sw_error_message());
        status = SW_OK;
    }
    if (status == SW_OK)
        status = run_prompt_ids(call, s, &prompt);
    const struct sw_session_defaults defaults = {.positions = sw_positions((int)prompt.count, o->n),
                                                 .prompt_tokens = (int)prompt.count,
                                                 .new_tokens = o->n};
    if (status == SW_OK)
        status = sw_session_start(s, &defaults);
    if (status == SW_OK && out.grammar.length > 0)
        status = sw_token_bytes(s->tokenizer, s->vocab_limit, &out.tokens);
    if (status == SW_OK)
        status = run_generate(&out, &prompt);
    sw_strbuf_free(&out.grammar);
    sw_strbuf_free(&out.tokens);
    sw_ids_free(&prompt);
    sw_completion_free(&out.completion);
    return status;
}

static enum sw_status run_run(struct sw_call *call)
{
    return sw_call_run(call, run_drive);
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"file", 'f', "FILE", "read the prompt from FILE (- for standard input)", FIELD(file),
     sw_parse_file},
    {"chat", 0, NULL, "the prompt is a user's message: put it into the model's chat template",
     FIELD(chat), sw_parse_flag},
    {"system", 0, "TEXT", "with --chat: the system message before it", FIELD(system),
     sw_parse_text},
    {"n", 'n', "N", "most new tokens (default: 128)", FIELD(n), sw_parse_natural},
    {"stop", 0, "TEXT", "end before this text; may be given up to 16 times", FIELD(stop),
     sw_parse_stop},
    {"logprobs", 0, "N", "with --json: each token's log-probability and the N likeliest",
     FIELD(logprobs), sw_parse_natural},
    {"tokens", 0, "1,2,3", "the prompt as ids (without a tokenizer, ids are printed)",
     FIELD(tokens), sw_parse_text},
    {"ignore-end", 0, NULL, "continue after an end-of-text token", FIELD(ignore_end),
     sw_parse_flag},
    {"special", 0, NULL, "print special tokens too", FIELD(special), sw_parse_flag},
    {"no-stream", 0, NULL, "print when done, not as it comes", FIELD(no_stream), sw_parse_flag},
    {0}};

const struct sw_verb sw_verb_run = {
    .name = "run",
    .arguments = "MODEL [PROMPT]",
    .min_arguments = 1,
    .max_arguments = 2,
    .n_models = 1,
    .summary = "continue a prompt and print the text as it comes",
    .description =
        "MODEL is a directory as the hub publishes it, a GGUF file, ollama:NAME in Ollama's local\n"
        "store, or an id like org/name in the hub's local cache. Started by mpirun or srun,\n"
        "every rank holds a slice of the layers; alone, one process holds them all. The text is\n"
        "the same.\n\n"
        "  spillway run gpt-neox-20b \"The reservoir was full, so\"\n"
        "  mpirun --hostfile hostfiles/lab spillway run opt-66b -n 64 \"Translate: cheese =>\"\n"
        "  spillway run llama --temperature 0.8 --top-p 0.95 --seed 7 -f prompt.txt --json",
    .own = {own},
    .takes = SW_TAKES_TEXT,
    .run = run_run,
};

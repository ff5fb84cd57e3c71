/* Owns the verb `trace`: hidden states and logits of given tokens, into a safetensors file. */
#include "base/checked.h"
#include "base/file_write.h"
#include "base/log.h"
#include "base/units.h"
#include "checkpoint/safetensors.h"
#include "cmd/call_session.h"
#include "cmd/output.h"
#include "cmd/trace_texts.h"
#include "engine/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All values of one trace: logits, the embedding, each layer's output. */
struct values {
    int n_tokens, hidden, vocab, n_layers;
    int n_source, n_encoder; /* tokens and layers of the encoder; 0: there is none */
    bool encoding;           /* what comes is of the source */
    float *logits;           /* (n_tokens, vocab) */
    /* (n_layers + 2): [0] the embedding, [n_layers + 1] that of the source; each (n_tokens or
     * n_source, hidden) */
    float **states;
};

/* Tokens of states[i]; 0: there is none. */
static int trace_tokens(const struct values *v, int i)
{
    const bool source = v->n_encoder > 0 && ((i > 0 && i <= v->n_encoder) || i > v->n_layers);
    return source ? v->n_source : i > v->n_layers ? 0 : v->n_tokens;
}

static enum sw_status trace_take_logits(void *context, const struct sw_span *span,
                                        const float *data)
{
    struct values *v = context;
    memcpy(v->logits + span->position * v->vocab, data,
           (size_t)span->n * (size_t)v->vocab * sizeof *data);
    return SW_OK;
}

static enum sw_status trace_take_hidden(void *context, int layer, const struct sw_span *span,
                                        const float *data)
{
    struct values *v = context;
    if (layer < -1 || layer >= v->n_layers)
        return sw_fail(SW_EPEER,
                       "received hidden states of layer %d, which the model does not have", layer);
    const int at = layer < 0 && v->encoding ? v->n_layers + 1 : layer + 1;
    memcpy(v->states[at] + span->position * v->hidden, data,
           (size_t)span->n * (size_t)v->hidden * sizeof *data);
    return SW_OK;
}

static void free_values(struct values *v)
{
    for (int i = 0; v->states && i < v->n_layers + 2; i++)
        free(v->states[i]);
    free(v->states);
    free(v->logits);
}

static enum sw_status make_values(struct values *v, const struct sw_model *model, int n_source,
                                  int n_tokens, bool hidden)
{
    *v = (struct values){.n_tokens = n_tokens,
                         .hidden = model->dims.hidden,
                         .vocab = model->dims.vocab,
                         .n_layers = model->dims.n_layers,
                         .n_source = n_source,
                         .n_encoder = model->dims.n_encoder};
    v->logits = malloc((size_t)n_tokens * (size_t)v->vocab * sizeof *v->logits);
    if (!v->logits)
        return sw_fail(SW_ENOMEM, "no memory for the logits of %d tokens", n_tokens);
    if (!hidden)
        return SW_OK;
    v->states = calloc((size_t)v->n_layers + 2, sizeof *v->states);
    for (int i = 0; v->states && i < v->n_layers + 2; i++) {
        const size_t n = (size_t)trace_tokens(v, i) + 1;
        v->states[i] = malloc(n * (size_t)v->hidden * sizeof **v->states);
        if (!v->states[i])
            return sw_fail(SW_ENOMEM, "no memory for the hidden states of %d tokens", n_tokens);
    }
    return v->states ? SW_OK : sw_fail(SW_ENOMEM, "no memory for hidden states");
}

static enum sw_status write_values(const struct values *v, const char *path)
{
    const int n = !v->states ? 1 : v->n_layers + (v->n_encoder > 0 ? 3 : 2);
    struct sw_safetensors_spec *specs = calloc((size_t)n, sizeof *specs);
    char(*names)[32] = calloc((size_t)n, sizeof *names);
    struct sw_safetensors_writer *writer = NULL;
    enum sw_status status = SW_OK;
    if (!specs || !names)
        status = sw_fail(SW_ENOMEM, "no memory for the list of tensors");
    for (int i = 0; i < n && status == SW_OK; i++) {
        if (i == 0)
            snprintf(names[i], sizeof names[i], "logits");
        else if (i == 1)
            snprintf(names[i], sizeof names[i], "embed");
        else if (i == v->n_layers + 2)
            snprintf(names[i], sizeof names[i], "embed.source");
        else
            snprintf(names[i], sizeof names[i], "hidden.%d", i - 2);
        specs[i] =
            (struct sw_safetensors_spec){.name = names[i],
                                         .dtype = SW_F32,
                                         .rank = 2,
                                         .shape = {i == 0 ? v->n_tokens : trace_tokens(v, i - 1),
                                                   i == 0 ? v->vocab : v->hidden}};
    }
    if (status == SW_OK)
        status = sw_safetensors_writer_open(path, specs, (size_t)n, &writer);
    for (int i = 0; i < n && status == SW_OK; i++)
        status = sw_safetensors_writer_write(writer, i == 0 ? v->logits : v->states[i - 1],
                                             (size_t)specs[i].shape[0] * (size_t)specs[i].shape[1] *
                                                 sizeof(float));
    if (writer && status == SW_OK)
        status = sw_safetensors_writer_close(writer);
    else
        sw_safetensors_writer_abort(writer);
    free(specs);
    free(names);
    return status;
}

static enum sw_status trace_report(const struct sw_options *o, const struct values *v)
{
    const char *path = o->dump;
    if (sw_file_write_descriptor(path) == STDOUT_FILENO)
        return SW_OK; /* standard output has the tensors only */
    if (o->json)
        return sw_json_print(json_pack("{s:s, s:i, s:i, s:b}", "file", path, "tokens", v->n_tokens,
                                       "vocab", v->vocab, "hidden", v->states != NULL));
    printf("%s: logits (%d, %d)%s\n", path, v->n_tokens, v->vocab,
           v->states ? ", embed and hidden.<layer>" : "");
    return SW_OK;
}

/* source: (0) unless the model has an encoder */
static enum sw_status trace_run(struct values *v, struct sw_session *s, const struct sw_ids *source,
                                const struct sw_ids *ids)
{
    const struct sw_sampling greedy = sw_sampling_default();
    SW_TRY(sw_driver_slot(s->driver, 0, &greedy));
    v->encoding = true;
    if (source->count > 0)
        SW_TRY(sw_encode_source(s->driver, source->items, (int)source->count));
    v->encoding = false;
    return sw_prefill(s->driver, (int)source->count, ids->items, (int)ids->count,
                      s->params.max_batch_tokens);
}

static enum sw_status trace_ids(const struct sw_options *o, struct sw_session *s,
                                const struct sw_ids *source, const struct sw_ids *ids)
{
    struct values v;
    const int n = (int)(ids->count > source->count ? ids->count : source->count);
    const struct sw_session_defaults defaults = {.positions = n, .prompt_tokens = n};
    SW_TRY(sw_session_start(s, &defaults));
    if (n > s->params.context || (int)source->count > s->params.max_batch_tokens)
        return sw_fail(SW_EINPUT,
                       "%d tokens, but the context has %d positions; give fewer tokens, or raise "
                       "--context if the model allows it",
                       n, sw_min_int(s->params.context, s->params.max_batch_tokens));
    enum sw_status status =
        make_values(&v, s->model, (int)source->count, (int)ids->count, o->hidden);
    const struct sw_driver_hooks hooks = {
        .hidden = o->hidden ? trace_take_hidden : NULL, .logits = trace_take_logits, .context = &v};
    if (status == SW_OK)
        status = sw_driver_hooks(s->driver, &hooks);
    if (status == SW_OK)
        status = trace_run(&v, s, source, ids);
    if (status == SW_OK)
        status = sw_session_stop(s);
    if (status == SW_OK)
        status = write_values(&v, o->dump);
    if (status == SW_OK)
        status = trace_report(o, &v);
    free_values(&v);
    return status;
}

/* --tokens: what is computed, of an encoder-decoder its target; --source: what that is of. */
static enum sw_status trace_parse(const struct sw_options *o, const struct sw_model *model,
                                  struct sw_ids *source, struct sw_ids *ids)
{
    const bool encodes = model->dims.n_encoder > 0;
    SW_TRY(sw_parse_ids(o->tokens, model->dims.vocab, ids));
    if (ids->count == 0)
        return sw_fail(SW_EUSAGE, "trace: --tokens is empty");
    if (o->source)
        SW_TRY(sw_parse_ids(o->source, model->dims.vocab, source));
    if (encodes && source->count == 0)
        return sw_fail(SW_EUSAGE, "trace: the model is an encoder-decoder: --source 1,2,3 are the "
                                  "ids that it encodes, --tokens those of the target");
    if (!encodes && o->source)
        return sw_fail(SW_EUSAGE, "trace: --source is given, but the model has no encoder");
    return SW_OK;
}

static enum sw_status trace_drive(struct sw_call *call, struct sw_session *s)
{
    struct sw_ids ids = {0}, source = {0};
    SW_TRY(sw_call_files(call, NULL, NULL));
    enum sw_status status = trace_parse(&call->options, s->model, &source, &ids);
    if (status == SW_OK)
        status = trace_ids(&call->options, s, &source, &ids);
    sw_ids_free(&ids);
    sw_ids_free(&source);
    return status;
}

static enum sw_status trace(struct sw_call *call)
{
    const struct sw_options *o = &call->options;
    const bool one = o->tokens || o->dump || o->source || o->hidden;
    if (one ? call->n_arguments != 1 : call->n_arguments != 3)
        return sw_fail(SW_EUSAGE, "trace: expected %s; see 'spillway trace --help'",
                       one ? "MODEL alone with --tokens and --dump" : "MODEL IN.jsonl OUT");
    if (!one)
        return sw_trace_texts(call);
    if (!o->tokens || !o->dump)
        return sw_fail(SW_EUSAGE, "trace: needs --tokens 1,2,3 and --dump FILE.safetensors");
    if (o->layers || o->positions || o->logits || o->logprobs || o->fresh || o->metrics)
        return sw_fail(SW_EUSAGE, "trace: --layers, --positions, --logits, --logprobs, --fresh and "
                                  "--metrics are for files of texts, not for --tokens");
    return sw_call_run(call, trace_drive);
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"tokens", 0, "1,2,3", "in place of IN and OUT: the token ids of one text", FIELD(tokens),
     sw_parse_text},
    {"source", 0, "1,2,3", "of an encoder-decoder: the ids to encode; --tokens are its target",
     FIELD(source), sw_parse_text},
    {"dump", 'o', "FILE", "where the tensors of --tokens go (.safetensors)", FIELD(dump),
     sw_parse_file},
    {"hidden", 0, NULL, "with --dump: also the embedding and every layer's output", FIELD(hidden),
     sw_parse_flag},
    {0}};

const struct sw_verb sw_verb_trace = {
    .name = "trace",
    .arguments = "MODEL (IN.jsonl OUT | --tokens IDS --dump FILE)",
    .min_arguments = 1,
    .max_arguments = 3,
    .n_models = 1,
    .summary = "hidden states and logits of a file of texts, or of one text",
    .description =
        "A line of IN is {\"id\", \"prompt\"}, a text or a list of ids, or {\"id\", \"messages\"}, "
        "a chat\n"
        "up to where an answer begins. OUT is a folder. Its results.jsonl gets a line for each,\n"
        "in the order of IN: {\"id\", \"tokens\", \"shard\", \"first\", \"count\"}, or {\"id\", "
        "\"error\"}. The\n"
        "values are `count` positions from `first` on in the tensors of shard K, named\n"
        "  hidden.K         (positions, layers, hidden)  outputs of --layers; layer i's is what\n"
        "                                               transformers calls hidden_states[i + 1],\n"
        "                                               but the last one is before the final norm\n"
        "  logits.K         (positions, vocab)\n"
        "  top_ids.K        (positions, N)               i32, the likeliest first\n"
        "  top_logprobs.K   (positions, N)\n"
        "with K in five digits, each in a file NAME-K.safetensors, all but ids in f32; index.json\n"
        "lists them when all is done. 'mean' is over a text's positions.\n\n"
        "A result counts when it is on disk. The same command again, on any number of ranks,\n"
        "does what is left, and the files have the same bytes as without a break. The context is\n"
        "what the longest line could need, or --context; --slots texts are under way at once.\n\n"
        "With --tokens, FILE gets 'logits' (tokens, vocab), and with --hidden 'embed' and\n"
        "'hidden.<i>' (tokens, hidden), all f32; of an encoder-decoder, whose encoder's layers\n"
        "come first, 'embed.source', too. The bits do not depend on ranks, threads or --chunk.\n\n"
        "  spillway trace llama prompts.jsonl acts --layers 0,15,-1 --positions mean\n"
        "  mpirun --hostfile hostfiles/lab spillway trace opt-66b prompts.jsonl acts --logprobs "
        "20\n"
        "  spillway trace opt-66b --tokens 2,31414 --dump acts.safetensors --hidden",
    .own = {sw_options_trace_texts, own},
    .takes = SW_TAKES_MODEL,
    .run = trace,
};

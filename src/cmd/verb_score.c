/* Owns the verb `score`: a file of texts in, a file of log-probabilities out. */
#include "cmd/jobs.h"
#include "cmd/score_perplexity.h"
#include "jobs/score_task.h"

static enum sw_status score_prepare(const struct sw_call *call, struct sw_session *s, void *owner)
{
    struct sw_score_job *score = owner;
    (void)call;
    SW_TRY(sw_session_tokenizer(s, true));
    score->tokenizer = s->tokenizer;
    return SW_OK;
}

/* What the longest line could need, as a token has at least one byte. */
static int score_context(const struct sw_input_scan *scan)
{
    return scan->longest < 1u << 30 ? (int)scan->longest + 64 : 1 << 30;
}

static void score_started(struct sw_session *s, void *owner)
{
    struct sw_score_job *score = owner;
    score->context = s->params.context;
    if (s->model->dims.n_encoder > 0 && s->params.max_batch_tokens < score->context)
        score->context = s->params.max_batch_tokens; /* a source is taken whole */
    score->vocab = s->model->dims.vocab;
}

static void score_options(const struct sw_options *o, const void *owner, json_t *out)
{
    (void)owner;
    (void)o;
    (void)out;
}

static enum sw_status score_drive(struct sw_call *call, struct sw_session *s)
{
    struct sw_score_job score = {0};
    const struct sw_job_verb verb = {.name = "score",
                                     .task = &sw_score_task,
                                     .owner = &score,
                                     .unit = "contexts cut on the left",
                                     .prepare = score_prepare,
                                     .context = score_context,
                                     .started = score_started,
                                     .options = score_options};
    return sw_jobs_run(call, s, &verb);
}

static enum sw_status score_run(struct sw_call *call)
{
    const int expected = call->options.perplexity ? 1 : 3;
    if (call->n_arguments != expected)
        return sw_fail(SW_EUSAGE, "score: expected %s; see 'spillway score --help'",
                       expected == 1 ? "MODEL alone with --perplexity"
                                     : "MODEL IN.jsonl OUT.jsonl");
    if (call->options.perplexity)
        return sw_score_perplexity(call);
    if (call->options.windows)
        return sw_fail(SW_EUSAGE, "score: --windows needs --perplexity TEXT");
    call->safe = sw_jobs_safe(&call->options);
    return sw_call_run(call, score_drive);
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"perplexity", 0, "TEXT", "print the perplexity of the file TEXT (- for standard input)",
     FIELD(perplexity), sw_parse_file},
    {0}};

const struct sw_verb sw_verb_score = {
    .name = "score",
    .arguments = "MODEL (IN.jsonl OUT.jsonl | --perplexity TEXT)",
    .min_arguments = 1,
    .max_arguments = 3,
    .n_models = 1,
    .summary = "log-probabilities of a file of texts, or the perplexity of one",
    .description =
        "A line of IN is one of\n"
        "  {\"id\", \"context\", \"continuation\"}   its log-probability, token by token\n"
        "  {\"id\", \"context\", \"choices\": […]}    each choice's, and the best; \"delimiter\"\n"
        "                                      goes before each and is not counted\n"
        "  {\"id\", \"source\", \"target\"}         of an encoder-decoder (T5): that of the "
        "target, its\n"
        "                                      end included; it takes \"context\" as a source, "
        "too\n"
        "  {\"id\", \"text\"}                       the whole text's, and its perplexity\n"
        "and OUT gets a line for each. Texts are split into tokens as in lm-evaluation-harness\n"
        "for Hugging Face models, so the numbers are the same: a context that is too long is cut\n"
        "on the left, a long text is scored in windows. A common context is computed once.\n\n"
        "A result counts when it is on disk. The same command again, on any number of ranks,\n"
        "does what is left; OUT.job records which job OUT belongs to. The context is what the\n"
        "longest line could need, up to the model's limit, or --context; 32 texts are under way\n"
        "at once, fewer or more where memory is short and that is faster, or --slots.\n\n"
        "--perplexity TEXT prints one number, as llama.cpp's perplexity tool defines it: the text\n"
        "is cut into windows of --context tokens (default: 512), BOS goes in the place of each\n"
        "window's first token if the model has one, and the second half of each is scored. The\n"
        "number after \302\261 is its standard error.\n\n"
        "  spillway score llama choices.jsonl scores.jsonl\n"
        "  spillway score llama --perplexity wiki.test.raw\n"
        "  mpirun --hostfile hostfiles/lab spillway score opt-66b choices.jsonl scores.jsonl",
    .own = {own},
    .takes = SW_TAKES_WINDOWS | SW_TAKES_JOBS | SW_TAKES_MODEL,
    .run = score_run,
};

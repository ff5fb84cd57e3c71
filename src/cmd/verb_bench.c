/* Owns the verb `bench`: how fast a model runs here, compared with the machine's limits. */
#include "backend/cpu_measure.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "cmd/call_session.h"
#include "cmd/output.h"
#include "engine/scheduler.h"
#include "model/weight_choice.h"
#include "session/params.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEAK_SECONDS 0.3
#define READ_EVERY_S 0.05
#define READ_BYTES (SW_MEASURE_BYTES / 4)
#define MAX_ROUNDS 100

/* What one round measures, and the medians over all. */
enum figure {
    PROMPT_RATE, /* tokens per second */
    DECODE_RATE,
    BANDWIDTH,    /* bytes per second that as many threads read from memory */
    PEAK,         /* flops per second in registers */
    DECODE_SHARE, /* decode's share of BANDWIDTH */
    PROMPT_SHARE, /* the prompt's share of PEAK */
    N_FIGURES
};

struct bench {
    const struct sw_call *call;
    struct sw_session *s;
    int32_t *ids; /* (prompt) */
    int sequences, prompt, generate, rounds;
    double token_bytes;  /* weights and KV that one decoded token reads */
    double prompt_flops; /* of the whole prompt */
    double figures[N_FIGURES][MAX_ROUNDS];
};

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double bench_median(const struct bench *b, enum figure figure)
{
    double sorted[MAX_ROUNDS];
    memcpy(sorted, b->figures[figure], (size_t)b->rounds * sizeof *sorted);
    qsort(sorted, (size_t)b->rounds, sizeof *sorted, ascending);
    const int n = b->rounds;
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

/* Weight bytes a step reads, shared by its tokens, and KV at the middle of what is generated. */
static double bytes_per_token(const struct bench *b)
{
    const struct sw_footprint *f = &b->s->footprint;
    const double position = b->prompt + b->generate / 2.0;
    double weights = (double)f->head_bytes, each = (double)f->embed_read_bytes;
    for (int i = 0; i < f->n_layers; i++) {
        const struct sw_layer_footprint *l = &f->layers[i];
        if (l->is_encoder)
            continue;
        weights += (double)l->read_bytes;
        const double seen = l->window > 0 && l->window < position ? l->window : position;
        /* Of an encoder-decoder one half is of the source, the other of what is generated. */
        each += (f->has_encoder ? position / 2 : seen) * (double)l->kv_row_bytes;
    }
    return weights / b->sequences + each;
}

/* Two per multiply-add; the head runs for the last token only. A source's rows make nothing but
 * keys and values of a decoder's layers, which run for one token. */
static double flops_of_prompt(const struct bench *b)
{
    const struct sw_footprint *f = &b->s->footprint;
    const struct sw_dims *d = &b->s->model->dims;
    const double n = b->prompt, of_memory = 4.0 * d->hidden * d->n_kv_heads * d->head_dim;
    double flops = f->head_flops;
    for (int i = 0; i < f->n_layers; i++) {
        const struct sw_layer_footprint *l = &f->layers[i];
        if (f->has_encoder && !l->is_encoder)
            flops += l->token_flops + n * of_memory;
        else
            flops += n * (l->token_flops + l->attend_flops * sw_layer_prompt_sees(l, n));
    }
    return flops;
}

/*
 * Memory bandwidth, measured between the tokens: on a shared machine it changes from second to
 * second, so a share of it is meaningful only if both are measured at the same time.
 */
struct reading {
    struct sw_backend *backend; /* NULL: nothing is read */
    struct sw_cpu_buffer buffer;
    double last; /* time of the last read */
    double bytes, seconds;
};

/* Counts the tokens of all sequences. */
struct crowd {
    int sequences, started;           /* all; those that have their first token */
    int after;                        /* tokens since every sequence had its first */
    double begun, all_started, ended; /* times */
    struct reading *reading;          /* NULL: none; its seconds do not count for the tokens */
};

struct member {
    struct crowd *crowd;
    bool started;
};

static void bench_read_memory(struct reading *r)
{
    const double start = sw_clock();
    if (!r->backend || start - r->last < READ_EVERY_S)
        return;
    const double rate = sw_cpu_read_once(r->backend, &r->buffer);
    r->last = sw_clock();
    r->bytes += (double)r->buffer.bytes;
    r->seconds += (double)r->buffer.bytes / rate;
}

static enum sw_status bench_take_token(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct member *m = owner;
    struct crowd *c = m->crowd;
    (void)token, (void)stop;
    c->after += c->started == c->sequences;
    if (c->started == c->sequences && c->reading)
        bench_read_memory(c->reading);
    if (m->started)
        return SW_OK;
    m->started = true;
    if (++c->started == c->sequences)
        c->all_started = sw_clock();
    return SW_OK;
}

/* All sequences at once, from their prompts to max_new tokens. */
static enum sw_status bench_run_crowd(struct bench *b, struct sw_scheduler *scheduler, int max_new,
                                      struct reading *reading, struct crowd *c)
{
    struct member *members = calloc((size_t)b->sequences, sizeof *members);
    enum sw_status status = members ? SW_OK : sw_fail(SW_ENOMEM, "no memory for the sequences");
    *c = (struct crowd){.sequences = b->sequences, .begun = sw_clock(), .reading = reading};
    for (int i = 0; i < b->sequences && status == SW_OK; i++) {
        members[i].crowd = c;
        b->ids[0] = (int32_t)(i % b->s->vocab_limit); /* no common prefix */
        struct sw_request request = {.max_new = max_new,
                                     .sampling = sw_sampling_default(),
                                     .token = bench_take_token,
                                     .owner = &members[i]};
        sw_request_prompt(&request, sw_scheduler_start(scheduler), b->ids, b->prompt);
        status = sw_scheduler_submit(scheduler, &request, NULL);
    }
    while (status == SW_OK && !sw_scheduler_idle(scheduler))
        status = sw_scheduler_step(scheduler);
    c->ended = sw_clock();
    free(members);
    return status;
}

/* First the prompts alone. Then the same prompts again, all prefix hits but the last token: all
 * sequences generate from the first step on. */
static enum sw_status bench_measure(struct bench *b, int round, struct reading *reading)
{
    const struct sw_session *s = b->s;
    const struct sw_scheduler_options options = {.driver = s->driver,
                                                 .slots = s->params.slots,
                                                 .context = s->params.context,
                                                 .max_batch_tokens = s->params.max_batch_tokens};
    struct sw_scheduler *scheduler;
    struct crowd c;
    SW_TRY(sw_scheduler_open(&options, &scheduler));
    enum sw_status status = bench_run_crowd(b, scheduler, 1, NULL, &c);
    b->figures[PROMPT_RATE][round] = b->sequences * b->prompt / (c.ended - c.begun);
    if (status == SW_OK)
        status = bench_run_crowd(b, scheduler, b->generate + 1, reading, &c);
    sw_scheduler_close(scheduler);
    const double seconds = c.ended - c.all_started - reading->seconds;
    b->figures[DECODE_RATE][round] = c.after > 0 ? c.after / seconds : 0;
    return status;
}

/* The limits are those of this rank's cores, so they only count for a model that it runs alone. */
static bool bench_is_alone(const struct bench *b)
{
    const struct sw_session *s = b->s;
    return s->transport->size == 1 && !s->gpu && s->slices[0].count == s->model->dims.n_layers;
}

static enum sw_status bench_round(struct bench *b, int round)
{
    struct sw_session *s = b->s;
    struct reading reading = {0};
    if (!bench_is_alone(b))
        return bench_measure(b, round, &reading);
    reading.backend = s->cpu;
    SW_TRY(sw_cpu_buffer_open(s->cpu, READ_BYTES, &reading.buffer));
    sw_cpu_read_once(s->cpu, &reading.buffer);
    const enum sw_status status = bench_measure(b, round, &reading);
    if (status == SW_OK && reading.seconds <= 0) /* too few tokens */
        bench_read_memory(&reading);
    sw_cpu_buffer_close(s->cpu, &reading.buffer);
    SW_TRY(status);
    const double bandwidth = reading.bytes / reading.seconds;
    const double peak = sw_cpu_measure_peak(s->cpu, s->params.weights, PEAK_SECONDS);
    b->figures[BANDWIDTH][round] = bandwidth;
    b->figures[PEAK][round] = peak;
    b->figures[DECODE_SHARE][round] = b->figures[DECODE_RATE][round] * b->token_bytes / bandwidth;
    b->figures[PROMPT_SHARE][round] =
        b->prompt_flops / b->prompt * b->figures[PROMPT_RATE][round] / peak;
    return SW_OK;
}

static enum sw_status bench_report_json(const struct bench *b)
{
    const struct sw_session *s = b->s;
    char weights[SW_CHOICE_TEXT];
    json_t *root =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "model",
                  b->call->arguments[0], "weights", sw_weights_text(&s->params, weights), "threads",
                  s->cpu ? sw_cpu_backend_threads(s->cpu) : 0, "sequences", b->sequences,
                  "prompt_tokens", b->prompt, "generated_tokens", b->generate, "rounds", b->rounds,
                  "prompt_tokens_per_s", bench_median(b, PROMPT_RATE), "tokens_per_s",
                  bench_median(b, DECODE_RATE), "bytes_per_token", b->token_bytes, "prompt_flops",
                  b->prompt_flops * bench_median(b, PROMPT_RATE) / b->prompt, "load_s", s->load_s,
                  "predicted", sw_session_predicted(s), "ranks", sw_session_ranks(s));
    if (root && s->cpu)
        json_object_set_new(root, "isa", json_string(sw_isa_name(sw_cpu_backend_isa(s->cpu))));
    if (root && s->cpu)
        json_object_set_new(root, "amx", json_boolean(sw_cpu_backend_amx(s->cpu)));
    if (root && bench_is_alone(b)) {
        json_object_set_new(root, "read_bandwidth", json_real(bench_median(b, BANDWIDTH)));
        json_object_set_new(root, "decode_share", json_real(bench_median(b, DECODE_SHARE)));
        json_object_set_new(root, "peak_flops", json_real(bench_median(b, PEAK)));
        json_object_set_new(root, "prompt_share", json_real(bench_median(b, PROMPT_SHARE)));
    }
    return sw_json_print(root);
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static enum sw_status bench_report_text(const struct bench *b)
{
    const struct sw_session *s = b->s;
    const struct sw_prediction *predicted = &s->plan.predicted;
    const double decode = bench_median(b, DECODE_RATE), prompt = bench_median(b, PROMPT_RATE);
    const int ranks = s->transport->size, threads = s->cpu ? sw_cpu_backend_threads(s->cpu) : 0;
    char rate[16], more[16], weights[SW_CHOICE_TEXT];
    printf("%s, %s weights, %d rank%s, %d thread%s on rank 0 (%s%s), %d sequence%s; ",
           b->call->arguments[0], sw_weights_text(&s->params, weights), ranks, plural(ranks),
           threads, plural(threads),
           s->cpu   ? sw_isa_name(sw_cpu_backend_isa(s->cpu))
           : s->gpu ? s->gpu->ops->name
                    : "no layers",
           s->cpu && sw_cpu_backend_amx(s->cpu) ? " with AMX" : "", b->sequences,
           plural(b->sequences));
    printf("medians of %d round%s\n", b->rounds, plural(b->rounds));
    printf("  prompt %5d tokens   %10s tokens/s", b->prompt,
           sw_number_format(prompt, rate, sizeof rate));
    if (bench_is_alone(b))
        printf("   %6.1f GFLOP/s, %3.0f%% of the %.0f that registers alone reach",
               b->prompt_flops * prompt / b->prompt / 1e9, 100 * bench_median(b, PROMPT_SHARE),
               bench_median(b, PEAK) / 1e9);
    printf("\n  decode %5d tokens   %10s tokens/s", b->generate,
           sw_number_format(decode, rate, sizeof rate));
    if (bench_is_alone(b))
        printf("   %6.1f GB/s, %3.0f%% of the %.1f that memory gives",
               decode * b->token_bytes / 1e9, 100 * bench_median(b, DECODE_SHARE),
               bench_median(b, BANDWIDTH) / 1e9);
    printf("\n  predicted            %10s tokens/s decode, %s prompt; loaded in %.2f s\n",
           sw_number_format(predicted->tokens_per_s, rate, sizeof rate),
           sw_number_format(predicted->prompt_tokens_per_s, more, sizeof more), s->load_s);
    return SW_OK;
}

/* Chooses the length of the prompt, and checks that prompt and new tokens fit. */
static enum sw_status bench_choose_tokens(struct bench *b)
{
    const struct sw_options *o = &b->call->options;
    const int most = b->s->model->dims.context > 0 ? b->s->model->dims.context : INT_MAX;
    const int context = o->context > 0 && o->context < most ? o->context : most;
    b->generate = o->n;
    b->prompt = o->prompt > 0 ? o->prompt : sw_default_prompt(context, o->n);
    if (b->prompt > context - b->generate)
        return sw_fail(SW_EUSAGE,
                       "bench: %d prompt token%s and %d more do not fit in %d positions; give a "
                       "smaller %s%s",
                       b->prompt, plural(b->prompt), b->generate, context,
                       o->prompt > 0 ? "--prompt or --n" : "--n",
                       context < most ? ", or a larger --context" : "");
    return SW_OK;
}

static enum sw_status bench_drive(struct sw_call *call, struct sw_session *s)
{
    const struct sw_options *o = &call->options;
    SW_TRY(sw_call_files(call, NULL, NULL));
    struct bench *b = calloc(1, sizeof *b);
    if (!b)
        return sw_fail(SW_ENOMEM, "no memory for the figures");
    b->call = call;
    b->s = s;
    b->sequences = o->slots > 0 ? o->slots : 1;
    b->rounds = o->repeat > 0 ? o->repeat : 3;
    enum sw_status status = bench_choose_tokens(b);
    const struct sw_session_defaults defaults = {.positions = b->prompt + b->generate,
                                                 .prompt_tokens = b->prompt,
                                                 .new_tokens = b->generate};
    if (status == SW_OK && b->rounds > MAX_ROUNDS)
        status = sw_fail(SW_EUSAGE, "bench: --repeat: at most %d", MAX_ROUNDS);
    if (status == SW_OK && !(b->ids = calloc((size_t)b->prompt, sizeof *b->ids)))
        status = sw_fail(SW_ENOMEM, "no memory for the prompt");
    if (status == SW_OK)
        status = sw_session_start(s, &defaults);
    for (int i = 0; i < b->prompt && status == SW_OK; i++)
        b->ids[i] = (int32_t)((unsigned)i * 7919u % (unsigned)s->vocab_limit);
    if (status == SW_OK) {
        b->token_bytes = bytes_per_token(b);
        b->prompt_flops = flops_of_prompt(b);
    }
    for (int i = 0; i < b->rounds && status == SW_OK; i++)
        status = bench_round(b, i);
    if (status == SW_OK)
        status = sw_session_stop(s);
    if (status == SW_OK)
        status = o->json ? bench_report_json(b) : bench_report_text(b);
    free(b->ids);
    free(b);
    return status;
}

static enum sw_status bench(struct sw_call *call)
{
    call->measures = true;
    return sw_call_run(call, bench_drive);
}

#define FIELD(name) offsetof(struct sw_options, name)

static const struct sw_option own[] = {
    {"prompt", 'p', "N", "prompt tokens (default: 512, or what has room)", FIELD(prompt),
     sw_parse_count},
    {"n", 'n', "N", "generated tokens (default: 128)", FIELD(n), sw_parse_count},
    {"repeat", 'r', "N", "rounds; medians are printed (default: 3)", FIELD(repeat), sw_parse_count},
    {0}};

const struct sw_verb sw_verb_bench = {
    .name = "bench",
    .arguments = "MODEL",
    .min_arguments = 1,
    .max_arguments = 1,
    .n_models = 1,
    .summary = "measure prompt and generation speed against this machine's limits",
    .description =
        "Each round computes a prompt, generates, and measures the limits with the same threads:\n"
        "the memory's read bandwidth (between the tokens), which bounds decoding, and the peak of\n"
        "arithmetic, which bounds the prompt. With --slots N, N sequences run at once, each with\n"
        "its own prompt, which for an encoder-decoder (T5) is its source. A config.json is enough\n"
        "with --weights-from random.\n\n"
        "  spillway bench llama-1b --weights-from random --weights bf16 --threads 2",
    .own = {own},
    .takes = SW_TAKES_PLACEMENT | SW_TAKES_PROGRESS | SW_TAKES_POPULARITY,
    .run = bench,
};

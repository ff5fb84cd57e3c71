/*
 * Steps that are repeated as graphs: the same bits as with each kernel launched by itself, whatever
 * sequences take part, while they grow past every position bucket, and that it is graphs that did
 * it. Also run on real GPUs (tests/gpu.sh).
 */
#include "engine/pipeline_job.h"
#include "engine/scheduler.h"
#include "gpulib_help.h"
#include "repeated.h"

/* ---- one layer */

/* Sequences that cross 256, 512 and 1024 positions, or are far from it. */
static const int64_t starts[LAYER_SLOTS] = {253, 3, 510, 100, 255, 700, 1021, 0, 30, 511};
static const int rows_of_phase[] = {1, 3, 8, 2, 1, 9, 1};
enum { PHASES = sizeof rows_of_phase / sizeof rows_of_phase[0], STEPS = 6 };

static void steps_agree(enum sw_format_id format, int phases)
{
    struct sw_backend *a = open_repeating(true), *b = open_repeating(false);
    struct layer graphs = layer_open(a, format), plain = layer_open(b, format);
    int64_t positions[LAYER_SLOTS];
    float got[LAYER_ROWS * LAYER_HIDDEN], want[LAYER_ROWS * LAYER_HIDDEN];
    memcpy(positions, starts, sizeof positions);
    for (int step = 0; step < phases * STEPS; step++) {
        const int n = rows_of_phase[step / STEPS];
        int slots[LAYER_ROWS];
        int64_t at[LAYER_ROWS];
        for (int i = 0; i < n; i++) { /* not the same ones in the same order each time */
            slots[i] = (step / STEPS * 3 + (step + i) % n) % LAYER_SLOTS;
            at[i] = positions[slots[i]]++;
        }
        layer_rows(&graphs, slots, at, n);
        layer_rows(&plain, slots, at, n);
        ok(layer_step(&graphs, 7, (uint64_t)step, got));
        ok(layer_step(&plain, 7, (uint64_t)step, want));
        const size_t bytes = (size_t)n * LAYER_HIDDEN * sizeof(float);
        const bool same = memcmp(got, want, bytes) == 0;
        if (!same)
            printf("    %s, step %d, %d rows, position %lld: other bits\n",
                   sw_format_of(format)->name, step, n, (long long)at[0]);
        CU_ASSERT_TRUE_FATAL(same);
        for (int i = 0; i < n * LAYER_HIDDEN; i++)
            CU_ASSERT_FALSE(isnan(got[i]));
    }
    /* Nine rows are too many, and each new kind of step is seen and captured first. */
    const uint64_t least = phases > 2 ? (uint64_t)(phases * STEPS / 2 - STEPS) : 1;
    if (replays_of(&graphs) < least)
        printf("    only %llu steps were repeated\n", (unsigned long long)replays_of(&graphs));
    CU_ASSERT(replays_of(&graphs) >= least);
    CU_ASSERT_EQUAL(replays_of(&plain), 0);
    CU_ASSERT_EQUAL(plain.enqueued, phases * STEPS);
    layer_close(&graphs);
    layer_close(&plain);
    a->ops->close(a);
    b->ops->close(b);
}

static void as_one_by_one(void)
{
    steps_agree(SW_FORMAT_F16, PHASES);
    steps_agree(SW_FORMAT_INT8, 3);
    steps_agree(SW_FORMAT_Q8_0, 1);
}

/* Sequences of one number of rows differ by their ids alone. */
static void several_sequences(void)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = layer_open(b, SW_FORMAT_F16);
    const int slot = 4;
    const int64_t position = 20;
    float want[3][LAYER_HIDDEN], got[LAYER_HIDDEN];
    layer_rows(&k, &slot, &position, 1);
    for (int i = 0; i < 15; i++) {
        k.more = i % 3;
        ok(layer_step(&k, 100 + i % 3, 1, i < 3 ? want[i] : got));
        if (i >= 3)
            CU_ASSERT(memcmp(got, want[i % 3], sizeof got) == 0);
    }
    CU_ASSERT(memcmp(want[0], want[1], sizeof got) != 0);
    CU_ASSERT_EQUAL(k.enqueued, 6);
    CU_ASSERT_EQUAL(replays_of(&k), 9);
    layer_close(&k);
    b->ops->close(b);
}

/* Where memory goes and other comes, nothing is repeated that names it. */
static void other_memory(void)
{
    struct sw_backend *b = open_repeating(true);
    struct layer k = layer_open(b, SW_FORMAT_F16);
    const size_t bytes = LAYER_ROWS * LAYER_HIDDEN * sizeof(float);
    const int slot = 0;
    const int64_t position = 300;
    float want[LAYER_HIDDEN], got[LAYER_HIDDEN];
    layer_rows(&k, &slot, &position, 1);
    ok(layer_step(&k, 1, 9, want));
    for (int i = 0; i < 6; i++) {
        if (i % 3 == 2) {
            float *d_old = k.d_x;
            k.d_x = room(b, bytes);
            b->ops->free(b, d_old, bytes);
        }
        ok(layer_step(&k, 1, 9, got));
        CU_ASSERT(memcmp(got, want, sizeof got) == 0);
    }
    CU_ASSERT_EQUAL(replays_of(&k), 1 + 1);
    layer_close(&k);
    b->ops->close(b);
}

/* What is not finite is found behind a step that is repeated, too. */
static void not_finite(void)
{
    struct sw_backend *b = open_repeating(true);
    const struct sw_gpu_ops *ops = b->gpu;
    struct layer k = layer_open(b, SW_FORMAT_F16);
    const struct sw_gpu_sequence sequence = {1, k.spans, 2, layer_enqueue, &k};
    const int slots[] = {2, 6};
    const int64_t positions[] = {5, 70};
    float out[LAYER_ROWS * LAYER_HIDDEN], bad = NAN;
    layer_rows(&k, slots, positions, 2);
    for (int i = 0; i < 4; i++) {
        ok(layer_step(&k, 1, 3, out));
        ok(ops->check_finite(b, k.d_x, LAYER_HIDDEN, 2, LAYER_HIDDEN, "layer 7"));
    }
    ok(b->ops->upload(b, k.d_x + LAYER_HIDDEN, &bad, sizeof bad));
    ok(ops->replay(b, &sequence));
    CU_ASSERT_EQUAL(replays_of(&k), 3);
    CU_ASSERT_EQUAL(ops->check_finite(b, k.d_x, LAYER_HIDDEN, 2, LAYER_HIDDEN, "layer 7"),
                    SW_EDEVICE);
    CU_ASSERT(strstr(sw_error_message(), "layer 7 has values that are not finite") != NULL);
    layer_close(&k);
    b->ops->close(b);
}

/* ---- whole models: texts that begin and end at different times */

enum { TEXTS = 3, MOST_IDS = 260, MOST_NEW = 20 };

struct lengths {
    int ids[TEXTS], new_ids[TEXTS];
};

struct text {
    int n_ids, max_new, n_new;
    int32_t ids[MOST_IDS], new_ids[MOST_NEW];
    float logprobs[MOST_NEW];
};

struct texts {
    struct text of[TEXTS];
};

static enum sw_status take(void *owner, const struct sw_sampled *token, bool *stop)
{
    struct text *t = owner;
    *stop = false;
    t->new_ids[t->n_new] = token->id;
    t->logprobs[t->n_new++] = token->logprob;
    return SW_OK;
}

static enum sw_status drive(struct job *job, struct sw_driver *driver)
{
    struct texts *texts = job->drive_context;
    const struct sw_scheduler_options options = {.driver = driver,
                                                 .slots = job->slots,
                                                 .context = job->context,
                                                 .max_batch_tokens = job->chunk};
    struct sw_scheduler *s;
    SW_TRY(sw_scheduler_open(&options, &s));
    enum sw_status status = SW_OK;
    for (int i = 0; i < TEXTS && status == SW_OK; i++) {
        struct text *t = &texts->of[i];
        const struct sw_request r = {.ids = t->ids,
                                     .n_ids = t->n_ids,
                                     .score_from = t->n_ids,
                                     .max_new = t->max_new,
                                     .sampling = sw_sampling_default(),
                                     .token = take,
                                     .owner = t};
        status = sw_scheduler_submit(s, &r, NULL);
    }
    while (status == SW_OK && !sw_scheduler_idle(s))
        status = sw_scheduler_step(s);
    sw_scheduler_close(s);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

/* Returns the replays of all ranks. */
static uint64_t generate(const char *name, int ranks, const struct sw_engine_slice *slices,
                         bool graphs, const struct lengths *lengths, struct texts *texts)
{
    static const int32_t one = 1;
    char dir[4096];
    uint32_t state = 99;
    const char *root = getenv("SW_SOURCE_DIR"); /* in a bundle it is elsewhere */
    snprintf(dir, sizeof dir, "%s/tests/models/tiny/%s", root ? root : SW_SOURCE_DIR, name);
    struct job job = {.dir = dir,
                      .weights = SW_FORMAT_F16,
                      .kv = SW_F16,
                      .ranks = ranks,
                      .threads = 1,
                      .chunk = 64,
                      .context = 280,
                      .slots = TEXTS,
                      .slices = slices,
                      .gpus = true,
                      .library = gpu_library(),
                      .no_graphs = !graphs,
                      .drive = drive,
                      .drive_context = texts,
                      .ids = &one,
                      .n_ids = 1};
    for (int i = 0; i < TEXTS; i++) {
        texts->of[i] = (struct text){.n_ids = lengths->ids[i], .max_new = lengths->new_ids[i]};
        for (int k = 0; k < lengths->ids[i]; k++) {
            state = state * 1664525u + 1013904223u;
            texts->of[i].ids[k] = (int32_t)(3 + (state >> 16) % 240);
        }
    }
    const enum sw_status status = job_run(&job);
    if (status != SW_OK)
        printf("    %s: %s\n", name, job.error);
    CU_ASSERT_EQUAL_FATAL(status, SW_OK);
    job_free(&job);
    uint64_t replays = 0;
    for (int r = 0; r < ranks; r++)
        replays += job.replays[r];
    return replays;
}

/* least: so many replays at least; UINT64_MAX: there are none to be. */
static void texts_agree(const char *name, int ranks, const struct sw_engine_slice *slices,
                        const struct lengths *lengths, uint64_t least)
{
    static struct texts got, want;
    const uint64_t replays = generate(name, ranks, slices, true, lengths, &got);
    CU_ASSERT_EQUAL(generate(name, ranks, slices, false, lengths, &want), 0);
    if (least == UINT64_MAX ? replays > 0 : replays < least)
        printf("    %s: %llu steps were repeated\n", name, (unsigned long long)replays);
    CU_ASSERT(least == UINT64_MAX ? replays == 0 : replays >= least);
    for (int i = 0; i < TEXTS; i++) {
        const struct text *a = &got.of[i], *b = &want.of[i];
        const size_t n = (size_t)b->n_new;
        CU_ASSERT_EQUAL(a->n_new, b->max_new);
        CU_ASSERT_EQUAL(b->n_new, b->max_new);
        CU_ASSERT(memcmp(a->new_ids, b->new_ids, n * sizeof *a->new_ids) == 0);
        CU_ASSERT(memcmp(a->logprobs, b->logprobs, n * sizeof *a->logprobs) == 0);
    }
}

static struct sw_engine_slice slice(int first, int gpu, int host, int streamed)
{
    return (struct sw_engine_slice){.first = first,
                                    .count = gpu + host + streamed,
                                    .tiers = {.n_gpu = gpu,
                                              .n_host = host,
                                              .n_streamed = streamed,
                                              .embed_on_gpu = true,
                                              .head_on_gpu = true},
                                    .gpu_memory = (uint64_t)64 << 20};
}

/* Past 256 positions, three sequences, then two, then one. */
static void long_texts(void)
{
    const struct sw_engine_slice all = slice(0, 3, 0, 0);
    static const struct lengths lengths = {{252, 9, 20}, {14, 10, 20}};
    texts_agree("llama31", 1, &all, &lengths, 8);
}

/* Beside layers elsewhere, and where only some layers have nothing to do with the host. */
static void other_layers(void)
{
    const struct sw_engine_slice mixed = slice(0, 1, 1, 1);
    const struct sw_engine_slice two = slice(0, 2, 0, 0), four = slice(0, 4, 0, 0);
    static const struct lengths lengths = {{3, 4, 2}, {2, 2, 6}};
    texts_agree("llama31", 1, &mixed, &lengths, 2);
    texts_agree("mixtral", 1, &two, &lengths, UINT64_MAX);
    texts_agree("qwen3_moe_sparse_step", 1, &four, &lengths, 4);
}

SW_UNIT_TESTS({"as one by one", as_one_by_one}, {"several sequences", several_sequences},
              {"other memory", other_memory}, {"not finite", not_finite},
              {"long texts", long_texts}, {"other layers", other_layers})

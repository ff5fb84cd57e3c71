/*
 * Layers on the GPU, in host memory, streamed: every way to lay them out gives the bits of a run on
 * the CPU alone, takes the memory that the plan counted, and fails cleanly when it is not there.
 * The GPU is tests/fake_gpu.h.
 */
#include "engine/scheduler.h"
#include "tiers.h"

#define MIXED_SLOTS 3

static void same_as(struct job *job, const struct job *first, const struct sw_engine_slice *slices)
{
    char text[128];
    const bool same = memcmp(job->logits, first->logits,
                             (size_t)N_IDS * (size_t)job->vocab * sizeof(float)) == 0 &&
                      memcmp(job->new_ids, first->new_ids, N_NEW * sizeof *job->new_ids) == 0;
    if (!same)
        printf("    %s, chunks of %d: %s: other bits\n", strrchr(job->dir, '/') + 1, job->chunk,
               say(&slices[0], text, sizeof text));
    CU_ASSERT_TRUE(same);
}

/* Every split of the layers, every place of the ends, with and without streaming of prompts. */
static void every_mix(const char *name, enum sw_format_id format)
{
    char dir[4096];
    int layers;
    bool tied, good = true;
    path_of(name, dir, sizeof dir);
    properties(dir, &layers, &tied);
    struct job first = job_of(dir, format);
    CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
    int n = 0;
    for (int gpu = 0; gpu <= layers; gpu++)
        for (int streamed = 0; gpu + streamed <= layers && good; streamed++)
            for (int bits = 0; bits < 8 && good; bits++) {
                struct sw_engine_slice slice = {.count = layers};
                slice.tiers = (struct sw_tiers){.n_gpu = gpu,
                                                .n_streamed = streamed,
                                                .embed_on_gpu = bits & 1,
                                                .head_on_gpu = bits & 2,
                                                .stream_rows = bits & 4 ? 5 : 0};
                if ((tied && slice.tiers.embed_on_gpu != slice.tiers.head_on_gpu) ||
                    ((bits & 4) && gpu + streamed == layers))
                    continue;
                struct job job = job_of(dir, format);
                job.chunk = n++ % 2 ? 7 : 80;
                good = run(&job, &slice);
                if (good)
                    same_as(&job, &first, &slice);
                job_free(&job);
            }
    job_free(&first);
}

static void every_family(void)
{
    static const char *const names[] = {"bloom",
                                        "gpt2",
                                        "gpt_neox",
                                        "gptj",
                                        "llama31",
                                        "mistral",
                                        "mixtral",
                                        "opt",
                                        "opt_350m",
                                        "qwen2",
                                        "qwen3",
                                        "qwen3_moe",
                                        "qwen3_moe_sparse_step",
                                        "qwen3_next"};
    make_ids();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        every_mix(names[i], SW_FORMAT_F32);
}

/* Of a smaller vocabulary: latents, heads of two sizes, rows with more aside. */
static void latents_and_asides(void)
{
    make_ids();
    for (int i = 0; i < N_IDS; i++)
        ids[i] %= 131;
    every_mix("deepseek_v2", SW_FORMAT_F32);
    every_mix("glm4_moe_lite", SW_FORMAT_Q8_0);
    every_mix("gemma4", SW_FORMAT_F32);
    every_mix("gemma4_e", SW_FORMAT_F32);
}

/* With experts every fourth: their code is the same for all. */
static void every_weight_format(void)
{
    make_ids();
    for (int i = 0; i < SW_FORMAT_COUNT; i++) {
        every_mix("llama31", (enum sw_format_id)i);
        if (i % 4 == 2)
            every_mix("mixtral", (enum sw_format_id)i);
    }
}

/* Two and three ranks, each with tiers of its own, and ends on either device. */
static void several_ranks(void)
{
    static const struct {
        int ranks;
        struct sw_engine_slice slices[3];
    } cases[] = {
        {2, {{0, 2, TIERS(1, 0, 0, true, false), 0}, {2, 1, TIERS(0, 1, 0, false, true), 0}}},
        {2, {{0, 1, TIERS(0, 0, 3, false, false), 0}, {1, 2, TIERS(1, 0, 6, false, false), 0}}},
        {2, {{0, 2, TIERS(0, 1, 2, true, false), 0}, {2, 1, TIERS(0, 0, 0, false, false), 0}}},
        {3,
         {{0, 1, TIERS(1, 0, 0, false, false), 0},
          {1, 1, TIERS(0, 0, 0, false, false), 0},
          {2, 1, TIERS(1, 0, 0, false, true), 0}}}};
    static const char *const names[] = {"gpt_neox", "bloom", "qwen2"};
    char dir[4096];
    make_ids();
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        path_of(names[k], dir, sizeof dir);
        struct job first = job_of(dir, SW_FORMAT_F32);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
            for (int chunk = 4; chunk <= 80; chunk += 76) {
                struct sw_engine_slice slices[3];
                struct job job = job_of(dir, SW_FORMAT_F32);
                memcpy(slices, cases[i].slices, sizeof slices);
                job.ranks = cases[i].ranks;
                job.chunk = chunk;
                if (run(&job, slices))
                    same_as(&job, &first, slices);
                job_free(&job);
            }
        job_free(&first);
    }
}

/* ---- batches with decode rows and prompts, and copies of slots */

struct received {
    float *logits;
    size_t n, capacity;
};

static enum sw_status receive_logits(void *context, const struct sw_span *span, const float *data)
{
    struct job *job = context;
    struct received *received = job->drive_context;
    const size_t more = (size_t)span->n * (size_t)job->vocab;
    if (received->n + more > received->capacity)
        return SW_ENOMEM;
    memcpy(received->logits + received->n, data, more * sizeof *data);
    received->n += more;
    return SW_OK;
}

/* Submits rows of up to three slots in one batch, with the logits of all rows. */
static enum sw_status submit(struct sw_driver *driver, const struct sw_span *given, int n_spans)
{
    struct sw_span spans[MIXED_SLOTS];
    struct sw_row_outputs outputs[MIXED_SLOTS] = {{0, 0, 0, 0}};
    int32_t row_ids[N_IDS];
    struct sw_microbatch batch = {
        .n_spans = n_spans, .spans = spans, .outputs = outputs, .ids = row_ids};
    for (int i = 0; i < n_spans; i++) {
        spans[i] = given[i];
        spans[i].row = batch.n_rows;
        for (int64_t r = 0; r < spans[i].n; r++)
            row_ids[batch.n_rows++] = ids[(spans[i].position + r + 11 * spans[i].slot) % N_IDS];
    }
    SW_TRY(sw_driver_submit(driver, &batch));
    return sw_driver_drain(driver);
}

static enum sw_status drive_mixed(struct job *job, struct sw_driver *driver)
{
    static const struct {
        int n;
        struct sw_span spans[MIXED_SLOTS];
        int copy_from, copy_to, copied;
    } steps[] = {
        {1, {{0, 0, 0, 30}}, 0, 0, 0},
        {2, {{0, 30, 0, 1}, {1, 0, 0, 40}}, 0, 0, 0},  /* a prompt comes during decoding */
        {2, {{0, 31, 0, 1}, {1, 40, 0, 1}}, 1, 2, 35}, /* decoding alone, then a copy */
        {3, {{0, 32, 0, 1}, {1, 41, 0, 1}, {2, 35, 0, 20}}, 0, 0, 0},
        {3, {{2, 55, 0, 12}, {1, 42, 0, 1}, {0, 33, 0, 1}}, 2, 0, 66}, /* over a block's edge */
        {3, {{0, 66, 0, 1}, {1, 43, 0, 1}, {2, 67, 0, 1}}, 0, 0, 0},
        {2, {{0, 67, 0, 6}, {1, 44, 0, 25}}, 0, 0, 0},
        {3, {{0, 73, 0, 1}, {1, 69, 0, 1}, {2, 68, 0, 1}}, 0, 0, 0}};
    const struct sw_driver_hooks hooks = {.logits = receive_logits, .context = job};
    const struct sw_sampling greedy = sw_sampling_default();
    SW_TRY(sw_driver_hooks(driver, &hooks));
    for (int slot = 0; slot < MIXED_SLOTS; slot++)
        SW_TRY(sw_driver_slot(driver, slot, &greedy));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        SW_TRY(submit(driver, steps[i].spans, steps[i].n));
        if (steps[i].copied)
            SW_TRY(sw_driver_copy(driver, steps[i].copy_from, steps[i].copy_to, steps[i].copied));
    }
    return sw_driver_stop(driver);
}

static struct received mixed(struct job *job, struct sw_engine_slice *slices)
{
    struct received received = {calloc(400 * 400, sizeof(float)), 0, 400 * 400};
    job->slots = MIXED_SLOTS;
    job->drive = drive_mixed;
    job->drive_context = &received;
    if (slices)
        CU_ASSERT_TRUE(run(job, slices));
    if (!slices)
        CU_ASSERT_EQUAL(job_run(job), SW_OK);
    job_free(job);
    return received;
}

static void mixed_batches(void)
{
    static const char *const names[] = {"llama31", "mistral",      "bloom",
                                        "mixtral", "qwen2_window", "qwen3_next"};
    static const struct sw_tiers tiers[] = {
        TIERS(0, 0, 2, true, true),
        TIERS(0, 0, 20, false, false),
        TIERS(1, 0, 3, true, true),
        TIERS(1, 1, 10, true, true),
        TIERS(0, 1, 0, false, false),
        TIERS(0, 2, 4, true, true),
        TIERS(2, 0, 0, false, false),
        TIERS(0, 0, 1, false, false),
        {.n_streamed = 2, .by_expert = true, .embed_on_gpu = true, .head_on_gpu = true},
        {.n_gpu = 1, .n_streamed = 1, .by_expert = true, .cached_experts = 3}};
    char dir[4096], text[128];
    make_ids();
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
        for (int format = SW_FORMAT_F32; format <= SW_FORMAT_BF16; format++) {
            int layers;
            bool tied;
            path_of(names[k], dir, sizeof dir);
            properties(dir, &layers, &tied);
            struct job plain = job_of(dir, (enum sw_format_id)format);
            struct received expected = mixed(&plain, NULL);
            CU_ASSERT(expected.n > 0);
            for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++) {
                struct sw_engine_slice slice = {.count = layers, .tiers = tiers[i]};
                struct job job = job_of(dir, (enum sw_format_id)format);
                if (tiers[i].n_gpu + tiers[i].n_streamed >= layers && tiers[i].stream_rows)
                    continue;
                struct received got = mixed(&job, &slice);
                const bool same = got.n == expected.n &&
                                  memcmp(got.logits, expected.logits, got.n * sizeof(float)) == 0;
                if (!same)
                    printf("    %s: %s: other bits\n", names[k], say(&slice, text, sizeof text));
                CU_ASSERT_TRUE(same);
                free(got.logits);
            }
            free(expected.logits);
        }
}

/* ---- which layers are streamed, and when there is no memory */

/* Up to two layers stay in their buffers; more are streamed for every batch, the first ones ahead.
 */
static void layers_pass_no_more_than_needed(void)
{
    char dir[4096];
    path_of("gpt_neox", dir, sizeof dir);
    make_ids();
    for (int streamed = 1; streamed <= 3; streamed++) {
        struct sw_engine_slice slice = {.count = 3};
        slice.tiers.n_gpu = 3 - streamed;
        slice.tiers.n_streamed = streamed;
        struct job job = job_of(dir, SW_FORMAT_F32);
        job.chunk = 25;
        job.n_new = 0;
        const uint64_t layer =
            count(dir, &job, &slice, 0, false).stage.host.weights / (uint64_t)streamed;
        if (run(&job, &slice)) /* three batches of 25 */
            CU_ASSERT_EQUAL(job.gpu_reports[0].fetched,
                            layer * (uint64_t)(streamed < 3 ? streamed : 3 * 3 + 2));
        job_free(&job);
    }
}

/* Streamed layers lie among the host layers, evenly and the last one at the end, so that a bus has
 * work while the CPU computes: GPU and CPU take turns as often as there are of the fewer. */
static void streamed_layers_are_spread(void)
{
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/tests/models/shakespeare", SW_SOURCE_DIR);
    make_ids();
    struct job first = job_of(dir, SW_FORMAT_F32);
    CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
    for (int gpu = 0; gpu <= 1; gpu++)
        for (int streamed = 1; streamed + gpu < 6; streamed++) {
            const int host = 6 - gpu - streamed, turns = host < streamed ? host : streamed;
            struct sw_engine_slice slice = {.count = 6, .tiers = TIERS(gpu, streamed, 0, gpu, 0)};
            struct job job = job_of(dir, SW_FORMAT_F32); /* the head is on the CPU */
            if (run(&job, &slice)) {
                same_as(&job, &first, &slice);
                CU_ASSERT_EQUAL(job.gpu_reports[0].turns, (1 + N_NEW) * (turns + gpu));
            }
            job_free(&job);
        }
    job_free(&first);
    for (int all = 1; all < 40; all++)
        for (int n = 0; n <= all; n++) {
            int found = 0;
            for (int i = 0; i < all; i++) {
                found += sw_is_spread(i, n, all);
                CU_ASSERT_EQUAL(found, (i + 1) * n / all);
            }
        }
}

/* From stream_rows rows on: of batches of 20, 20, 20 and 15 rows three are streamed, or none. */
static void prompts_pass_from_so_many_rows_on(void)
{
    char dir[4096];
    path_of("gpt_neox", dir, sizeof dir);
    make_ids();
    for (int rows = 20; rows <= 21; rows++) {
        struct sw_engine_slice slice = {.count = 3, .tiers = {.stream_rows = rows}};
        struct job job = job_of(dir, SW_FORMAT_F32);
        job.chunk = 20;
        job.n_new = 0;
        const uint64_t layer = count(dir, &job, &slice, 0, true).stage.host.weights / 3;
        if (run(&job, &slice))
            CU_ASSERT_EQUAL(job.gpu_reports[0].fetched, rows == 20 ? layer * (2 + 3 * 3) : 0);
        job_free(&job);
    }
}

/* All layers are streamed, then the last two, in turns. */
static enum sw_status drive_turns(struct job *job, struct sw_driver *driver)
{
    static const struct sw_span turns[] = {
        {0, 0, 0, 20}, {0, 20, 0, 1}, {0, 21, 0, 20}, {0, 41, 0, 1}, {0, 42, 0, 20}};
    const struct sw_sampling greedy = sw_sampling_default();
    (void)job;
    SW_TRY(sw_driver_slot(driver, 0, &greedy));
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++)
        SW_TRY(submit(driver, &turns[i], 1));
    return sw_driver_stop(driver);
}

/* A layer that the next batch needs second is not dropped for the first: 2 + 3 layers are fetched,
 * then 1, 1 + 3, 1 and 1 + 3. */
static void turns_keep_what_they_share(void)
{
    char dir[4096];
    path_of("gpt_neox", dir, sizeof dir);
    make_ids();
    struct sw_engine_slice slice = {.count = 3, .tiers = {.n_streamed = 2, .stream_rows = 5}};
    struct job job = job_of(dir, SW_FORMAT_F32);
    job.drive = drive_turns;
    const uint64_t layer = count(dir, &job, &slice, 0, true).stage.host.weights / 3;
    if (run(&job, &slice))
        CU_ASSERT_EQUAL(job.gpu_reports[0].fetched, layer * 15);
    job_free(&job);
}

static enum sw_status count_batches(struct job *job, struct sw_driver *driver)
{
    const struct sw_scheduler_options options = {
        .driver = driver, .slots = 1, .context = job->context, .max_batch_tokens = job->chunk};
    const struct sw_request request = {.ids = ids,
                                       .n_ids = N_IDS,
                                       .score_from = N_IDS,
                                       .max_new = 1,
                                       .sampling = sw_sampling_default()};
    struct sw_scheduler_stats stats;
    struct sw_scheduler *s;
    SW_TRY(sw_scheduler_open(&options, &s));
    enum sw_status status = sw_scheduler_submit(s, &request, NULL);
    while (status == SW_OK && !sw_scheduler_idle(s))
        status = sw_scheduler_step(s);
    sw_scheduler_stats(s, &stats);
    *(int64_t *)job->drive_context = stats.batches;
    sw_scheduler_close(s);
    return status == SW_OK ? sw_driver_stop(driver) : status;
}

/* A prompt is cut so that stages overlap, but not when each piece would stream all layers again. */
static void prompts_pass_in_one_piece(void)
{
    static const struct {
        int stream_rows;
        bool cut;
    } cases[] = {{0, true}, {5, false}, {N_IDS, false}, {N_IDS + 1, true}};
    char dir[4096];
    path_of("gpt_neox", dir, sizeof dir);
    make_ids();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_engine_slice slices[2] = {
            {.count = 2, .tiers = {.stream_rows = cases[i].stream_rows}},
            {.first = 2, .count = 1, .tiers = {.n_gpu = 1}}};
        struct job job = job_of(dir, SW_FORMAT_F32);
        int64_t batches = 0;
        job.ranks = 2;
        job.drive = count_batches;
        job.drive_context = &batches;
        CU_ASSERT_TRUE(run(&job, slices));
        CU_ASSERT((batches > 1) == cases[i].cut && batches > 0);
        job_free(&job);
    }
}

/* Short by a byte, and with every allocation failing in turn: an error, and nothing is left. */
static void memory_that_is_not_there(void)
{
    char dir[4096];
    path_of("mixtral", dir, sizeof dir);
    make_ids();
    struct sw_engine_slice slice = {.count = 2};
    slice.tiers = (struct sw_tiers)TIERS(0, 1, 5, true, true);
    int at = 0;
    for (enum sw_status status = SW_ENOMEM; status == SW_ENOMEM && at < 100; at++) {
        struct job job = job_of(dir, SW_FORMAT_F32);
        const uint64_t memory = count(dir, &job, &slice, 0, true).gpu;
        job.slices = &slice;
        job.gpus = true;
        slice.gpu_memory = at ? memory : memory - 1;
        job.fail_at = at;
        status = job_run(&job);
        const struct fake_report *g = &job.gpu_reports[0], *h = &job.cpu_reports[0];
        CU_ASSERT(status == SW_OK || status == SW_ENOMEM);
        CU_ASSERT_EQUAL(g->left + h->left, 0);
        CU_ASSERT_EQUAL(g->faults + h->faults + g->pins_left, 0);
        if (g->faults + h->faults)
            printf("    at %d: %s%s\n", at, g->fault, h->fault);
        job_free(&job);
    }
    CU_ASSERT(at > 8 && at < 100);
}

SW_UNIT_TESTS({"every family", every_family}, {"latents and asides", latents_and_asides},
              {"every weight format", every_weight_format}, {"several ranks", several_ranks},
              {"mixed batches", mixed_batches},
              {"layers pass no more than needed", layers_pass_no_more_than_needed},
              {"streamed layers are spread", streamed_layers_are_spread},
              {"prompts pass from so many rows on", prompts_pass_from_so_many_rows_on},
              {"turns keep what they share", turns_keep_what_they_share},
              {"prompts pass in one piece", prompts_pass_in_one_piece},
              {"memory that is not there", memory_that_is_not_there})

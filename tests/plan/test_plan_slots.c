/* How many sequences a job has at once: against all candidates, each planned by itself. */
#include "plan/plan_slots.h"
#include "unit.h"

#include <math.h>

#define LAYERS 24

/* A model whose layers take `weights` bytes, and `kv` bytes of KV for each slot. */
struct model {
    uint64_t weights, kv;
    int asked; /* footprints that were made */
};

static enum sw_status footprint_for(void *user, int slots, int chunk, struct sw_footprint *out)
{
    struct model *m = user;
    m->asked++;
    *out = (struct sw_footprint){
        .params = {.weights = SW_FORMAT_Q4_K,
                   .kv = SW_F16,
                   .context = 2048,
                   .slots = slots,
                   .max_batch_tokens = chunk > slots ? chunk : slots},
        .n_layers = LAYERS,
        .layers = calloc(LAYERS, sizeof *out->layers),
        .embed_bytes = 200 << 20,
        .embed_read_bytes = 8192,
        .head_bytes = 200 << 20,
        .head_flops = 400e6,
        .hop_bytes = 32 << 10,
        .work_bytes = (uint64_t)chunk << 17,
        .gpu_work_bytes = (100 << 20) + ((uint64_t)chunk << 17),
        .matrix_bytes = m->weights / 4,
        .logits_bytes = 3 << 20,
        .load_bytes = 16 << 20,
        .disk_read_bytes = 16 << 20,
    };
    for (int i = 0; i < LAYERS; i++)
        out->layers[i] = (struct sw_layer_footprint){.weight_bytes = m->weights,
                                                     .read_bytes = m->weights,
                                                     .kv_bytes = m->kv * (uint64_t)slots,
                                                     .kv_row_bytes = m->kv / 2048,
                                                     .token_flops = 4.0 * (double)m->weights,
                                                     .attend_flops = 4 * 4096};
    return SW_OK;
}

static struct sw_slots_range slots_range(struct model *m)
{
    return (struct sw_slots_range){.usual = SW_DEFAULT_SLOTS,
                                   .most = SW_SLOTS_LARGEST,
                                   .chunk = 512,
                                   .footprint = footprint_for,
                                   .user = m};
}

static void open_cluster(const char *text, struct sw_cluster *cluster)
{
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(text, strlen(text), cluster), SW_OK);
}

/* What is chosen; *seconds: of a request, or 0 where nothing fits. */
static struct sw_footprint_params chosen(const struct sw_slots_range *range, const char *text,
                                         struct sw_plan_options *options, double *seconds)
{
    struct sw_footprint fp;
    struct sw_cluster cluster;
    struct sw_plan plan;
    open_cluster(text, &cluster);
    const enum sw_status status = sw_plan_slots(range, &cluster, options, &fp, &plan);
    CU_ASSERT(status == SW_OK || status == SW_ENOFIT);
    const struct sw_footprint_params params = fp.params;
    *seconds = status == SW_OK ? plan.predicted.s_per_request : 0;
    sw_plan_free(&plan);
    sw_footprint_free(&fp);
    sw_cluster_free(&cluster);
    return params;
}

static double planned(struct model *m, int slots, int chunk, const struct sw_cluster *cluster,
                      const struct sw_plan_options *options)
{
    struct sw_footprint fp;
    struct sw_plan plan;
    CU_ASSERT_EQUAL_FATAL(footprint_for(m, slots, chunk, &fp), SW_OK);
    const enum sw_status status = sw_plan_make(&fp, cluster, options, &plan);
    const double seconds = status == SW_OK ? plan.predicted.s_per_request : INFINITY;
    sw_plan_free(&plan);
    sw_footprint_free(&fp);
    return seconds;
}

static double span(double a, double b)
{
    return a > b ? a / b : b / a;
}

#define N_SLOTS 20
#define N_CHUNKS 5
static const int slots_of[N_SLOTS] = SW_SLOTS_CANDIDATES;
static const double chunk_of[N_CHUNKS] = SW_CHUNK_CANDIDATES;

/* The first of n candidates that is about as good as the best and least off what is usual; -1: none
 * fits. */
static int pick(int n, const double *seconds, const double *off)
{
    double least = INFINITY;
    int best = -1;
    for (int i = 0; i < n; i++)
        least = fmin(least, seconds[i]);
    for (int i = 0; i < n && least < INFINITY; i++)
        if (seconds[i] <= least * (1 + SW_SLOTS_TOLERANCE) && (best < 0 || off[i] < off[best]))
            best = i;
    return best;
}

/* Of all slots with both numbers of groups the best, then of all chunks, as plan_slots.h says. */
static void brute_force(struct model *m, const struct sw_cluster *cluster,
                        struct sw_plan_options *options, int *slots, int *chunk)
{
    double seconds[2 * N_SLOTS], off[2 * N_SLOTS];
    for (int i = 0; i < 2 * N_SLOTS; i++) {
        options->groups = i / N_SLOTS;
        seconds[i] = planned(m, slots_of[i % N_SLOTS], 512, cluster, options);
        off[i] = span(slots_of[i % N_SLOTS], SW_DEFAULT_SLOTS);
    }
    const int best = pick(2 * N_SLOTS, seconds, off);
    *slots = best < 0 ? 0 : slots_of[best % N_SLOTS];
    options->groups = best / N_SLOTS;
    for (int k = 0; k < N_CHUNKS && best >= 0; k++) {
        seconds[k] = planned(m, *slots, (int)(512 * chunk_of[k]), cluster, options);
        off[k] = span(chunk_of[k], 1);
    }
    if (best >= 0)
        *chunk = (int)(512 * chunk_of[pick(N_CHUNKS, seconds, off)]);
}

static const char *const moving[] = {"1x(gpu:8G host:16G disk:3GB/s)",
                                     "1x(host:16G disk:1GB/s)",
                                     "1x(gpu:12G host:64G)",
                                     "2x(gpu:8G host:12G disk:2GB/s)",
                                     "1x(gpu:2x8G host:24G disk:2x3GB/s)",
                                     "1x(gpu:8G@30GB/s host:48G@60GB/s@2TF disk:3GB/s)",
                                     "1x(gpu:24G host:32G@20GB/s bus:25GB/s)"};

static void equals_brute_force(void)
{
    static const uint64_t weights[] = {300 << 20, 900 << 20, 2000 << 20};
    static const uint64_t kv[] = {1 << 20, 16 << 20, 60 << 20};
    int compared = 0, more = 0, fewer = 0, one_group = 0;
    for (size_t c = 0; c < sizeof moving / sizeof moving[0]; c++)
        for (int w = 0; w < 3; w++)
            for (int k = 0; k < 3; k++)
                for (int n = 0; n < 2; n++) {
                    struct model m = {.weights = weights[w], .kv = kv[k]};
                    const struct sw_slots_range range = slots_range(&m);
                    struct sw_plan_options o;
                    struct sw_cluster cluster;
                    double seconds;
                    int slots = 0, chunk = 0;
                    sw_plan_options_init(&o);
                    o.objective = SW_OBJECTIVE_THROUGHPUT;
                    o.new_tokens = n ? 128 : 0;
                    const struct sw_footprint_params p = chosen(&range, moving[c], &o, &seconds);
                    if (m.asked == 1) /* the usual slots fit: the test below */
                        continue;
                    const int groups = o.groups;
                    o.no_advice = true;
                    open_cluster(moving[c], &cluster);
                    brute_force(&m, &cluster, &o, &slots, &chunk);
                    sw_cluster_free(&cluster);
                    CU_ASSERT_EQUAL(seconds > 0, slots > 0);
                    if (seconds <= 0)
                        continue;
                    CU_ASSERT_EQUAL(p.slots, slots);
                    CU_ASSERT_EQUAL(groups, o.groups);
                    one_group += groups == 1;
                    CU_ASSERT_EQUAL(p.max_batch_tokens, chunk > slots ? chunk : slots);
                    if (p.slots != slots)
                        printf("    %s, %zu, %d, %d, %d: %d slots, brute force %d\n", moving[c], c,
                               w, k, n, p.slots, slots);
                    compared++;
                    more += slots > SW_DEFAULT_SLOTS;
                    fewer += slots < SW_DEFAULT_SLOTS;
                }
    printf("    %d compared, %d with more slots than usual, %d with fewer, %d in one group\n",
           compared, more, fewer, one_group);
    CU_ASSERT(compared > 50 && more > 5 && fewer > 5 && one_group > 2);
}

/* Where no weights move, slots are the usual ones, whatever is predicted for more. */
static void in_memory_nothing_changes(void)
{
    static const char *const clusters[] = {"1x(gpu:24G host:16G)", "1x(host:64G disk:3GB/s)",
                                           "2x(gpu:12G host:8G)"};
    for (size_t i = 0; i < sizeof clusters / sizeof clusters[0]; i++) {
        struct model m = {.weights = 300 << 20, .kv = 4 << 20};
        struct sw_slots_range range = slots_range(&m);
        struct sw_plan_options o;
        double seconds;
        sw_plan_options_init(&o);
        o.objective = SW_OBJECTIVE_THROUGHPUT;
        const struct sw_footprint_params p = chosen(&range, clusters[i], &o, &seconds);
        CU_ASSERT(p.slots == SW_DEFAULT_SLOTS && p.max_batch_tokens == 512 && seconds > 0);
        CU_ASSERT_EQUAL(m.asked, 1);
    }
}

/* A pass over weights from disk takes as long for one sequence as for many. */
static void a_pass_serves_many(void)
{
    const char *const text = "1x(gpu:24G host:32G disk:1GB/s)";
    struct model m = {.weights = 4000ull << 20, .kv = 2 << 20};
    struct sw_slots_range range = slots_range(&m);
    struct sw_plan_options o;
    struct sw_cluster cluster;
    double seconds;
    sw_plan_options_init(&o);
    o.objective = SW_OBJECTIVE_THROUGHPUT;
    open_cluster(text, &cluster);
    const double alone = planned(&m, 1, 512, &cluster, &o);
    sw_cluster_free(&cluster);
    const struct sw_footprint_params p = chosen(&range, text, &o, &seconds);
    CU_ASSERT(p.slots >= 64);
    CU_ASSERT(alone > 20 * seconds);
    /* no more than there is work for, and the chunk that was asked for */
    range.most = 40;
    range.chunk = 300;
    range.fixed_chunk = true;
    const struct sw_footprint_params few = chosen(&range, text, &o, &seconds);
    CU_ASSERT(few.slots <= 40 && few.max_batch_tokens == 300);
}

/* With slots of which not even one has room the message and the advice are for one. */
static void refuses_with_advice(void)
{
    struct model m = {.weights = 900 << 20, .kv = 60 << 20};
    const struct sw_slots_range range = slots_range(&m);
    struct sw_footprint fp;
    struct sw_cluster cluster;
    struct sw_plan plan;
    struct sw_plan_options o;
    sw_plan_options_init(&o);
    o.objective = SW_OBJECTIVE_THROUGHPUT;
    open_cluster("1x(host:4G)", &cluster);
    CU_ASSERT_EQUAL(sw_plan_slots(&range, &cluster, &o, &fp, &plan), SW_ENOFIT);
    CU_ASSERT(plan.n_advice > 0 && fp.params.slots == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "KV cache take"));
    sw_plan_free(&plan);
    sw_footprint_free(&fp);
    sw_cluster_free(&cluster);
}

/* As many rows of prompts hide behind a decode step as take at most a tenth longer. */
static void prompts_hide_behind_weights(void)
{
    static const char *const clusters[] = {"1x(host:12G@40GB/s@0.5TF disk:1GB/s)",
                                           "1x(gpu:8G host:12G disk:1GB/s)",
                                           "1x(host:64G@40GB/s@0.5TF)"};
    int all = 0, some = 0;
    for (size_t i = 0; i < sizeof clusters / sizeof clusters[0]; i++)
        for (int chunk = 1; chunk <= 2048; chunk += chunk < 16 ? 1 : chunk / 8) {
            struct model m = {.weights = 900 << 20, .kv = 4 << 20};
            struct sw_footprint fp;
            struct sw_cluster cluster;
            struct sw_plan plan;
            struct sw_plan_options o;
            sw_plan_options_init(&o);
            o.objective = SW_OBJECTIVE_THROUGHPUT;
            o.prompt_tokens = 2048; /* so that a chunk is full */
            open_cluster(clusters[i], &cluster);
            CU_ASSERT_EQUAL_FATAL(footprint_for(&m, 1, chunk, &fp), SW_OK);
            CU_ASSERT_EQUAL_FATAL(sw_plan_make(&fp, &cluster, &o, &plan), SW_OK);
            const struct sw_plan_stage *s = &plan.stages[0];
            CU_ASSERT_EQUAL(plan.prompt_rows, chunk);
            if (!s->stream_prompt) /* else prompt_s is that of the other way */
                CU_ASSERT_EQUAL(s->prompt_s <= 1.1 * s->step_s, plan.hidden_rows == chunk);
            all += !s->stream_prompt && plan.hidden_rows == chunk;
            some += !s->stream_prompt && plan.hidden_rows < chunk && plan.hidden_rows > 0;
            sw_plan_free(&plan);
            sw_footprint_free(&fp);
            sw_cluster_free(&cluster);
        }
    CU_ASSERT(all > 20 && some > 20);
}

SW_UNIT_TESTS({"equals brute force", equals_brute_force},
              {"prompts hide behind weights", prompts_hide_behind_weights},
              {"in memory nothing changes", in_memory_nothing_changes},
              {"a pass serves many", a_pass_serves_many},
              {"refuses with advice", refuses_with_advice})

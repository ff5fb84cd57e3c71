/*
 * Prompts through the GPU: from how many rows on host layers are streamed, against the formulas of
 * docs/hardware.md written anew, and what the buffers for it take.
 */
#include "plan/plan.h"
#include "unit.h"

#include <math.h>

#define LAYERS 4

static struct sw_layer_footprint layers[LAYERS];

static struct sw_footprint make_footprint(int rows)
{
    for (int i = 0; i < LAYERS; i++)
        layers[i] = (struct sw_layer_footprint){.weight_bytes = 800 << 20,
                                                .read_bytes = 800 << 20,
                                                .kv_bytes = 64 << 20,
                                                .kv_row_bytes = 32 << 10,
                                                .token_flops = 800e6,
                                                .attend_flops = 4 * 8192};
    return (struct sw_footprint){.params = {.weights = SW_FORMAT_F16,
                                            .kv = SW_F16,
                                            .context = 2048,
                                            .slots = 1,
                                            .max_batch_tokens = rows},
                                 .n_layers = LAYERS,
                                 .layers = layers,
                                 .embed_bytes = 500 << 20,
                                 .embed_read_bytes = 8192,
                                 .head_bytes = 500 << 20,
                                 .head_flops = 500e6,
                                 .hop_bytes = 32 << 10,
                                 .work_bytes = 100 << 20,
                                 .gpu_work_bytes = 160 << 20,
                                 .matrix_bytes = 300 << 20,
                                 .logits_bytes = 3 << 20,
                                 .load_bytes = 16 << 20};
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* A token of a prompt of 512 sees half of it; a chunk of n rows in it reads the keys and values of
 * these and of what comes before them on the average. */
#define SEEN ((512 + 1) / 2.0)

static double kv_bytes(int n)
{
    return larger(n, SEEN + (n - 1) / 2.0) * (double)layers[0].kv_row_bytes;
}

/* One host layer's time for a chunk of n rows: on the CPU, and streamed. */
static double on_cpu(const struct sw_node *node, int n)
{
    const struct sw_layer_footprint *l = &layers[0];
    return larger((double)l->weight_bytes / node->rank_bandwidth,
                  l->token_flops * n / node->cpu_flops) +
           larger(kv_bytes(n) / node->rank_bandwidth,
                  l->attend_flops * n * SEEN / (SW_HOST_ATTEND_SHARE * node->cpu_flops));
}

static double streamed(const struct sw_node *node, int n)
{
    const struct sw_layer_footprint *l = &layers[0];
    const struct sw_device *d = &node->devices[0];
    const double kv = kv_bytes(n), weights = (double)l->weight_bytes;
    const double computing =
        larger(weights / d->bandwidth, l->token_flops * n / d->flops) +
        larger(kv / d->bandwidth, l->attend_flops * n * SEEN / (SW_GPU_ATTEND_SHARE * d->flops)) +
        8 * d->launch;
    return larger(computing, weights / node->bus_bandwidth) +
           (kv + n * (double)l->kv_row_bytes) / node->bus_bandwidth;
}

/* What streaming adds to a chunk's time, in a stage that has nothing on the GPU for decoding: with
 * the head on the CPU the rows go there and come back. */
static double difference(const struct sw_plan_stage *s, const struct sw_node *node, int n)
{
    const double crossing = 10e-6 + n * (double)(32 << 10) / node->bus_bandwidth;
    return s->tiers.n_host * (streamed(node, n) - on_cpu(node, n)) + 2 * crossing;
}

static struct sw_plan plan_on(const char *text, int rows, struct sw_cluster *cluster)
{
    struct sw_footprint fp = make_footprint(rows);
    struct sw_plan_options options;
    struct sw_plan plan;
    char why[256] = "";
    sw_plan_options_init(&options);
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(text, strlen(text), cluster), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_plan_make(&fp, cluster, &options, &plan), SW_OK);
    CU_ASSERT_TRUE(sw_plan_check(&plan, &fp, cluster, &options, why, sizeof why));
    if (why[0])
        printf("    %s\n", why);
    return plan;
}

/* A GPU whose memory is slower than the host's: the CPU decodes, prompts are streamed from
 * the row on where the bus is faster than the CPU's arithmetic. */
static void from_the_row_on_where_it_pays(void)
{
    static const char *const clusters[] = {"1x(gpu:6G@30GB/s host:64G@40GB/s@0.5TF bus:12GB/s)",
                                           "1x(gpu:6G@30GB/s host:64G@40GB/s@2TF bus:12GB/s)",
                                           "1x(gpu:6G@30GB/s host:64G@40GB/s@0.1TF bus:20GB/s)"};
    for (size_t i = 0; i < sizeof clusters / sizeof clusters[0]; i++) {
        struct sw_cluster cluster;
        struct sw_plan plan = plan_on(clusters[i], 512, &cluster);
        const struct sw_plan_stage *s = &plan.stages[0];
        CU_ASSERT(s->tiers.n_host == LAYERS && !s->tiers.head_on_gpu && !s->tiers.embed_on_gpu);
        CU_ASSERT_TRUE(s->stream_prompt);
        CU_ASSERT(s->tiers.stream_rows > 1 && s->tiers.stream_rows <= 512);
        CU_ASSERT(difference(s, &cluster.nodes[0], s->tiers.stream_rows) < 0);
        CU_ASSERT(difference(s, &cluster.nodes[0], s->tiers.stream_rows - 1) >= 0);
        CU_ASSERT_EQUAL(s->gpu.staging, (2 * 800 + 300 + 64) << 20);
        sw_plan_free(&plan);
        sw_cluster_free(&cluster);
    }
}

/* Chunks that are too short to pay, a slow bus, no room for the buffers, no host layers: never. */
static void never_where_it_does_not_pay(void)
{
    static const struct {
        const char *text;
        int rows;
    } cases[] = {{"1x(gpu:6G@30GB/s host:64G@40GB/s@0.5TF bus:12GB/s)", 8},
                 {"1x(gpu:6G@30GB/s host:64G@40GB/s@0.5TF bus:200MB/s)", 512},
                 {"1x(gpu:2500M@30GB/s host:64G@40GB/s@0.5TF bus:12GB/s)", 512},
                 {"1x(gpu:24G host:64G@40GB/s@0.5TF bus:12GB/s)", 512},
                 {"1x(host:64G@40GB/s@0.5TF)", 512}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_cluster cluster;
        struct sw_plan plan = plan_on(cases[i].text, cases[i].rows, &cluster);
        CU_ASSERT_FALSE(plan.stages[0].stream_prompt);
        CU_ASSERT_EQUAL(plan.stages[0].tiers.stream_rows, 0);
        CU_ASSERT_EQUAL(plan.stages[0].gpu.staging, 0);
        sw_plan_free(&plan);
        sw_cluster_free(&cluster);
    }
}

SW_UNIT_TESTS({"from the row on where it pays", from_the_row_on_where_it_pays},
              {"never where it does not pay", never_where_it_does_not_pay})

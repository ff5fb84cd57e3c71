/* Weights in a format that GPUs have no kernels for: plans use host memory alone, and say why. */
#include "base/strbuf.h"
#include "plan/report.h"
#include "unit.h"

#define LAYERS 4

static struct sw_footprint make_footprint(uint8_t cpu_only)
{
    static struct sw_layer_footprint layers[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        layers[i] = (struct sw_layer_footprint){.weight_bytes = 100 << 20,
                                                .read_bytes = 100 << 20,
                                                .kv_bytes = 8 << 20,
                                                .kv_row_bytes = 4 << 10,
                                                .token_flops = 100e6,
                                                .attend_flops = 4 * 1024};
    return (struct sw_footprint){.params = {.weights = SW_FORMAT_F16,
                                            .kv = SW_F16,
                                            .context = 2048,
                                            .slots = 1,
                                            .max_batch_tokens = 512},
                                 .n_layers = LAYERS,
                                 .layers = layers,
                                 .embed_bytes = 50 << 20,
                                 .embed_read_bytes = 2048,
                                 .head_bytes = 50 << 20,
                                 .head_flops = 50e6,
                                 .hop_bytes = 4 << 10,
                                 .work_bytes = 50 << 20,
                                 .gpu_work_bytes = 60 << 20,
                                 .matrix_bytes = 30 << 20,
                                 .logits_bytes = 3 << 20,
                                 .load_bytes = 16 << 20,
                                 .cpu_only = cpu_only};
}

/* Of two ranks with a GPU each: the ranks that have something on theirs; text: the report's. */
static int gpus_used(uint8_t cpu_only, struct sw_strbuf *text)
{
    const char *const hosts = "2x(gpu:24G host:64G)";
    const struct sw_footprint fp = make_footprint(cpu_only);
    struct sw_cluster cluster;
    struct sw_plan_options options;
    struct sw_plan plan;
    char why[256] = "";
    int used = 0;
    sw_plan_options_init(&options);
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(hosts, strlen(hosts), &cluster), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_plan_make(&fp, &cluster, &options, &plan), SW_OK);
    CU_ASSERT_TRUE(sw_plan_check(&plan, &fp, &cluster, &options, why, sizeof why));
    if (why[0])
        printf("    %s\n", why);
    for (int r = 0; r < plan.n_ranks; r++)
        used += plan.stages[r].gpu.total > 0;
    const struct sw_report report = {NULL, &fp, &cluster, &plan, &options};
    sw_report_text(&report, &(struct sw_report_style){0}, text);
    sw_plan_free(&plan);
    sw_cluster_free(&cluster);
    return used;
}

static void gpus_are_left_out(void)
{
    struct sw_strbuf with = {0}, without = {0};
    CU_ASSERT(gpus_used(0, &with) > 0);
    CU_ASSERT_EQUAL(gpus_used(1 + SW_FORMAT_F16, &without), 0);
    CU_ASSERT_PTR_NULL(strstr(with.text, "left out: they"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(without.text, "  GPUs are left out: they have no kernels for f16\n"));
    sw_strbuf_free(&with);
    sw_strbuf_free(&without);
}

SW_UNIT_TESTS({"GPUs are left out", gpus_are_left_out})

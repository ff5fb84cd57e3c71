/* What is said when a model does not fit: every piece of advice is tried, and is the smallest. */
#include "plan/plan.h"
#include "unit.h"

#define GIB (1ull << 30)
#define LAYERS 10

/* 1 GiB of weights a layer in f32, half of it in f16; 1 MiB of KV a position and slot. */
static enum sw_status model_at(void *user, const struct sw_footprint_params *params,
                               struct sw_footprint *out)
{
    const uint64_t bits = (uint64_t)sw_format_bits(params->weights);
    (*(int *)user)++;
    *out = (struct sw_footprint){.params = *params, .n_layers = LAYERS};
    out->layers = calloc(LAYERS, sizeof *out->layers);
    if (!out->layers)
        return SW_ENOMEM;
    for (int i = 0; i < LAYERS; i++)
        out->layers[i] = (struct sw_layer_footprint){
            .weight_bytes = GIB / 32 * bits,
            .read_bytes = GIB / 32 * bits,
            .kv_bytes = (uint64_t)params->context * (uint64_t)params->slots << 20,
            .kv_row_bytes = 1 << 20,
            .token_flops = 5e8};
    out->embed_bytes = out->head_bytes = 64 << 20;
    out->hop_bytes = 4096;
    out->work_bytes = out->gpu_work_bytes = out->load_bytes = 32 << 20;
    return SW_OK;
}

struct scene {
    struct sw_footprint fp;
    struct sw_cluster cl;
    struct sw_plan_options o;
    struct sw_plan plan;
    int calls;
};

static enum sw_status make(struct scene *s, const char *cluster,
                           const struct sw_footprint_params *params)
{
    *s = (struct scene){0};
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(cluster, strlen(cluster), &s->cl), SW_OK);
    CU_ASSERT_EQUAL_FATAL(model_at(&s->calls, params, &s->fp), SW_OK);
    sw_plan_options_init(&s->o);
    s->o.footprint_at = model_at;
    s->o.user = &s->calls;
    return sw_plan_make(&s->fp, &s->cl, &s->o, &s->plan);
}

static void end(struct scene *s)
{
    sw_plan_free(&s->plan);
    sw_footprint_free(&s->fp);
    sw_cluster_free(&s->cl);
}

static const struct sw_advice *find(const struct scene *s, enum sw_advice_kind kind)
{
    for (int i = 0; i < s->plan.n_advice; i++)
        if (s->plan.advice[i].kind == kind)
            return &s->plan.advice[i];
    return NULL;
}

static bool fits(const char *cluster, struct sw_footprint_params params)
{
    struct scene s;
    const bool ok = make(&s, cluster, &params) == SW_OK;
    end(&s);
    return ok;
}

static void is_tried(void)
{
    const struct sw_footprint_params given = {.weights = SW_FORMAT_F32,
                                              .unquantized = SW_FORMAT_F16,
                                              .kv = SW_F16,
                                              .context = 512,
                                              .slots = 4,
                                              .max_batch_tokens = 32};
    struct scene s;
    CU_ASSERT_EQUAL(make(&s, "(host:16G)", &given), SW_ENOFIT);
    CU_ASSERT_FALSE(s.plan.fits);
    CU_ASSERT_PTR_NULL(s.plan.stages);
    const struct sw_advice *a = find(&s, SW_ADVICE_CONTEXT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    struct sw_footprint_params p = given;
    p.context = (int)a->value;
    CU_ASSERT(fits("(host:16G)", p));
    p.context += SW_KEY_BLOCK;
    CU_ASSERT_FALSE(fits("(host:16G)", p));
    p = given;
    CU_ASSERT_PTR_NOT_NULL_FATAL(a = find(&s, SW_ADVICE_SLOTS));
    p.slots = (int)a->value;
    CU_ASSERT(fits("(host:16G)", p));
    p.slots++;
    CU_ASSERT_FALSE(fits("(host:16G)", p));
    CU_ASSERT_PTR_NOT_NULL_FATAL(a = find(&s, SW_ADVICE_HOST));
    char more[64];
    snprintf(more, sizeof more, "(host:%dG)", (int)(16 + a->value / GIB));
    CU_ASSERT(fits(more, given));
    snprintf(more, sizeof more, "(host:%dG)", (int)(15 + a->value / GIB));
    CU_ASSERT_FALSE(fits(more, given));
    CU_ASSERT_PTR_NOT_NULL_FATAL(a = find(&s, SW_ADVICE_NODES));
    snprintf(more, sizeof more, "%dx(host:16G)", (int)(1 + a->value));
    CU_ASSERT(fits(more, given));
    snprintf(more, sizeof more, "%dx(host:16G)", (int)a->value);
    CU_ASSERT_FALSE(fits(more, given));
    end(&s);
}

static void names_formats(void)
{
    const struct sw_footprint_params given = {.weights = SW_FORMAT_F32,
                                              .unquantized = SW_FORMAT_F16,
                                              .kv = SW_F16,
                                              .context = 64,
                                              .slots = 1,
                                              .max_batch_tokens = 32};
    struct sw_footprint_params p = given;
    struct scene s;
    CU_ASSERT_EQUAL(make(&s, "(host:8G)", &given), SW_ENOFIT);
    const struct sw_advice *a = find(&s, SW_ADVICE_WEIGHTS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a);
    p.weights = a->format;
    CU_ASSERT_PTR_NOT_NULL(sw_format_of(a->format));
    CU_ASSERT(fits("(host:8G)", p));
    CU_ASSERT_PTR_NULL(find(&s, SW_ADVICE_CAPS));
    CU_ASSERT_PTR_NOT_NULL(find(&s, SW_ADVICE_DISK));
    CU_ASSERT(fits("(host:8G disk:1GB/s)", given));
    end(&s);
}

static void refuses_slices(void)
{
    static const int wrong_sum[] = {4, 5}, negative[] = {11, -1}, many[] = {5, 3, 2};
    static const struct {
        const int *slices;
        int n;
        const char *expected;
    } cases[] = {{wrong_sum, 2, "adds up to 9"}, {negative, 2, "-1"}, {many, 3, "3 ranks"}};
    const struct sw_footprint_params params = {.weights = SW_FORMAT_F32,
                                               .unquantized = SW_FORMAT_F16,
                                               .kv = SW_F16,
                                               .context = 64,
                                               .slots = 1,
                                               .max_batch_tokens = 32};
    struct scene s;
    CU_ASSERT_EQUAL(make(&s, "2x(host:32G)", &params), SW_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_plan plan;
        s.o.slices = cases[i].slices;
        s.o.n_slices = cases[i].n;
        CU_ASSERT_EQUAL(sw_plan_make(&s.fp, &s.cl, &s.o, &plan), SW_EUSAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), cases[i].expected));
        sw_plan_free(&plan);
    }
    end(&s);
}

SW_UNIT_TESTS({"is tried", is_tried}, {"names formats", names_formats},
              {"refuses slices", refuses_slices})

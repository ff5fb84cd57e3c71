/*
 * Q, K and V of a layer in formats of their own: the outputs are, bit for bit, those of a matrix
 * that holds all of them in that format, and whole models run on every tier and any ranks.
 */
#include "model/weight_format.h"
#include "tiers.h"

#define MOST_ROWS 1024

static const enum sw_format_id mixes[][3] = {{SW_FORMAT_F32, SW_FORMAT_F16, SW_FORMAT_Q8_0},
                                             {SW_FORMAT_BF16, SW_FORMAT_BF16, SW_FORMAT_INT8},
                                             {SW_FORMAT_Q8_0, SW_FORMAT_F16, SW_FORMAT_F16},
                                             {SW_FORMAT_INT8, SW_FORMAT_F32, SW_FORMAT_INT8}};
#define N_MIXES (sizeof mixes / sizeof mixes[0])

static void ask(const enum sw_format_id *mix, uint8_t *by_role)
{
    for (int i = 0; i < 3; i++)
        by_role[SW_ROLE_Q + i] = (uint8_t)(1 + mix[i]);
}

static struct sw_model *model_of(const char *name)
{
    char dir[4096];
    struct sw_model *model = NULL;
    path_of(name, dir, sizeof dir);
    CU_ASSERT_EQUAL_FATAL(sw_model_open(dir, &model), SW_OK);
    return model;
}

static const struct sw_weight_spec *qkv_of(const struct sw_model *model)
{
    const struct sw_weight_spec *specs;
    size_t n = sw_model_weights(model, 0, &specs);
    while (n > 0 && specs[n - 1].id != SW_W_QKV)
        n--;
    CU_ASSERT_FATAL(n > 0 && specs[n - 1].n_sources == 3 && specs[n - 1].rows <= MOST_ROWS);
    return &specs[n - 1];
}

/* y (rows) = x · Wᵀ of layer 0's Q, K and V; returns the number of matrices. */
static int multiplied(const struct sw_model *model, struct sw_backend *b, const float *x,
                      const struct sw_footprint_params *params, float *y)
{
    struct sw_loader loader = {.model = model, .backend = b, .params = *params};
    const struct sw_weight_spec *specs;
    const size_t n_specs = sw_model_weights(model, 0, &specs);
    struct sw_weights w;
    uint64_t bytes = 0;
    int64_t row = 0;
    int n = 0;
    for (size_t i = 0; i < n_specs; i++)
        bytes += sw_weight_bytes(&specs[i], params);
    CU_ASSERT_EQUAL_FATAL(sw_weights_load(&loader, 0, 0, &w), SW_OK);
    CU_ASSERT_EQUAL(w.bytes, bytes);
    for (int i = 0; i < SW_MAX_SOURCES; i++) {
        const struct sw_matrix *m = i ? &w.qkv_rest[i - 1] : &w.matrix[SW_W_QKV];
        if (!m->d_data)
            break;
        b->ops->matmul(b, m, NULL, x, m->cols, 1, y + row, MOST_ROWS, false);
        row += m->rows;
        n++;
    }
    CU_ASSERT_EQUAL(row, qkv_of(model)->rows);
    sw_weights_free(b, &w);
    return n;
}

static void outputs_are_those_of_one_matrix(void)
{
    struct sw_model *model = model_of("llama31");
    const struct sw_weight_spec *spec = qkv_of(model);
    const struct sw_cpu_options options = {
        .threads = 1, .max_rows = 1, .max_cols = sw_model_max_cols(model)};
    struct sw_backend *b;
    CU_ASSERT_EQUAL_FATAL(sw_backend_cpu_open(&options, &b), SW_OK);
    float *x = malloc((size_t)spec->cols * sizeof *x), y[MOST_ROWS], whole[MOST_ROWS];
    for (int64_t i = 0; i < spec->cols; i++)
        x[i] = (float)(i * 37 % 64) / 16 - 2;
    for (size_t k = 0; k < N_MIXES; k++) {
        struct sw_footprint_params params = {.weights = SW_FORMAT_F16,
                                             .unquantized = SW_FORMAT_F16};
        ask(mixes[k], params.by_role);
        const int n = multiplied(model, b, x, &params, y);
        CU_ASSERT_EQUAL(n, 1 + (mixes[k][1] != mixes[k][0]) + (mixes[k][2] != mixes[k][1]));
        for (int64_t i = 0, row = 0; i < 3; row += spec->sources[i++].rows) {
            const struct sw_footprint_params one = {.weights = mixes[k][i],
                                                    .unquantized = SW_FORMAT_F16};
            CU_ASSERT_EQUAL(multiplied(model, b, x, &one, whole), 1);
            CU_ASSERT_EQUAL(memcmp(y + row, whole + row, (size_t)spec->sources[i].rows * sizeof *y),
                            0);
        }
    }
    b->ops->close(b);
    sw_model_close(model);
    free(x);
}

/* Each role by itself, and nothing else changes. */
static void roles_are_asked_for_one_by_one(void)
{
    struct sw_model *model = model_of("mixtral");
    for (int role = 0; role < SW_ROLE_COUNT; role++)
        for (int layer = SW_GLOBAL; layer < 1; layer++) {
            struct sw_footprint_params params = {.weights = SW_FORMAT_F16};
            const struct sw_weight_spec *specs;
            const size_t n = sw_model_weights(model, layer, &specs);
            params.by_role[role] = 1 + SW_FORMAT_BF16;
            for (size_t i = 0; i < n; i++)
                for (int s = 0; s < specs[i].n_sources; s++)
                    CU_ASSERT_EQUAL(sw_weight_format(&specs[i], s, &params),
                                    (int)sw_weight_role(&specs[i], s) == role ? SW_FORMAT_BF16
                                                                              : SW_FORMAT_F16);
        }
    sw_model_close(model);
}

/* Runs on ranks, in chunks and on tiers: the bits of one rank on the CPU, and the memory that the
 * plan counts (tiers.h). */
static void whole_models_run(void)
{
    static const struct sw_tiers tiers[] = {
        TIERS(1, 0, 0, true, true), TIERS(0, 2, 0, false, false), TIERS(0, 0, 2, true, true)};
    char dir[4096];
    make_ids();
    path_of("llama31", dir, sizeof dir);
    for (size_t k = 0; k < N_MIXES; k++) {
        struct job first = job_of(dir, SW_FORMAT_F32), cut = first;
        ask(mixes[k], first.by_role);
        ask(mixes[k], cut.by_role);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        cut.ranks = 2;
        cut.chunk = 7;
        CU_ASSERT_EQUAL_FATAL(job_run(&cut), SW_OK);
        const size_t bytes = (size_t)N_IDS * (size_t)first.vocab * sizeof(float);
        CU_ASSERT_EQUAL(memcmp(cut.logits, first.logits, bytes), 0);
        for (size_t t = 0; t < sizeof tiers / sizeof tiers[0]; t++) {
            struct sw_model *model = model_of("llama31");
            struct sw_engine_slice slice = {.count = model->dims.n_layers, .tiers = tiers[t]};
            struct job job = job_of(dir, SW_FORMAT_F32);
            sw_model_close(model);
            ask(mixes[k], job.by_role);
            if (run(&job, &slice))
                CU_ASSERT_EQUAL(memcmp(job.logits, first.logits, bytes), 0);
            job_free(&job);
        }
        job_free(&cut);
        job_free(&first);
    }
}

SW_UNIT_TESTS({"outputs are those of one matrix", outputs_are_those_of_one_matrix},
              {"roles are asked for one by one", roles_are_asked_for_one_by_one},
              {"whole models run", whole_models_run})

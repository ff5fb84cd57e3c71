/* Norms, activations, rope, sums, gather and scatter on the CPU against double precision. */
#include "cpu_help.h"

static const int64_t dims[] = {1, 2, 15, 16, 17, 100, 515, 2048};
#define N_DIMS (sizeof dims / sizeof dims[0])

static void norms_are_right(void)
{
    enum { N = 21 };
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(2, isa);
        for (size_t i = 0; i < N_DIMS; i++)
            for (int mode = 0; mode < 4; mode++) {
                const int64_t dim = dims[i], ld = dim + 3;
                float *x = floats(N * ld, 1), *w = floats(dim, 2), *bias = floats(dim, 3);
                float *y = malloc((size_t)(N * dim) * sizeof *y);
                const enum sw_norm kind = mode & 1 ? SW_NORM_RMS : SW_NORM_LAYER;
                for (int64_t j = 0; j < N * ld; j++)
                    x[j] += 2; /* a mean far from 0 */
                b->ops->norm(b, kind, 1e-5f, x, ld, N, dim, w, mode & 2 ? bias : NULL, y, dim);
                double worst = 0;
                for (int64_t r = 0; r < N; r++) {
                    double mean = 0, var = 0;
                    for (int64_t c = 0; c < dim && kind == SW_NORM_LAYER; c++)
                        mean += x[r * ld + c] / (double)dim;
                    for (int64_t c = 0; c < dim; c++)
                        var += pow(x[r * ld + c] - mean, 2) / (double)dim;
                    for (int64_t c = 0; c < dim; c++) {
                        const double want =
                            (x[r * ld + c] - mean) / sqrt(var + (double)1e-5f) * w[c] +
                            (mode & 2 ? bias[c] : 0);
                        worst = fmax(worst, fabs(y[r * dim + c] - want));
                    }
                }
                CU_ASSERT(worst < 1e-5);
                float *one = malloc((size_t)dim * sizeof *one);
                b->ops->norm(b, kind, 1e-5f, x + 7 * ld, ld, 1, dim, w, mode & 2 ? bias : NULL, one,
                             dim);
                CU_ASSERT(!memcmp(one, y + 7 * dim, (size_t)dim * sizeof *one));
                b->ops->norm(b, kind, 1e-5f, x, ld, N, dim, w, mode & 2 ? bias : NULL, x, ld);
                CU_ASSERT(!memcmp(x + 7 * ld, one, (size_t)dim * sizeof *one)); /* in place */
                free(x), free(w), free(bias), free(y), free(one);
            }
        b->ops->close(b);
    }
}

static double act(enum sw_activation kind, double x)
{
    switch (kind) {
    case SW_ACT_RELU:
        return x > 0 ? x : 0;
    case SW_ACT_GELU:
        return 0.5 * x * erfc(-x / sqrt(2));
    case SW_ACT_GELU_TANH: {
        const double u = sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x);
        return x / (1 + exp(-2 * u));
    }
    case SW_ACT_SILU:
        return x / (1 + exp(-x));
    case SW_ACT_RELU_SQUARED:
        return x > 0 ? x * x : 0;
    case SW_ACT_SILU_CLAMPED:
        return fmin(x, 7) / (1 + exp(-1.702 * fmin(x, 7)));
    }
    return NAN;
}

/* What an activated value is multiplied by. */
static double gated(enum sw_activation kind, double x)
{
    return kind == SW_ACT_SILU_CLAMPED ? 1 + fmax(fmin(x, 7), -7) : x;
}

/* Relative error over the range where results are normal numbers; the argument's own rounding
 * weighs more and more towards the left end. */
static void activations_are_right(void)
{
    enum { N = 40001 };
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    for (int i = 0; i < N; i++)
        x[i] = (float)(i - N / 2) * 0.0006f;
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(2, isa);
        for (int kind = SW_ACT_RELU; kind <= SW_ACT_SILU_CLAMPED; kind++) {
            b->ops->activate(b, (enum sw_activation)kind, false, x, N, 1, N, y, N);
            double worst = 0, worst_tail = 0;
            for (int i = 0; i < N; i++) {
                const double want = act((enum sw_activation)kind, x[i]);
                const double error = fabs(y[i] - want) / (fabs(want) + 1e-35);
                if (x[i] > -3)
                    worst = error <= worst ? worst : error;
                else if (fabs(want) > 1e-35)
                    worst_tail = error <= worst_tail ? worst_tail : error;
            }
            if (worst > 1e-6 || worst_tail > 2e-5)
                printf("%s activation %d: %g, tail %g\n", sw_isa_name(isa), kind, worst,
                       worst_tail);
            CU_ASSERT(worst <= 1e-6);
            CU_ASSERT(worst_tail <= 2e-5);
        }
        const float extremes[] = {-INFINITY, -1e30f, -200, -0.0f, 0, 200, 1e30f};
        float out[7];
        for (int kind = SW_ACT_GELU; kind <= SW_ACT_SILU; kind++) {
            b->ops->activate(b, (enum sw_activation)kind, false, extremes + 1, 6, 1, 6, out + 1, 6);
            CU_ASSERT(fabsf(out[1]) == 0 && fabsf(out[2]) == 0 && out[4] == 0);
            CU_ASSERT(out[5] == 200 && out[6] == 1e30f);
        }
        b->ops->close(b);
    }
    free(x), free(y);
}

static void gated_forms_multiply(void)
{
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(3, isa);
        for (size_t i = 0; i < N_DIMS; i++) {
            const int64_t dim = dims[i], n = 19;
            const enum sw_activation kind = i % 2 ? SW_ACT_SILU : SW_ACT_SILU_CLAMPED;
            float *x = floats(n * 2 * dim, 5), *y = malloc((size_t)(n * dim) * sizeof *y);
            for (int64_t k = 0; k < n * 2 * dim; k += 5)
                x[k] *= 30;
            b->ops->activate(b, kind, true, x, 2 * dim, n, dim, y, dim);
            for (int64_t r = 0; r < n; r++)
                for (int64_t c = 0; c < dim; c++) {
                    const double want =
                        act(kind, x[r * 2 * dim + c]) * gated(kind, x[r * 2 * dim + dim + c]);
                    CU_ASSERT_DOUBLE_EQUAL(y[r * dim + c], want, 4e-7 * (1 + fabs(want)));
                }
            b->ops->activate(b, kind, true, x, 2 * dim, n, dim, x, 2 * dim); /* in place */
            for (int64_t r = 0; r < n; r++)
                CU_ASSERT(!memcmp(x + r * 2 * dim, y + r * dim, (size_t)dim * sizeof *y));
            free(x), free(y);
        }
        b->ops->close(b);
    }
}

static void check_rope(enum sw_isa isa, bool interleaved, int rotary)
{
    enum { HEADS = 3, DIM = 80, CONTEXT = 50, N = 9 };
    const int half = rotary / 2;
    float *table = floats((int64_t)CONTEXT * rotary, 5);
    for (int p = 0; p < CONTEXT; p++)
        for (int i = 0; i < half; i++) {
            table[p * rotary + i] = cosf((float)p * powf(0.9f, (float)i));
            table[p * rotary + half + i] = sinf((float)p * powf(0.9f, (float)i));
        }
    const struct sw_span spans[] = {{0, 40, 5, 4}, {1, 3, 0, 5}};
    struct sw_backend *b = open_cpu(2, isa);
    float *x = floats(N * HEADS * DIM, 6), *was = floats(N * HEADS * DIM, 6);
    float *k = floats(N * HEADS * DIM, 6); /* keys that are what queries are */
    const size_t head = sw_kv_bytes(SW_F32, 1, 1, DIM, CONTEXT) / sizeof(float);
    float *cache = device(b, 2 * HEADS * head * sizeof *cache);
    const struct sw_kv kv = {SW_F32, 2, HEADS, DIM, CONTEXT, cache, 0};
    const struct sw_heads heads = {
        .d_q = x,
        .d_k = k,
        .d_v = was,
        .ld = HEADS * DIM,
        .q_head = DIM,
        .kv_head = DIM,
        .n_heads = HEADS,
        .rope = {.rotary_dim = rotary, .interleaved = interleaved, .d_cos_sin = table}};
    b->ops->place_heads(b, &heads, &kv, spans, 2);
    for (int r = 0; r < N; r++)
        for (int h = 0; h < HEADS; h++)
            for (int i = 0; i < DIM; i++) {
                const int at = (r * HEADS + h) * DIM, p = r < 5 ? 3 + r : 40 + r - 5;
                const int pair = interleaved ? i / 2 : i % half;
                const int first = interleaved ? pair * 2 : pair;
                const int second = interleaved ? first + 1 : first + half;
                const float *c = table + p * rotary + pair, *s = c + half;
                double want = was[at + i];
                if (i < rotary && i == first)
                    want = (double)was[at + first] * *c - (double)was[at + second] * *s;
                else if (i < rotary)
                    want = (double)was[at + second] * *c + (double)was[at + first] * *s;
                CU_ASSERT_DOUBLE_EQUAL(x[at + i], want, 3e-7);
                const float *block = cache + (size_t)((r < 5 ? 1 : 0) * HEADS + h) * head;
                CU_ASSERT_EQUAL(block[i * SW_KEY_BLOCK + p], x[at + i]);
                CU_ASSERT_EQUAL(block[DIM * SW_KEY_BLOCK + p * DIM + i], was[at + i]);
            }
    b->ops->free(b, cache, 2 * HEADS * head * sizeof *cache);
    free(x), free(k), free(was), free(table);
    b->ops->close(b);
}

static void rope_rotates(void)
{
    static const int rotary[] = {2, 12, 40, 64, 80}; /* below, above and at whole vectors */
    for (int isa = 0; isa <= (int)sw_cpu_isa(); isa++)
        for (size_t i = 0; i < sizeof rotary / sizeof rotary[0]; i++)
            for (int interleaved = 0; interleaved < 2; interleaved++)
                check_rope((enum sw_isa)isa, interleaved, rotary[i]);
}

/* Values are normed by themselves, as they are or as the keys are before their own norm and rope.
 */
static void values_are_normed(void)
{
    enum { HEADS = 2, DIM = 24, CONTEXT = 8, N = 3, LD = 2 * HEADS * DIM + 1 };
    const struct sw_span span = {0, 4, 0, N};
    float *k_norm = floats(DIM, 3), *v_norm = floats(DIM, 4), *table = floats(CONTEXT * DIM, 5);
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(2, isa);
        const size_t head = sw_kv_bytes(SW_F32, 1, 1, DIM, CONTEXT) / sizeof(float);
        float *cache = device(b, HEADS * head * sizeof *cache);
        const struct sw_kv kv = {SW_F32, 1, HEADS, DIM, CONTEXT, cache, 0};
        for (int from_keys = 0; from_keys < 2; from_keys++) {
            float *x = floats(N * LD, 6), *was = floats(N * LD, 6), row[DIM];
            const struct sw_heads heads = {.d_q = x,
                                           .d_k = x,
                                           .d_v = x + HEADS * DIM,
                                           .keys_as_values = from_keys,
                                           .ld = LD,
                                           .kv_head = DIM,
                                           .d_k_norm = k_norm,
                                           .d_v_norm = v_norm,
                                           .eps = 1e-5f,
                                           .rope = {.rotary_dim = DIM, .d_cos_sin = table}};
            b->ops->place_heads(b, &heads, &kv, &span, 1);
            for (int r = 0; r < N; r++)
                for (int h = 0; h < HEADS; h++) {
                    const float *at = was + r * LD + (from_keys ? h : HEADS + h) * DIM;
                    b->ops->norm(b, SW_NORM_RMS, 1e-5f, at, DIM, 1, DIM, v_norm, NULL, row, DIM);
                    CU_ASSERT(!memcmp(cache + (size_t)h * head + DIM * (SW_KEY_BLOCK + 4 + r), row,
                                      sizeof row));
                }
            free(x), free(was);
        }
        b->ops->free(b, cache, HEADS * head * sizeof *cache);
        b->ops->close(b);
    }
    free(k_norm), free(v_norm), free(table);
}

/* Heads are normed as rows of their own are. */
static void heads_are_normed(void)
{
    enum {
        HEADS = 3,
        KV_HEADS = 2,
        DIM = 24,
        CONTEXT = 70,
        N = 6,
        LD = (HEADS + KV_HEADS) * DIM + 1
    };
    const struct sw_span spans[] = {{0, 62, 1, 4}, {1, 0, 0, 1}}; /* row 5 is in none */
    float *q_norm = floats(DIM, 3), *k_norm = floats(DIM, 4);
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(2, isa);
        float *x = floats(N * LD, 6), *was = floats(N * LD, 6), *v = floats(N * LD, 7), row[DIM];
        const size_t head = sw_kv_bytes(SW_F32, 1, 1, DIM, CONTEXT) / sizeof(float);
        float *cache = device(b, 2 * KV_HEADS * head * sizeof *cache);
        const struct sw_kv kv = {SW_F32, 2, KV_HEADS, DIM, CONTEXT, cache, 0};
        const struct sw_heads heads = {.d_q = x,
                                       .d_k = x + HEADS * DIM,
                                       .d_v = v,
                                       .ld = LD,
                                       .q_head = DIM,
                                       .kv_head = DIM,
                                       .n_heads = HEADS,
                                       .d_q_norm = q_norm,
                                       .d_k_norm = k_norm,
                                       .eps = 1e-5f};
        b->ops->place_heads(b, &heads, &kv, spans, 2);
        for (int r = 0; r < 5; r++)
            for (int h = 0; h < HEADS + KV_HEADS; h++) {
                const int at = r * LD + h * DIM, p = r ? 61 + r : 0, slot = r ? 0 : 1;
                b->ops->norm(b, SW_NORM_RMS, 1e-5f, was + at, DIM, 1, DIM,
                             h < HEADS ? q_norm : k_norm, NULL, row, DIM);
                const float *keys = cache + (size_t)(slot * KV_HEADS + h - HEADS) * head +
                                    p / SW_KEY_BLOCK * 2 * DIM * SW_KEY_BLOCK + p % SW_KEY_BLOCK;
                for (int i = 0; i < DIM; i++)
                    CU_ASSERT_EQUAL(h < HEADS ? x[at + i] : keys[i * SW_KEY_BLOCK], row[i]);
            }
        CU_ASSERT(!memcmp(x + 5 * LD, was + 5 * LD, LD * sizeof *x));
        b->ops->free(b, cache, 2 * KV_HEADS * head * sizeof *cache);
        b->ops->close(b);
        free(x), free(was), free(v);
    }
    free(q_norm), free(k_norm);
}

static void rows_are_added_and_moved(void)
{
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(2, isa);
        for (size_t i = 0; i < N_DIMS; i++) {
            const int64_t dim = dims[i];
            enum { N = 30 };
            int32_t ids[N];
            float weights[N];
            float *x = floats(N * dim, 7), *y = floats(N * dim, 8), *was = floats(N * dim, 8);
            for (int j = 0; j < N; j++) {
                ids[j] = j * 7 % 11; /* some rows more than once */
                weights[j] = 0.1f * (float)j;
            }
            b->ops->add(b, 1, x, dim, N, dim, y, dim);
            for (int64_t j = 0; j < N * dim; j++)
                CU_ASSERT(y[j] == was[j] + x[j]);
            memcpy(y, was, (size_t)(N * dim) * sizeof *y);
            b->ops->add(b, -1.5f, x, dim, N, dim, y, dim);
            for (int64_t j = 0; j < N * dim; j++)
                CU_ASSERT_DOUBLE_EQUAL(y[j], was[j] - 1.5 * x[j], 1e-6);
            memcpy(y, was, (size_t)(N * dim) * sizeof *y);
            b->ops->scale(b, 3, NULL, 0, N, dim, y, dim);
            for (int64_t j = 0; j < N * dim; j++)
                CU_ASSERT(y[j] == 3 * was[j]);
            b->ops->scale(b, 0.5f, NULL, 2, N, dim, y, dim);
            for (int64_t j = 0; j < N * dim; j++)
                CU_ASSERT_DOUBLE_EQUAL(y[j], 2 * tanh(0.75 * was[j]), 1e-6);
            memcpy(y, was, (size_t)(N * dim) * sizeof *y);
            b->ops->scale(b, 2, x, 0, N, dim, y, dim);
            for (int64_t j = 0; j < N * dim; j++)
                CU_ASSERT(y[j] == 2 * x[0] * was[j]);
            b->ops->gather(b, x, dim, ids, NULL, N, dim, y, dim);
            for (int j = 0; j < N; j++)
                CU_ASSERT(!memcmp(y + j * dim, x + ids[j] * dim, (size_t)dim * sizeof *y));
            b->ops->gather(b, x, dim, ids, weights, N, dim, y, dim);
            for (int64_t j = 0; j < N * dim; j++)
                CU_ASSERT(y[j] == weights[j / dim] * x[ids[j / dim] * dim + j % dim]);
            memcpy(y, was, (size_t)(N * dim) * sizeof *y);
            double *want = malloc((size_t)(N * dim) * sizeof *want);
            for (int64_t j = 0; j < N * dim; j++)
                want[j] = was[j];
            for (int j = 0; j < N; j++)
                for (int64_t c = 0; c < dim; c++)
                    want[ids[j] * dim + c] += (double)weights[j] * x[j * dim + c];
            b->ops->scatter_add(b, x, dim, ids, weights, N, dim, y, dim);
            CU_ASSERT(largest_error(y, want, N * dim) < 5e-6);
            free(x), free(y), free(was), free(want);
        }
        b->ops->close(b);
    }
}

SW_UNIT_TESTS({"norms are right", norms_are_right},
              {"activations are right", activations_are_right},
              {"gated forms multiply", gated_forms_multiply}, {"rope rotates", rope_rotates},
              {"heads are normed", heads_are_normed}, {"values are normed", values_are_normed},
              {"rows are added and moved", rows_are_added_and_moved})

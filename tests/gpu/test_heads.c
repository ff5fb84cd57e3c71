/* Heads normed, rotated and stored, against doubles; what is stored are the bits of that. */
#include "gpu_help.h"

struct setup {
    int n_heads, n_kv_heads, head_dim, rotary;
    bool interleaved;
    int normed; /* 0: not; 1: before rope; LAST: after it, and queries grow */
    int values; /* 0: as they are; NORMED, by the keys' weights; KEYS: of keys, and normed */
};
enum { LAST = 2, NORMED = 1, KEYS = 2 };
static const struct sw_query_growth growth = {0.3f, 16, 1};
static const struct setup setups[] = {
    {3, 1, 8, 8, false, 0, 0},        {2, 2, 20, 8, true, 0, 0},
    {5, 1, 64, 64, false, 1, 0},      {1, 1, 7, 2, true, 1, 0},
    {7, 3, 128, 96, false, 0, 0},     {2, 1, 33, 0, false, 1, 0},
    {4, 2, 256, 64, true, 1, 0},      {4, 2, 20, 12, false, LAST, 0},
    {4, 2, 20, 12, false, 1, NORMED}, {4, 2, 40, 40, false, 1, KEYS},
};
enum { CONTEXT = 70, ROWS = 6, SLOTS = 2 };
/* Row 3 is in no span. */
static const struct sw_gpu_span spans[] = {{1, 3, 62, 0, 0}, {0, 2, 5, 4, 0}};

struct world {
    struct setup s;
    int64_t head, ld; /* of queries and of keys */
    float *x;         /* (ROWS, ld): queries, keys, values */
    float *table, *norms;
    float *d_table, *d_norms, *d_x;
    struct sw_gpu_batch batch;
};

static struct world make(struct setup s)
{
    struct world w = {.s = s, .head = s.head_dim + 1};
    w.ld = w.head * (s.n_heads + 2 * s.n_kv_heads) + 2;
    w.x = floats(ROWS * w.ld, 1);
    w.table = floats(CONTEXT * (s.rotary + 1), 2);
    w.norms = floats(2 * s.head_dim, 3);
    w.d_table = gpu_floats(w.table, CONTEXT * (s.rotary + 1));
    w.d_norms = gpu_floats(w.norms, 2 * s.head_dim);
    w.d_x = gpu_floats(w.x, ROWS * w.ld);
    w.batch = (struct sw_gpu_batch){gpu_copy(spans, sizeof spans), spans, 2};
    return w;
}

/* One head as it is to be, in doubles. */
static void want(const struct world *w, const float *x, const float *norm, int position,
                 double *out)
{
    const struct setup *s = &w->s;
    const int half = s->rotary / 2;
    double squares = 0;
    for (int i = 0; i < s->head_dim; i++)
        squares += (double)x[i] * x[i];
    for (int i = 0; i < s->head_dim; i++)
        out[i] = s->normed == 1 ? x[i] / sqrt(squares / s->head_dim + 1e-5) * norm[i] : x[i];
    for (int i = 0; i < half; i++) {
        const float *t = w->table + position * s->rotary;
        const double c = t[i], d = t[half + i];
        double *a = out + (s->interleaved ? 2 * i : i), *b = a + (s->interleaved ? 1 : half);
        const double first = *a, second = *b;
        *a = first * c - second * d;
        *b = second * c + first * d;
    }
    if (s->normed != LAST)
        return;
    squares = 0;
    for (int i = 0; i < s->head_dim; i++)
        squares += out[i] * out[i];
    const double grown = norm == w->norms ? 1 + 0.3 * log(1 + (position + 1) / 16) : 1;
    for (int i = 0; i < s->head_dim; i++)
        out[i] *= grown / sqrt(squares / s->head_dim + 1e-5) * norm[i];
}

static void place(struct world *w, enum sw_dtype format, void *d_cache)
{
    const struct setup *s = &w->s;
    const struct sw_gpu_kv kv = {format, SLOTS, s->n_kv_heads, s->head_dim, CONTEXT, d_cache, 0};
    float *const k = w->d_x + s->n_heads * w->head, *const v = k + s->n_kv_heads * w->head;
    const struct sw_gpu_heads heads = {.q = w->d_x,
                                       .k = k,
                                       .v = v,
                                       .ld = w->ld,
                                       .q_head = w->head,
                                       .kv_head = w->head,
                                       .q_norm = s->normed ? w->d_norms : NULL,
                                       .k_norm = s->normed ? w->d_norms + s->head_dim : NULL,
                                       .v_norm = s->values ? w->d_norms + s->head_dim : NULL,
                                       .keys_as_values = s->values == KEYS,
                                       .cos_sin = w->d_table,
                                       .eps = 1e-5f,
                                       .n_heads = s->n_heads,
                                       .rotary_dim = s->rotary,
                                       .interleaved = s->interleaved,
                                       .norm_last = s->normed == LAST,
                                       .growth = s->normed == LAST ? growth
                                                                   : (struct sw_query_growth){0}};
    gpu_ok(sw_gpu_place_heads(&heads, &kv, &w->batch, 0));
}

/* A value as it is to be; those that are not changed agree to the last bit. */
static void check_value(const struct world *w, int64_t key, const float *got)
{
    const struct setup *s = &w->s;
    const float *norm = w->norms + s->head_dim;
    const float *from = w->x + key + (s->values == KEYS ? 0 : s->n_kv_heads * w->head);
    double squares = 0;
    for (int i = 0; i < s->head_dim; i++)
        squares += (double)from[i] * from[i];
    for (int i = 0; i < s->head_dim; i++)
        CU_ASSERT_TRUE(
            s->values ? fabs(got[i] - from[i] / sqrt(squares / s->head_dim + 1e-5) * norm[i]) < 1e-6
                      : got[i] == from[i]);
}

static void agree(const float *got, const double *expected, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) {
        const double error = fabs(got[i] - expected[i]) / (1 + fabs(expected[i]));
        most = error <= most ? most : isnan(error) ? INFINITY : error;
    }
    CU_ASSERT_TRUE(most < 1e-6);
}

/* Queries and what is in a cache of f32; all that is in no span is as it was. */
static void check(struct world *w, const float *got, const float *cache)
{
    const struct setup *s = &w->s;
    const int64_t head = (int64_t)sw_kv_bytes(SW_F32, 1, 1, s->head_dim, CONTEXT) / 4;
    const int64_t half = (int64_t)sw_kv_bytes(SW_F32, 1, 1, s->head_dim, SW_KEY_BLOCK) / 8;
    double *expected = malloc((size_t)s->head_dim * sizeof *expected);
    for (int i = 0; i < 2; i++)
        for (int r = 0; r < spans[i].n; r++) {
            const int64_t row = (spans[i].row + r) * w->ld;
            const int p = (int)spans[i].position + r, key = p % SW_KEY_BLOCK;
            for (int h = 0; h < s->n_heads; h++) {
                want(w, w->x + row + h * w->head, w->norms, p, expected);
                agree(got + row + h * w->head, expected, s->head_dim);
            }
            for (int h = 0; h < s->n_kv_heads; h++) {
                const int64_t at = row + (s->n_heads + h) * w->head;
                const float *block = cache + (spans[i].slot * s->n_kv_heads + h) * head +
                                     p / SW_KEY_BLOCK * 2 * half;
                float keys[SW_GPU_HEAD_DIM];
                for (int d = 0; d < s->head_dim; d++)
                    keys[d] = block[d * SW_KEY_BLOCK + key];
                want(w, w->x + at, w->norms + s->head_dim, p, expected);
                agree(keys, expected, s->head_dim);
                check_value(w, at, block + half + key * s->head_dim);
            }
        }
    const int64_t unused = 3 * w->ld;
    CU_ASSERT_EQUAL(memcmp(got + unused, w->x + unused, (size_t)w->ld * sizeof(float)), 0);
    for (int r = 0; r < ROWS; r++) /* between the heads, too */
        for (int h = 0; h < s->n_heads; h++)
            CU_ASSERT_EQUAL(got[r * w->ld + h * w->head + s->head_dim],
                            w->x[r * w->ld + h * w->head + s->head_dim]);
    free(expected);
}

static void places(void)
{
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) {
        struct world w = make(setups[i]);
        const size_t bytes =
            sw_kv_bytes(SW_F32, SLOTS, setups[i].n_kv_heads, setups[i].head_dim, CONTEXT);
        const size_t x_bytes = (size_t)(ROWS * w.ld) * sizeof(float);
        void *d_cache = gpu_alloc(bytes);
        float *cache = malloc(bytes), *got = malloc(x_bytes);
        place(&w, SW_F32, d_cache);
        gpu_get(cache, d_cache, bytes);
        gpu_get(got, w.d_x, x_bytes);
        check(&w, got, cache);
        free(cache), free(got), free(w.x), free(w.table), free(w.norms);
        CU_ASSERT_TRUE(gpu_free_all());
    }
}

/* A cache in half a format holds what one of f32 holds, rounded. */
static void rounds(void)
{
    static const enum sw_dtype halves[] = {SW_F16, SW_BF16};
    const struct setup s = {2, 2, 33, 32, false, true, 0};
    for (int f = 0; f < 2; f++) {
        struct world w = make(s), v = make(s);
        const size_t whole = sw_kv_bytes(SW_F32, SLOTS, 2, 33, CONTEXT),
                     half = sw_kv_bytes(halves[f], SLOTS, 2, 33, CONTEXT);
        void *d_whole = gpu_alloc(whole), *d_half = gpu_alloc(half);
        float *all = malloc(whole);
        uint16_t *rounded_all = malloc(half);
        place(&w, SW_F32, d_whole);
        place(&v, halves[f], d_half);
        gpu_get(all, d_whole, whole);
        gpu_get(rounded_all, d_half, half);
        const int64_t head = (int64_t)sw_kv_bytes(SW_F32, 1, 1, 33, CONTEXT) / 4;
        const int64_t half_head = (int64_t)sw_kv_bytes(halves[f], 1, 1, 33, CONTEXT) / 2;
        for (int h = 0; h < 2; h++)
            for (int key = 5; key < 7; key++) /* slot 0 */
                for (int d = 0; d < 33; d++) {
                    const float k = all[h * head + d * SW_KEY_BLOCK + key];
                    const int64_t at = halves[f] == SW_F16
                                           ? d * SW_KEY_BLOCK + key
                                           : (d / 2 * SW_KEY_BLOCK + key) * 2 + d % 2;
                    CU_ASSERT_EQUAL(rounded_all[h * half_head + at],
                                    halves[f] == SW_F16 ? sw_f32_to_f16(k) : sw_f32_to_bf16(k));
                }
        free(all), free(rounded_all);
        free(w.x), free(w.table), free(w.norms), free(v.x), free(v.table), free(v.norms);
        CU_ASSERT_TRUE(gpu_free_all());
    }
}

/* A head's norm has the bits of the norm of a row. */
static void norms_as_rows(void)
{
    static const int dims[] = {7, 64, 65, 128, 200};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        const struct setup s = {3, 1, dims[i], 0, false, true, 0};
        struct world w = make(s);
        const size_t bytes = (size_t)(ROWS * w.ld) * sizeof(float);
        float *rows = gpu_floats(w.x, ROWS * w.ld);
        float *want_x = malloc(bytes), *got = malloc(bytes);
        place(&w, SW_F16, gpu_alloc(sw_kv_bytes(SW_F16, SLOTS, 1, dims[i], CONTEXT)));
        for (int k = 0; k < 2; k++)
            for (int r = 0; r < spans[k].n; r++) {
                float *at = rows + (spans[k].row + r) * w.ld;
                gpu_ok(sw_gpu_norm(SW_NORM_RMS, 1e-5f, at, w.head, 3, dims[i], w.d_norms, NULL, at,
                                   w.head, NULL, 0));
            }
        gpu_get(want_x, rows, bytes);
        gpu_get(got, w.d_x, bytes);
        for (int r = 0; r < ROWS; r++) /* queries: keys need not be left there */
            CU_ASSERT_EQUAL(
                memcmp(got + r * w.ld, want_x + r * w.ld, (size_t)(3 * w.head) * sizeof(float)), 0);
        free(want_x), free(got), free(w.x), free(w.table), free(w.norms);
        CU_ASSERT_TRUE(gpu_free_all());
    }
}

SW_UNIT_TESTS({"places", places}, {"rounds", rounds}, {"norms as rows", norms_as_rows})

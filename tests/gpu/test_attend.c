/*
 * Attention against doubles, over what the cache holds. Shapes: groups of 1 to 8 heads and more,
 * sizes that fill no vector, windows, slopes, prompts in pieces of every kind, several spans.
 */
#include "gpu_help.h"

enum { ALIBI = 1, CAPPED = 2, SINKS = 4 };
#define CAP 1.5f

struct setup {
    int n_heads, n_kv_heads, head_dim;
    int64_t length, window;
    int extras;
    enum sw_dtype kv;
    int value_dim; /* values are the first so many elements of keys; 0: they are stored */
};

static const struct setup setups[] = {
    {4, 4, 16, 70, 0, false, SW_F32, 0},
    {8, 2, 64, 200, 0, false, SW_F16, 0},
    {6, 1, 20, 150, 0, false, SW_BF16, 0},
    {4, 2, 80, 130, 64, false, SW_F16, 0},
    {3, 3, 5, 200, 10, false, SW_F32, 0},
    {12, 4, 32, 140, 0, true, SW_BF16, 0},
    {2, 1, 128, 300, 100, true, SW_F32, 0},
    {70, 1, 24, 66, 0, false, SW_F16, 0},
    {8, 8, 96, 65, 1, false, SW_BF16, 0},
    {1, 1, 1, 64, 0, true, SW_F16, 0},
    {4, 2, 7, 131, 0, false, SW_BF16, 0},
    {5, 1, 256, 90, 33, false, SW_BF16, 0},
    {2, 2, 512, 70, 0, false, SW_F32, 0},
    {6, 1, 480, 70, 33, false, SW_F16, 0},
    {8, 1, 300, 300, 0, SINKS, SW_BF16, 0},
    {6, 2, 20, 150, -13, false, SW_F32, 0},
    {4, 2, 40, 200, -70, false, SW_BF16, 0},
    {7, 1, 130, 70, 0, true, SW_F16, 0},
    {2, 2, 64, 700, 300, false, SW_BF16, 0},
    {4, 2, 20, 140, 0, CAPPED, SW_F32, 0},
    {6, 2, 24, 300, 90, SINKS, SW_F16, 0},
    {4, 1, 16, 700, 0, CAPPED | SINKS, SW_F32, 0},
    {4, 1, 64, 300, 0, CAPPED | SINKS, SW_BF16, 0},
    {5, 1, 27, 150, 0, 0, SW_F32, 21},
    {16, 1, 72, 200, 0, 0, SW_F16, 64},
    {10, 1, 27, 131, 0, 0, SW_BF16, 21},
    {9, 1, 576, 70, 0, SINKS, SW_BF16, 512},
    {4, 2, 40, 90, 0, CAPPED, SW_F16, 32},
};
#define N_SETUPS (sizeof setups / sizeof setups[0])

struct world {
    struct setup s;
    float *q, *k, *v, *slopes, *sinks; /* (length, heads * head_dim) */
    double *want;                      /* (length, n_heads * width of values) */
    struct sw_gpu_kv cache;
    float *d_q, *d_slopes, *d_sinks, *d_out;
};

static int64_t q_ld(const struct setup *s)
{
    return (int64_t)s->n_heads * s->head_dim;
}

static int64_t kv_ld(const struct setup *s)
{
    return (int64_t)s->n_kv_heads * s->head_dim;
}

static int value_dim(const struct setup *s)
{
    return s->value_dim ? s->value_dim : s->head_dim;
}

static int64_t out_ld(const struct setup *s)
{
    return (int64_t)s->n_heads * value_dim(s);
}

static void reference(struct world *w)
{
    const struct setup *s = &w->s;
    double *p = malloc((size_t)s->length * sizeof *p);
    for (int64_t i = 0; i < s->length; i++)
        for (int h = 0; h < s->n_heads; h++) {
            const int g = h / (s->n_heads / s->n_kv_heads);
            const int64_t first = s->window < 0                        ? i / -s->window * -s->window
                                  : s->window && i - s->window + 1 > 0 ? i - s->window + 1
                                                                       : 0;
            const float *q = w->q + i * q_ld(s) + h * s->head_dim;
            double top = -INFINITY, total = 0;
            for (int64_t j = first; j <= i; j++) {
                const float *k = w->k + j * kv_ld(s) + g * s->head_dim;
                p[j] = 0;
                for (int d = 0; d < s->head_dim; d++)
                    p[j] += (double)q[d] * (double)k[d];
                p[j] /= sqrt(s->head_dim);
                if (s->extras & CAPPED)
                    p[j] = CAP * tanh(p[j] / CAP);
                p[j] += ((s->extras & ALIBI) ? (double)w->slopes[h] * (double)j : 0);
                top = fmax(top, p[j]);
            }
            if (s->extras & SINKS)
                top = fmax(top, (double)w->sinks[h]);
            for (int64_t j = first; j <= i; j++)
                total += p[j] = exp(p[j] - top);
            total += s->extras & SINKS ? exp((double)w->sinks[h] - top) : 0;
            double *out = w->want + i * out_ld(s) + h * value_dim(s);
            const float *v = s->value_dim ? w->k : w->v;
            for (int d = 0; d < value_dim(s); d++) {
                out[d] = 0;
                for (int64_t j = first; j <= i; j++)
                    out[d] += p[j] / total * (double)v[j * kv_ld(s) + g * s->head_dim + d];
            }
        }
    free(p);
}

/* Binary exponents of queries, keys and values, and what they grow by over all positions. */
struct range {
    int q, k, v, k_growth, v_growth;
};

/* Rows of ld elements, as the cache will have them. */
static float *stored(const struct setup *s, uint64_t seed, int exponent, int growth)
{
    float *x = floats(s->length * kv_ld(s), seed);
    for (int64_t i = 0; i < s->length * kv_ld(s); i++) {
        const int more = (int)(i / kv_ld(s) * growth / s->length);
        x[i] = rounded(s->kv, ldexpf(x[i], exponent + more));
    }
    return x;
}

static struct world make_in(struct setup s, int slots, int64_t context, struct range range)
{
    struct world w = {.s = s};
    w.q = floats(s.length * q_ld(&s), 1);
    w.k = stored(&s, 2, range.k, range.k_growth);
    w.v = stored(&s, 3, range.v, range.v_growth);
    w.slopes = floats(s.n_heads, 4);
    w.sinks = floats(s.n_heads, 5);
    for (int64_t i = 0; i < s.length * q_ld(&s); i++)
        w.q[i] = ldexpf(w.q[i], 2 + range.q);
    for (int h = 0; h < s.n_heads; h++)
        w.slopes[h] = 0.02f + 0.01f * (float)h, w.sinks[h] = 3 - 2 * (float)h;
    w.want = malloc((size_t)(s.length * out_ld(&s)) * sizeof *w.want);
    reference(&w);
    w.cache = (struct sw_gpu_kv){s.kv, slots, s.n_kv_heads, s.head_dim, context, NULL, s.value_dim};
    w.cache.data = gpu_alloc(sw_kv_bytes(s.kv, slots, s.n_kv_heads, s.head_dim, context) /
                             (s.value_dim ? 2 : 1));
    w.d_q = gpu_floats(w.q, s.length * q_ld(&s));
    w.d_slopes = gpu_floats(w.slopes, s.n_heads);
    w.d_sinks = gpu_floats(w.sinks, s.n_heads);
    w.d_out = gpu_alloc((size_t)(s.length * out_ld(&s)) * sizeof(float));
    return w;
}

static struct world make(struct setup s, int slots, int64_t context)
{
    return make_in(s, slots, context, (struct range){0});
}

static void drop(struct world *w)
{
    free(w->q), free(w->k), free(w->v), free(w->slopes), free(w->sinks), free(w->want);
    CU_ASSERT_TRUE(gpu_free_all());
}

static struct sw_gpu_attention attention(const struct world *w)
{
    const struct setup *s = &w->s;
    return (struct sw_gpu_attention){.n_heads = s->n_heads,
                                     .scale = 1 / sqrtf((float)s->head_dim),
                                     .window = s->window,
                                     .cap = s->extras & CAPPED ? CAP : 0,
                                     .sinks = s->extras & SINKS ? w->d_sinks : NULL,
                                     .slopes = (s->extras & ALIBI) ? w->d_slopes : NULL,
                                     .q = w->d_q,
                                     .q_ld = q_ld(s),
                                     .q_head = s->head_dim,
                                     .out = w->d_out,
                                     .out_ld = out_ld(s)};
}

/* Stores and attends one call's spans; row r of the batch is row r of the world. */
static void call(struct world *w, const struct sw_gpu_span *spans, int n, const float *k,
                 const float *v, size_t work_rows)
{
    const struct setup *s = &w->s;
    const struct sw_gpu_batch batch = {gpu_copy(spans, (size_t)n * sizeof *spans), spans, n};
    const int64_t rows = spans[n - 1].row + spans[n - 1].n;
    const struct sw_gpu_attention a = attention(w);
    const float *d_k = gpu_floats(k, rows * kv_ld(s)), *d_v = gpu_floats(v, rows * kv_ld(s));
    const size_t bytes = sw_gpu_attend_work(&w->cache, s->n_heads, (int64_t)work_rows);
    gpu_store(&w->cache, &batch, d_k, d_v, kv_ld(s), s->head_dim);
    gpu_ok(sw_gpu_attend(&a, &w->cache, &batch, gpu_alloc(bytes), bytes, 0));
}

/* The largest error of n rows, each as a share of the row's largest value. */
static double row_error(const float *got, const double *want, int64_t n, int64_t dim)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        double error = 0, largest = 0;
        for (int64_t j = i * dim; j < (i + 1) * dim; j++) {
            const double e = fabs((double)got[j] - want[j]);
            error = e <= error ? error : isnan(e) ? INFINITY : e;
            largest = fmax(largest, fabs(want[j]));
        }
        most = fmax(most, error / largest);
    }
    return most;
}

/* The prompt in slot 1, `chunk` positions a call. Tolerance: f32 sums; scores reach 30. */
static void check_in(struct setup s, int64_t chunk, struct range range)
{
    struct world w = make_in(s, 3, s.length, range);
    struct world at = w;
    for (int64_t from = 0; from < s.length; from += chunk) {
        const struct sw_gpu_span span = {
            1, (int32_t)(s.length - from < chunk ? s.length - from : chunk), from, 0, 0};
        const int first_buffer = n_gpu_buffers;
        at.d_q = w.d_q + from * q_ld(&s);
        at.d_out = w.d_out + from * out_ld(&s);
        call(&at, &span, 1, w.k + from * kv_ld(&s), w.v + from * kv_ld(&s), 4);
        gpu_ok(cudaDeviceSynchronize());
        while (n_gpu_buffers > first_buffer)
            gpu_ok(cudaFree(gpu_buffers[--n_gpu_buffers].start));
    }
    float *got = malloc((size_t)(s.length * out_ld(&s)) * sizeof *got);
    gpu_get(got, w.d_out, (size_t)(s.length * out_ld(&s)) * sizeof *got);
    CU_ASSERT_TRUE(gpu_error(got, out_ld(&s), w.want, s.length, out_ld(&s)) < 3e-6 || range.v ||
                   range.v_growth);
    CU_ASSERT_TRUE(row_error(got, w.want, s.length, out_ld(&s)) < 2e-5);
    free(got);
    drop(&w);
}

static void check(struct setup s, int64_t chunk)
{
    check_in(s, chunk, (struct range){0});
}

static void many_queries(void)
{
    for (size_t i = 0; i < N_SETUPS; i++)
        check(setups[i], setups[i].length);
}

static void pieces(void)
{
    for (size_t i = 0; i < N_SETUPS; i++)
        check(setups[i], i % 2 ? 37 : 64);
}

/* What f16 cannot hold: as queries, and as keys and values of bf16 caches. */
static void ranges(void)
{
    static const struct {
        struct setup s;
        struct range range;
    } cases[] = {
        {{4, 2, 64, 150, 0, false, SW_BF16, 0}, {-60, 60, -90, 0, 0}},
        {{4, 2, 64, 150, 0, true, SW_BF16, 0}, {70, -70, 100, 0, 0}},
        {{2, 1, 130, 200, 0, false, SW_BF16, 0},
         {0, -3, -100, 3, 60}}, /* values outgrow one another */
        {{2, 1, 9, 200, 40, false, SW_BF16, 0}, {-100, 90, 100, 10, -40}},
        {{2, 2, 80, 150, 0, false, SW_F16, 0}, {20, -20, 10, 6, 5}},
        {{2, 2, 16, 150, 0, false, SW_F16, 0}, {-14, 14, -10, 0, 0}},
        {{2, 1, 20, 150, 0, false, SW_F32, 0}, {-80, 80, 100, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_in(cases[i].s, cases[i].s.length, cases[i].range);
        check_in(cases[i].s, 70, cases[i].range);
    }
}

/* Every number of heads in a group, short calls only. */
static void few_queries(void)
{
    for (int group = 1; group <= 9; group++)
        for (int format = 0; format < 3; format++) {
            const struct setup s = {2 * group,
                                    2,
                                    group % 2 ? 12 : 33,
                                    20,
                                    group % 3 ? 0 : 7,
                                    group % 2 == 0,
                                    (enum sw_dtype[]){SW_F32, SW_F16, SW_BF16}[format],
                                    0};
            check(s, 1 + group % SW_GPU_SPLIT_QUERIES);
        }
}

/* The last positions only, one at a time: contexts of several parts. */
static void long_contexts(void)
{
    static const struct setup longs[] = {
        {2, 1, 40, 600, 0, false, SW_F16, 0},  {4, 4, 16, 1030, 0, true, SW_F32, 0},
        {8, 1, 64, 520, 0, false, SW_BF16, 0}, {1, 1, 128, 515, 260, false, SW_BF16, 0},
        {3, 1, 9, 770, 500, true, SW_BF16, 0}, {9, 1, 72, 300, 0, false, SW_F16, 0},
        {9, 1, 40, 530, 0, 0, SW_BF16, 32},    {2, 1, 300, 600, 0, SINKS, SW_F16, 290},
    };
    for (size_t i = 0; i < sizeof longs / sizeof longs[0]; i++) {
        const struct setup s = longs[i];
        const int64_t first = s.length - 6;
        struct world w = make(s, 2, s.length);
        const struct sw_gpu_span before = {1, (int32_t)first, 0, 0, 0};
        const struct sw_gpu_batch batch = {gpu_copy(&before, sizeof before), &before, 1};
        gpu_store(&w.cache, &batch, gpu_floats(w.k, first * kv_ld(&s)),
                  gpu_floats(w.v, first * kv_ld(&s)), kv_ld(&s), s.head_dim);
        float *got = malloc((size_t)(s.length * out_ld(&s)) * sizeof *got);
        struct world at = w;
        for (int64_t p = first; p < s.length; p += 2) { /* room in work for one row: two launches */
            const struct sw_gpu_span span = {1, 2, p, 0, 0};
            at.d_q = w.d_q + p * q_ld(&s);
            at.d_out = w.d_out + p * out_ld(&s);
            call(&at, &span, 1, w.k + p * kv_ld(&s), w.v + p * kv_ld(&s), 1);
        }
        gpu_get(got, w.d_out, (size_t)(s.length * out_ld(&s)) * sizeof *got);
        CU_ASSERT_TRUE(gpu_error(got + first * out_ld(&s), out_ld(&s), w.want + first * out_ld(&s),
                                 6, out_ld(&s)) < 3e-6);
        const struct sw_gpu_attention a = attention(&w);
        const struct sw_gpu_span span = {1, 1, s.length - 1, 0, 0};
        const struct sw_gpu_batch one = {gpu_copy(&span, sizeof span), &span, 1};
        if (s.length > 256) /* several parts have to have a place */
            CU_ASSERT_NOT_EQUAL(sw_gpu_attend(&a, &w.cache, &one, NULL, 0, 0), cudaSuccess);
        free(got);
        drop(&w);
    }
}

/* Launchers that get later positions than the real ones launch more; the bits are the same. */
static void later_positions(void)
{
    static const struct {
        struct setup s;
        int64_t context, later[4];
    } cases[] = {
        {{4, 2, 16, 250, 0, false, SW_F16, 0}, 1030, {249, 255, 511, 1029}},
        {{2, 1, 24, 600, 300, true, SW_F32, 0}, 1030, {599, 767, 1023, 2047}},
        /* parts of 768 keys */
        {{3, 1, 8, 700, 0, false, SW_BF16, 0}, 40000, {699, 1023, 16383, 65535}},
        {{5, 1, 24, 250, 0, false, SW_F16, 16}, 1030, {249, 255, 511, 1029}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct setup s = cases[i].s;
        const size_t row = (size_t)out_ld(&s);
        struct world w = make(s, 2, cases[i].context);
        const struct sw_gpu_span all = {1, (int32_t)s.length, 0, 0, 0},
                                 last = {1, 1, s.length - 1, 0, 0};
        const struct sw_gpu_batch batch = {gpu_copy(&all, sizeof all), &all, 1};
        const size_t bytes = sw_gpu_attend_work(&w.cache, s.n_heads, 1);
        void *work = gpu_alloc(bytes), *d_last = gpu_copy(&last, sizeof last);
        float *got = malloc(row * sizeof *got), *first = malloc(row * sizeof *first);
        gpu_store(&w.cache, &batch, gpu_floats(w.k, s.length * kv_ld(&s)),
                  gpu_floats(w.v, s.length * kv_ld(&s)), kv_ld(&s), s.head_dim);
        struct sw_gpu_attention a = attention(&w);
        a.q += (s.length - 1) * q_ld(&s);
        for (int k = 0; k < 4; k++) {
            const struct sw_gpu_span later = {0, 1, cases[i].later[k], 0, 0};
            const struct sw_gpu_batch one = {d_last, &later, 1};
            gpu_ok(sw_gpu_attend(&a, &w.cache, &one, work, bytes, 0));
            gpu_get(k ? got : first, w.d_out, row * sizeof *got);
            CU_ASSERT(k == 0 || memcmp(got, first, row * sizeof *got) == 0);
        }
        CU_ASSERT(gpu_error(first, out_ld(&s), w.want + (s.length - 1) * out_ld(&s), 1,
                            out_ld(&s)) < 3e-6);
        free(got), free(first);
        drop(&w);
    }
}

/* Short and long spans of several slots in one call; each gives what it gives alone. */
static void spans_together(void)
{
    for (int f = 0; f < 3; f++) {
        const struct setup s = {
            6, 2, 24, 170, 0, false, (enum sw_dtype[]){SW_F32, SW_F16, SW_BF16}[f], 0};
        struct world w = make(s, 4, 200);
        /* slot 0: 80 + 1; slot 1: 70; slot 2: 3 + 2; slot 3: 14. The second call goes on. */
        static const struct sw_gpu_span first[] = {
            {0, 80, 0, 0, 0}, {2, 3, 0, 80, 0}, {1, 70, 0, 83, 0}, {3, 14, 0, 153, 0}};
        static const struct sw_gpu_span then[] = {{2, 2, 3, 0, 0}, {0, 1, 80, 2, 0}};
        const size_t row = (size_t)out_ld(&s);
        float *k = malloc(167 * (size_t)kv_ld(&s) * sizeof *k), *q = malloc(167 * row * sizeof *q);
        float *v = malloc(167 * (size_t)kv_ld(&s) * sizeof *v);
        float *got = malloc(167 * row * sizeof *got);
        for (int c = 0; c < 2; c++) {
            const struct sw_gpu_span *spans = c ? then : first;
            const int n = c ? 2 : 4;
            for (int i = 0; i < n; i++) { /* every slot has the same sequence */
                const size_t to = (size_t)spans[i].row, from = (size_t)spans[i].position;
                const size_t kv = (size_t)kv_ld(&s), rows = (size_t)spans[i].n;
                memcpy(q + to * row, w.q + from * row, rows * row * sizeof *q);
                memcpy(k + to * kv, w.k + from * kv, rows * kv * sizeof *k);
                memcpy(v + to * kv, w.v + from * kv, rows * kv * sizeof *v);
            }
            const size_t n_rows = (size_t)(spans[n - 1].row + spans[n - 1].n);
            gpu_ok(cudaMemcpy(w.d_q, q, n_rows * row * sizeof *q, cudaMemcpyHostToDevice));
            call(&w, spans, n, k, v, 2);
            gpu_get(got, w.d_out, n_rows * row * sizeof *got);
            for (int i = 0; i < n; i++)
                CU_ASSERT_TRUE(gpu_error(got + (size_t)spans[i].row * row, q_ld(&s),
                                         w.want + (size_t)spans[i].position * row, spans[i].n,
                                         q_ld(&s)) < 3e-6);
        }
        free(q), free(k), free(v), free(got);
        drop(&w);
    }
}

SW_UNIT_TESTS({"many queries", many_queries}, {"pieces", pieces}, {"ranges", ranges},
              {"few queries", few_queries}, {"long contexts", long_contexts},
              {"later positions", later_positions}, {"spans together", spans_together})

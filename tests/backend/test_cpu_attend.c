/* Attention on the CPU: against double precision, and bit for bit however a prompt is cut. */
#include "cpu_help.h"

#include <time.h>

enum { ALIBI = 1, CAPPED = 2, SINKS = 4 };
#define CAP 1.5f

struct setup {
    int n_heads, n_kv_heads, head_dim;
    int64_t length, window;
    int extras;
    enum sw_dtype kv;
};

static const struct setup setups[] = {
    {4, 4, 16, 70, 0, false, SW_F32},
    {8, 2, 64, 200, 0, false, SW_F16},
    {6, 1, 20, 150, 0, false, SW_BF16},
    {4, 2, 80, 130, 64, false, SW_F16},
    {3, 3, 5, 200, 10, false, SW_F32},
    {12, 4, 32, 140, 0, true, SW_BF16},
    {2, 1, 128, 300, 100, true, SW_F32},
    {60, 1, 24, 66, 0, false, SW_F16},
    {8, 8, 96, 65, 1, false, SW_BF16},
    {1, 1, 1, 64, 0, true, SW_F16},
    {4, 2, 7, 131, 0, false, SW_BF16},
    {4, 4, 64, 140, 33, false, SW_BF16},
    /* chunks */
    {6, 2, 20, 150, -13, false, SW_F32},
    {4, 1, 16, 1100, -300, false, SW_F16},
    {4, 2, 40, 200, -70, false, SW_BF16},
    /* of several lengths of keys (SW_KEY_LENGTH): one row's are shared out */
    {4, 1, 16, 1100, 0, false, SW_F16},
    {2, 1, 20, 1030, 0, true, SW_BF16},
    {3, 3, 8, 1100, 600, false, SW_F32},
    {50, 1, 16, 520, 0, false, SW_BF16},
    {4, 2, 20, 140, 0, CAPPED, SW_F32},
    {6, 2, 24, 90, 33, SINKS, SW_F16},
    {4, 1, 16, 1100, 0, CAPPED | SINKS, SW_F32},
};

struct world {
    struct setup s;
    float *q, *k, *v, *slopes, *sinks; /* (length, heads * head_dim) */
};

static struct world make(struct setup s)
{
    struct world w = {s,
                      floats(s.length * s.n_heads * s.head_dim, 1),
                      floats(s.length * s.n_kv_heads * s.head_dim, 2),
                      floats(s.length * s.n_kv_heads * s.head_dim, 3),
                      floats(s.n_heads, 4),
                      floats(s.n_heads, 5)};
    for (int64_t i = 0; i < s.length * s.n_heads * s.head_dim; i++)
        w.q[i] *= 4;
    for (int h = 0; h < s.n_heads; h++)
        w.slopes[h] = 0.02f + 0.01f * (float)h, w.sinks[h] = 3 - 2 * (float)h;
    return w;
}

static void drop(struct world *w)
{
    free(w->q), free(w->k), free(w->v), free(w->slopes), free(w->sinks);
}

/* The prompt in slot 1 of 3, `chunk` positions a call; out: (length, n_heads * head_dim). */
static void run(struct sw_backend *b, const struct world *w, int64_t chunk, float *out)
{
    const struct setup *s = &w->s;
    const int64_t q_ld = s->n_heads * s->head_dim, kv_ld = s->n_kv_heads * s->head_dim;
    struct sw_kv kv = {s->kv, 3, s->n_kv_heads, s->head_dim, s->length, NULL, 0};
    const size_t bytes = sw_kv_bytes(s->kv, 3, s->n_kv_heads, s->head_dim, s->length);
    kv.d_data = device(b, bytes);
    for (int64_t at = 0; at < s->length; at += chunk) {
        const int64_t n = s->length - at < chunk ? s->length - at : chunk;
        const struct sw_span span = {1, at, 0, n};
        store_heads(b, &kv, &span, 1, w->k + at * kv_ld, w->v + at * kv_ld, kv_ld, s->head_dim);
        const struct sw_attention a = {.n_heads = s->n_heads,
                                       .scale = 1 / sqrtf((float)s->head_dim),
                                       .window = s->window,
                                       .cap = s->extras & CAPPED ? CAP : 0,
                                       .d_sinks = s->extras & SINKS ? w->sinks : NULL,
                                       .d_slopes = (s->extras & ALIBI) ? w->slopes : NULL,
                                       .d_q = w->q + at * q_ld,
                                       .q_ld = q_ld,
                                       .q_head = s->head_dim,
                                       .d_out = out + at * q_ld,
                                       .out_ld = q_ld};
        b->ops->attend(b, &a, &kv, &span, 1);
    }
    b->ops->free(b, kv.d_data, bytes);
}

static void reference(const struct world *w, double *out)
{
    const struct setup *s = &w->s;
    const int64_t q_ld = s->n_heads * s->head_dim, kv_ld = s->n_kv_heads * s->head_dim;
    double *p = malloc((size_t)s->length * sizeof *p);
    for (int64_t i = 0; i < s->length; i++)
        for (int h = 0; h < s->n_heads; h++) {
            const int g = h / (s->n_heads / s->n_kv_heads);
            const int64_t first = s->window < 0                        ? i / -s->window * -s->window
                                  : s->window && i - s->window + 1 > 0 ? i - s->window + 1
                                                                       : 0;
            double top = -INFINITY, total = 0;
            for (int64_t j = first; j <= i; j++) {
                p[j] = 0;
                for (int d = 0; d < s->head_dim; d++)
                    p[j] +=
                        (s->kv == SW_BF16 ? rounded(SW_BF16, w->q[i * q_ld + h * s->head_dim + d])
                                          : (double)w->q[i * q_ld + h * s->head_dim + d]) *
                        rounded(s->kv, w->k[j * kv_ld + g * s->head_dim + d]);
                p[j] /= sqrt(s->head_dim);
                if (s->extras & CAPPED)
                    p[j] = CAP * tanh(p[j] / CAP);
                p[j] += ((s->extras & ALIBI) ? w->slopes[h] * (double)j : 0);
                top = fmax(top, p[j]);
            }
            if (s->extras & SINKS)
                top = fmax(top, (double)w->sinks[h]);
            for (int64_t j = first; j <= i; j++)
                total += p[j] = exp(p[j] - top);
            total += s->extras & SINKS ? exp((double)w->sinks[h] - top) : 0;
            for (int d = 0; d < s->head_dim; d++) {
                double sum = 0;
                for (int64_t j = first; j <= i; j++)
                    sum += p[j] * rounded(s->kv, w->v[j * kv_ld + g * s->head_dim + d]);
                out[i * q_ld + h * s->head_dim + d] = sum / total;
            }
        }
    free(p);
}

static void attention_is_right_and_bits_do_not_depend_on_the_cut(void)
{
    static const int64_t chunks[] = {1, 3, 7, 32, 64, 65, 100};
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) {
        struct world w = make(setups[i]);
        const int64_t n = w.s.length * w.s.n_heads * w.s.head_dim;
        double *want = malloc((size_t)n * sizeof *want);
        float *whole = malloc((size_t)n * sizeof *whole), *cut = malloc((size_t)n * sizeof *cut);
        reference(&w, want);
        FOR_EACH_ISA (isa) {
            struct sw_backend *b = open_cpu(2, isa);
            run(b, &w, w.s.length, whole);
            /* Shares of bf16 values are rounded to bf16 themselves, by 2^-9 at most. */
            const double error = largest_error(whole, want, n);
            const double allowed = w.s.kv == SW_BF16 ? 2e-3 : 3e-6;
            if (error > allowed)
                printf("setup %zu %s: %g\n", i, sw_isa_name(isa), error);
            CU_ASSERT(error <= allowed);
            for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
                run(b, &w, chunks[c], cut);
                CU_ASSERT(!memcmp(cut, whole, (size_t)n * sizeof *cut));
            }
            b->ops->close(b);
            struct sw_backend *single = open_cpu(1, isa);
            run(single, &w, w.s.length, cut);
            CU_ASSERT(!memcmp(cut, whole, (size_t)n * sizeof *cut));
            single->ops->close(single);
        }
        free(want), free(whole), free(cut);
        drop(&w);
    }
}

/* Several slots in one call, at different positions: each as if alone. */
static void slots_do_not_touch_each_other(void)
{
    struct world w = make(setups[1]);
    const int64_t q_ld = 8 * 64, kv_ld = 2 * 64, n = w.s.length * q_ld;
    float *alone = malloc((size_t)n * sizeof *alone),
          *both = malloc((size_t)(2 * q_ld) * sizeof *both);
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(2, isa);
        run(b, &w, w.s.length, alone);
        struct sw_kv kv = {SW_F16, 2, 2, 64, w.s.length, NULL, 0};
        kv.d_data = device(b, sw_kv_bytes(SW_F16, 2, 2, 64, w.s.length));
        const struct sw_span fill[] = {{0, 0, 0, 199}, {1, 0, 0, 90}};
        store_heads(b, &kv, fill, 2, w.k, w.v, kv_ld, 64);
        /* Rows 0 and 1 of a batch are positions 150 of slot 0 and 89 of slot 1. */
        float *q = malloc((size_t)(2 * q_ld) * sizeof *q);
        memcpy(q, w.q + 150 * q_ld, (size_t)q_ld * sizeof *q);
        memcpy(q + q_ld, w.q + 89 * q_ld, (size_t)q_ld * sizeof *q);
        const struct sw_span spans[] = {{1, 89, 1, 1}, {0, 150, 0, 1}};
        const struct sw_attention a = {.n_heads = 8,
                                       .scale = 0.125f,
                                       .d_q = q,
                                       .q_ld = q_ld,
                                       .q_head = 64,
                                       .d_out = both,
                                       .out_ld = q_ld};
        b->ops->attend(b, &a, &kv, spans, 2);
        CU_ASSERT(!memcmp(both, alone + 150 * q_ld, (size_t)q_ld * sizeof *both));
        CU_ASSERT(!memcmp(both + q_ld, alone + 89 * q_ld, (size_t)q_ld * sizeof *both));
        b->ops->free(b, kv.d_data, sw_kv_bytes(SW_F16, 2, 2, 64, w.s.length));
        b->ops->close(b);
        free(q);
    }
    free(alone), free(both);
    drop(&w);
}

static double cpu_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One decoded token of a long sequence with one KV head has all threads at work: the others do a
 * good part of it, at least once, for a busy machine may hold them up at times. */
static void one_row_is_shared_out(void)
{
    enum { DIM = 64, HEADS = 8, LENGTH = 16384 };
    float *k = floats((int64_t)LENGTH * DIM, 1), *q = floats(HEADS * DIM, 2), out[HEADS * DIM];
    struct sw_backend *b = open_cpu(4, sw_cpu_isa());
    const size_t bytes = sw_kv_bytes(SW_F16, 1, 1, DIM, LENGTH);
    const struct sw_kv kv = {SW_F16, 1, 1, DIM, LENGTH, device(b, bytes), 0};
    const struct sw_span all = {0, 0, 0, LENGTH}, last = {0, LENGTH - 1, 0, 1};
    const struct sw_attention a = {.n_heads = HEADS,
                                   .scale = 0.125f,
                                   .d_q = q,
                                   .q_ld = HEADS * DIM,
                                   .q_head = DIM,
                                   .d_out = out,
                                   .out_ld = HEADS * DIM};
    double best = 0;
    store_heads(b, &kv, &all, 1, k, k, DIM, DIM);
    for (int i = 0; i < 1000 && best < 0.4; i++) {
        const double process = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
        const double own = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
        for (int n = 0; n < 8; n++)
            b->ops->attend(b, &a, &kv, &last, 1);
        const double mine = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - own;
        const double others = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - process - mine;
        best = fmax(best, others / (others + mine));
    }
    if (best < 0.4)
        printf("    the other threads did %.0f%%\n", 100 * best);
    CU_ASSERT(best >= 0.4);
    b->ops->free(b, kv.d_data, bytes);
    b->ops->close(b);
    free(k), free(q);
}

/* The last position of slots 2 and 0, of which the first n were copied from 2 to 0. */
static void copied(struct sw_backend *b, const struct world *w, int64_t n, float *out)
{
    const struct setup *s = &w->s;
    const int64_t q_ld = s->n_heads * s->head_dim, kv_ld = s->n_kv_heads * s->head_dim;
    const int64_t last = s->length - 1;
    const size_t bytes = sw_kv_bytes(s->kv, 3, s->n_kv_heads, s->head_dim, s->length);
    const struct sw_kv kv = {s->kv, 3, s->n_kv_heads, s->head_dim, s->length, device(b, bytes), 0};
    const struct sw_span whole = {2, 0, 0, s->length}, rest = {0, n, 0, s->length - n};
    store_heads(b, &kv, &whole, 1, w->k, w->v, kv_ld, s->head_dim);
    b->ops->kv_copy(b, &kv, 2, 0, n);
    store_heads(b, &kv, &rest, 1, w->k + n * kv_ld, w->v + n * kv_ld, kv_ld, s->head_dim);
    for (int k = 0; k < 2; k++) {
        const struct sw_span span = {k ? 0 : 2, last, 0, 1};
        const struct sw_attention a = {.n_heads = s->n_heads,
                                       .scale = 1 / sqrtf((float)s->head_dim),
                                       .window = s->window,
                                       .cap = s->extras & CAPPED ? CAP : 0,
                                       .d_sinks = s->extras & SINKS ? w->sinks : NULL,
                                       .d_slopes = (s->extras & ALIBI) ? w->slopes : NULL,
                                       .d_q = w->q + last * q_ld,
                                       .q_ld = q_ld,
                                       .q_head = s->head_dim,
                                       .d_out = out + k * q_ld,
                                       .out_ld = q_ld};
        b->ops->attend(b, &a, &kv, &span, 1);
    }
    b->ops->free(b, kv.d_data, bytes);
}

/* A copied prefix is read, and written on, as if it had been stored: bit for bit. */
static void a_copied_prefix_is_as_good(void)
{
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) {
        struct world w = make(setups[i]);
        const int64_t q_ld = w.s.n_heads * w.s.head_dim, last = w.s.length - 1;
        const int64_t lengths[] = {1, 2, 62, 63, last - 1, last};
        float *alone = malloc((size_t)(w.s.length * q_ld) * sizeof *alone);
        float *out = malloc((size_t)(2 * q_ld) * sizeof *out);
        FOR_EACH_ISA (isa) {
            struct sw_backend *b = open_cpu(2, isa);
            run(b, &w, w.s.length, alone);
            for (size_t n = 0; n < sizeof lengths / sizeof lengths[0]; n++) {
                copied(b, &w, lengths[n], out);
                for (int k = 0; k < 2; k++)
                    CU_ASSERT(
                        !memcmp(out + k * q_ld, alone + last * q_ld, (size_t)q_ld * sizeof *out));
            }
            b->ops->close(b);
        }
        free(alone), free(out);
        drop(&w);
    }
}

/* What is slow is never made: a share that would be a subnormal number is 0. */
static void shares_are_normal_numbers_or_0(void)
{
    enum { DIM = 16, KEYS = 2 };
    static const struct {
        float score;        /* of the second key; the first one's is 0 */
        double least, most; /* of the first value times its share */
    } cases[] = {{87, 4.9, 5}, {88, 0, 0}, {95, 0, 0}, {200, 0, 0}};
    const float q[DIM] = {1}, v[KEYS * DIM] = {3e38f};
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(1, isa);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct sw_kv kv = {SW_F32, 1, 1, DIM, KEYS, NULL, 0};
            const size_t bytes = sw_kv_bytes(SW_F32, 1, 1, DIM, KEYS);
            const struct sw_span all = {0, 0, 0, KEYS}, last = {0, KEYS - 1, 0, 1};
            float k[KEYS * DIM] = {0}, out[DIM];
            k[DIM] = cases[i].score;
            kv.d_data = device(b, bytes);
            store_heads(b, &kv, &all, 1, k, v, DIM, DIM);
            const struct sw_attention a = {.n_heads = 1,
                                           .scale = 1,
                                           .d_q = q,
                                           .q_ld = DIM,
                                           .q_head = DIM,
                                           .d_out = out,
                                           .out_ld = DIM};
            b->ops->attend(b, &a, &kv, &last, 1);
            CU_ASSERT(out[0] >= cases[i].least && out[0] <= cases[i].most);
            b->ops->free(b, kv.d_data, bytes);
        }
        b->ops->close(b);
    }
}

SW_UNIT_TESTS({"attention is right, its bits do not depend on the cut",
               attention_is_right_and_bits_do_not_depend_on_the_cut},
              {"slots do not touch each other", slots_do_not_touch_each_other},
              {"one row is shared out", one_row_is_shared_out},
              {"a copied prefix is as good", a_copied_prefix_is_as_good},
              {"shares are normal numbers or 0", shares_are_normal_numbers_or_0})

/*
 * One tile: `nr` tokens times `nv` vectors of output rows, accumulated over `steps` steps. Included
 * by the files that are compiled once per instruction set, after their vec_*.h.
 */
#ifndef SW_KERNELS_TILE_H
#define SW_KERNELS_TILE_H

#include <stddef.h>
#include <stdint.h>

#define TILE_ROWS SW_GEMV_ROWS /* tokens; with four vectors, 24 accumulators of 32 registers */

/* Written out for each caller, sanitized code takes a minute to compile, with the same checks. */
#ifdef SW_INLINE_LESS
#define ALWAYS_INLINE static inline
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif
/* for (int i = 0; i < n; i++), written out: n is a constant after inlining. */
#ifdef __clang__
#define EACH(i, n) _Pragma("unroll") for (int i = 0; i < (n); i++)
#else
#define EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)
#endif

/* How the weights lie: one element a step, or two bf16 (PAIRS) or four int8 of consecutive columns.
 * The sums of int8 products are int32 lanes; from here they go to c, and int8.h makes floats of
 * them. */
enum kind { KIND_F32, KIND_F16, KIND_PAIRS, KIND_INT8 };

struct tile {
    const char *w;
    ptrdiff_t w_step; /* bytes from one step's weights to the next */
    const char *x;    /* floats; with DOT, for PAIRS, pairs of bf16; for INT8 fours of int8 */
    ptrdiff_t x_ld;   /* bytes from token to token; 0: packed (steps, nr) */
    int64_t steps;
    float *c; /* sums so far: token r at c + r * c_ld */
    ptrdiff_t c_ld;
    bool resume; /* goes on from c instead of 0 */
    /* Where the sums go in the end, in rows as of c; NULL: they stay in c. */
    float *y;
    ptrdiff_t y_ld;
    const float *bias; /* (width) or NULL; used with y only */
    bool add;          /* y += instead of y =; used with y only */
    /* Packed: memory [next, next_end) is prefetched, `lines` cache lines in each group of steps. */
    const char *next, *next_end;
    int lines;
    ptrdiff_t ahead; /* not packed: bytes by which weights are prefetched ahead of their use */
    ptrdiff_t deep;  /* of struct sw_panel_product */
};

ALWAYS_INLINE vec load_kind(enum kind kind, const char *w)
{
    if (kind == KIND_F32)
        return v_load((const float *)(const void *)w);
    return v_load_f16((const uint16_t *)(const void *)w);
}

ALWAYS_INLINE ptrdiff_t kind_bytes(enum kind kind)
{
    return kind == KIND_F16 ? 2 : 4;
}

ALWAYS_INLINE float float_at(const char *x)
{
    return *(const float *)(const void *)x;
}

#ifdef DOT
#define PAIR_BYTES 4 /* of x, per step and token */
#else
#define PAIR_BYTES 8
#endif

ALWAYS_INLINE ptrdiff_t x_bytes(enum kind kind)
{
    return kind == KIND_PAIRS ? PAIR_BYTES : 4;
}

ALWAYS_INLINE void step_single(enum kind kind, int nr, int nv, ptrdiff_t x_ld, const char *w,
                               const char *x, vec acc[TILE_ROWS][4])
{
    vec weights[4];
    EACH (v, nv)
        weights[v] = load_kind(kind, w + v * 16 * kind_bytes(kind));
    EACH (r, nr) {
        const vec xs = v_set(float_at(x + r * x_ld));
        EACH (v, nv)
            acc[r][v] = v_fma(weights[v], xs, acc[r][v]);
    }
}

#ifdef DOT
ALWAYS_INLINE void step_pairs(int nr, int nv, ptrdiff_t x_ld, const char *w, const char *x,
                              vec acc[TILE_ROWS][4])
{
    __m512i weights[4];
    EACH (v, nv)
        weights[v] = _mm512_loadu_si512(w + v * 64);
    EACH (r, nr) {
        const __m512i xs = _mm512_set1_epi32(*(const int *)(const void *)(x + r * x_ld));
        EACH (v, nv)
            acc[r][v] = _mm512_dpbf16_ps(acc[r][v], (__m512bh)weights[v], (__m512bh)xs);
    }
}
#else
ALWAYS_INLINE void step_pairs(int nr, int nv, ptrdiff_t x_ld, const char *w, const char *x,
                              vec acc[TILE_ROWS][4])
{
    EACH (v, nv) {
        const uint16_t *pairs = (const uint16_t *)(const void *)(w + v * 64);
        const vec even = v_load_even(pairs), odd = v_load_odd(pairs);
        EACH (r, nr) {
            acc[r][v] = v_fma(even, v_set(float_at(x + r * x_ld)), acc[r][v]);
            acc[r][v] = v_fma(odd, v_set(float_at(x + r * x_ld + 4)), acc[r][v]);
        }
    }
}
#endif

ALWAYS_INLINE void step_int8(int nr, int nv, ptrdiff_t x_ld, const char *w, const char *x,
                             vec acc[TILE_ROWS][4])
{
    v_bytes weights[4];
    EACH (v, nv)
        weights[v] = v_load_bytes(w + v * 64);
    EACH (r, nr)
        EACH (v, nv)
            acc[r][v] = v_dot_bytes(acc[r][v], weights[v], x + r * x_ld);
}

/* Bytes ahead that the streams are fetched: packed activations; weights when there are few tokens.
 */
#define X_AHEAD 4096
#define W_AHEAD 4096
#define GROUP 8 /* steps between the prefetches of packed tiles */

/*
 * A cache line of weights that come later. A fetch into Intel's first-level cache keeps one of its
 * 16 places for lines under way until memory answers, which is too few to read at full speed; the
 * second-level cache has 48. So the line is fetched there first, further ahead.
 */
ALWAYS_INLINE void fetch_weights(const char *w, ptrdiff_t deep)
{
    __builtin_prefetch(w);
    if (deep)
        __builtin_prefetch(w + deep, 0, 2);
}

ALWAYS_INLINE void step_kind(enum kind kind, int nr, int nv, ptrdiff_t x_ld, const char *w,
                             const char *x, vec acc[TILE_ROWS][4])
{
    if (kind == KIND_PAIRS)
        step_pairs(nr, nv, x_ld, w, x, acc);
    else if (kind == KIND_INT8)
        step_int8(nr, nv, x_ld, w, x, acc);
    else
        step_single(kind, nr, nv, x_ld, w, x, acc);
}

/* The steps over packed activations. Weights come from a near cache; the next ones are fetched. */
ALWAYS_INLINE void steps_packed(enum kind kind, int nr, int nv, const struct tile *t,
                                vec acc[TILE_ROWS][4])
{
    const char *w = t->w, *x = t->x, *next = t->next;
    const char *const next_end = t->next_end;
    const ptrdiff_t unit = x_bytes(kind), w_step = t->w_step;
    int64_t k = t->steps;
    for (; k >= GROUP; k -= GROUP) {
        EACH (line, (nr * (int)unit * GROUP + 63) / 64)
            __builtin_prefetch(x + X_AHEAD + line * 64);
        for (int line = 0; line < t->lines && next < next_end; line++, next += 64)
            __builtin_prefetch(next, 0, 2);
        for (int i = 0; i < GROUP; i++, w += w_step, x += nr * unit)
            step_kind(kind, nr, nv, unit, w, x, acc);
    }
    for (; k > 0; k--, w += w_step, x += nr * unit)
        step_kind(kind, nr, nv, unit, w, x, acc);
}

ALWAYS_INLINE void steps_apart(enum kind kind, int nr, int nv, const struct tile *t,
                               vec acc[TILE_ROWS][4])
{
    const char *w = t->w, *x = t->x;
    const ptrdiff_t unit = x_bytes(kind), x_ld = t->x_ld, w_step = t->w_step, ahead = t->ahead;
    const ptrdiff_t deep = t->deep;
    for (int64_t k = t->steps; k > 0; k--, w += w_step, x += unit) {
        /* One token waits for nothing but memory: most processors' own fetching is best there. */
        if (nv == 4 && (nr > 1 || deep))
            EACH (line, kind_bytes(kind))
                fetch_weights(w + ahead + line * 64, deep);
        step_kind(kind, nr, nv, x_ld, w, x, acc);
    }
}

ALWAYS_INLINE void store_sums(int nr, int nv, const struct tile *t, vec acc[TILE_ROWS][4])
{
    if (!t->y) {
        EACH (r, nr)
            EACH (v, nv)
                v_store(t->c + r * t->c_ld + v * 16, acc[r][v]);
        return;
    }
    if (t->bias)
        EACH (v, nv) {
            const vec bias = v_load(t->bias + v * 16);
            EACH (r, nr)
                acc[r][v] = v_add(acc[r][v], bias);
        }
    EACH (r, nr)
        EACH (v, nv) {
            float *const y = t->y + r * t->y_ld + v * 16;
            v_store(y, t->add ? v_add(v_load(y), acc[r][v]) : acc[r][v]);
        }
}

ALWAYS_INLINE void tile_fixed(enum kind kind, bool packed, int nr, int nv, const struct tile *t)
{
    vec acc[TILE_ROWS][4];
    EACH (r, nr)
        EACH (v, nv)
            acc[r][v] = t->resume ? v_load(t->c + r * t->c_ld + v * 16) : v_set(0);
    if (packed)
        steps_packed(kind, nr, nv, t, acc);
    else
        steps_apart(kind, nr, nv, t, acc);
    store_sums(nr, nv, t, acc);
}

ALWAYS_INLINE void tile_rows(enum kind kind, bool packed, int nr, int nv, const struct tile *t)
{
    switch (nr) {
    case 1:
        tile_fixed(kind, packed, 1, nv, t);
        break;
    case 2:
        tile_fixed(kind, packed, 2, nv, t);
        break;
    case 3:
        tile_fixed(kind, packed, 3, nv, t);
        break;
    case 4:
        tile_fixed(kind, packed, 4, nv, t);
        break;
    case 5:
        tile_fixed(kind, packed, 5, nv, t);
        break;
    default:
        tile_fixed(kind, packed, 6, nv, t);
        break;
    }
}

/* A tile of any width: n_vecs vectors, in pieces that the registers hold. */
ALWAYS_INLINE void tile_wide(enum kind kind, bool packed, int nr, int n_vecs, struct tile t)
{
    while (n_vecs > 0) {
        const bool four = n_vecs >= 4 && (VEC_TILE == 4 || nr == 1);
        if (four && VEC_TILE == 4)
            tile_rows(kind, packed, nr, 4, &t);
        else if (four)
            tile_fixed(kind, packed, 1, 4, &t);
        else
            tile_rows(kind, packed, nr, 1, &t);
        const int done = four ? 4 : 1;
        t.w += done * 16 * kind_bytes(kind);
        t.c += done * 16;
        if (t.y)
            t.y += done * 16;
        if (t.bias)
            t.bias += done * 16;
        n_vecs -= done;
    }
}

/* Tokens [first, end) of n make tile i: heights as equal as can be. */
static inline int64_t tile_first(int64_t n, int64_t i)
{
    return i * n / sw_tile_count(n);
}

/* Any number of tokens that lie x_ld apart. */
ALWAYS_INLINE void tile_tall(enum kind kind, int64_t n, int n_vecs, struct tile t)
{
    const char *x = t.x;
    float *const c = t.c, *const y = t.y;
    const ptrdiff_t deep = t.deep;
    for (int64_t i = 0; i < sw_tile_count(n); i++) {
        const int64_t first = tile_first(n, i);
        t.x = x + first * t.x_ld;
        t.c = c + first * t.c_ld;
        t.y = y ? y + first * t.y_ld : NULL;
        t.ahead = i == 0 ? W_AHEAD : 0; /* the others find them close by */
        t.deep = i == 0 ? deep : 0;
        tile_wide(kind, false, (int)(tile_first(n, i + 1) - first), n_vecs, t);
    }
}

/* One copy of each for all callers. */
#define TALL(name, kind)                                                                           \
    static __attribute__((noinline)) void name(int64_t n, int n_vecs, struct tile t)               \
    {                                                                                              \
        tile_tall(kind, n, n_vecs, t);                                                             \
    }
TALL(tall_f32, KIND_F32)
TALL(tall_f16, KIND_F16)
TALL(tall_pairs, KIND_PAIRS)
TALL(tall_int8, KIND_INT8)
#undef TALL

static void (*const tall[])(int64_t n, int n_vecs, struct tile t) = {[KIND_F32] = tall_f32,
                                                                     [KIND_F16] = tall_f16,
                                                                     [KIND_PAIRS] = tall_pairs,
                                                                     [KIND_INT8] = tall_int8};

#endif

/*
 * One tile: `nr` tokens times `nv` vectors of output rows, accumulated over `steps` steps. Included
 * by the files that are compiled once per instruction set, after their vec_*.h.
 */
#ifndef SW_KERNELS_TILE_H
#define SW_KERNELS_TILE_H

#include <stddef.h>
#include <stdint.h>

#define TILE_ROWS 6 /* tokens; with four vectors, 24 accumulators of 32 registers */

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* How the weights lie: one element a step, or (PAIRS) two bf16 of consecutive columns. */
enum kind { KIND_F32, KIND_F16, KIND_BF16, KIND_PAIRS };

struct tile {
    const char *w;
    ptrdiff_t w_step; /* bytes from one step's weights to the next */
    const char *x;    /* token r at x + r * x_ld: floats; with DOT, for PAIRS, bf16 */
    ptrdiff_t x_ld;   /* bytes */
    int64_t steps;
    float *c; /* token r at c + r * c_ld */
    ptrdiff_t c_ld;
    bool resume; /* goes on from c instead of 0 */
};

ALWAYS_INLINE vec load_kind(enum kind kind, const char *w)
{
    if (kind == KIND_F32)
        return v_load((const float *)(const void *)w);
    if (kind == KIND_F16)
        return v_load_f16((const uint16_t *)(const void *)w);
    return v_load_bf16((const uint16_t *)(const void *)w);
}

ALWAYS_INLINE ptrdiff_t kind_bytes(enum kind kind)
{
    return kind == KIND_F32 || kind == KIND_PAIRS ? 4 : 2;
}

ALWAYS_INLINE float float_at(const char *x)
{
    return *(const float *)(const void *)x;
}

ALWAYS_INLINE void step_single(enum kind kind, int nr, int nv, const struct tile *t, const char *w,
                               const char *x, vec acc[TILE_ROWS][4])
{
    vec weights[4];
    UNROLL
    for (int v = 0; v < nv; v++)
        weights[v] = load_kind(kind, w + v * 16 * kind_bytes(kind));
    UNROLL
    for (int r = 0; r < nr; r++) {
        const vec xs = v_set(float_at(x + r * t->x_ld));
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[r][v] = v_fma(weights[v], xs, acc[r][v]);
    }
}

#ifdef DOT
ALWAYS_INLINE void step_pairs(int nr, int nv, const struct tile *t, const char *w, const char *x,
                              vec acc[TILE_ROWS][4])
{
    __m512i weights[4];
    UNROLL
    for (int v = 0; v < nv; v++)
        weights[v] = _mm512_loadu_si512(w + v * 64);
    UNROLL
    for (int r = 0; r < nr; r++) {
        const __m512i xs = _mm512_set1_epi32(*(const int *)(const void *)(x + r * t->x_ld));
        UNROLL
        for (int v = 0; v < nv; v++)
            acc[r][v] = _mm512_dpbf16_ps(acc[r][v], (__m512bh)weights[v], (__m512bh)xs);
    }
}
#define PAIR_BYTES 4
#else
ALWAYS_INLINE void step_pairs(int nr, int nv, const struct tile *t, const char *w, const char *x,
                              vec acc[TILE_ROWS][4])
{
    UNROLL
    for (int v = 0; v < nv; v++) {
        const uint16_t *pairs = (const uint16_t *)(const void *)(w + v * 64);
        const vec even = v_load_even(pairs), odd = v_load_odd(pairs);
        UNROLL
        for (int r = 0; r < nr; r++) {
            acc[r][v] = v_fma(even, v_set(float_at(x + r * t->x_ld)), acc[r][v]);
            acc[r][v] = v_fma(odd, v_set(float_at(x + r * t->x_ld + 4)), acc[r][v]);
        }
    }
}
#define PAIR_BYTES 8
#endif

ALWAYS_INLINE void tile_fixed(enum kind kind, int nr, int nv, const struct tile *t)
{
    vec acc[TILE_ROWS][4];
    UNROLL
    for (int r = 0; r < nr; r++)
        UNROLL
    for (int v = 0; v < nv; v++)
        acc[r][v] = t->resume ? v_load(t->c + r * t->c_ld + v * 16) : v_set(0);
    const char *w = t->w, *x = t->x;
    for (int64_t k = 0; k < t->steps; k++) {
        if (kind == KIND_PAIRS)
            step_pairs(nr, nv, t, w, x, acc);
        else
            step_single(kind, nr, nv, t, w, x, acc);
        w += t->w_step;
        x += kind == KIND_PAIRS ? PAIR_BYTES : 4;
    }
    UNROLL
    for (int r = 0; r < nr; r++)
        UNROLL
    for (int v = 0; v < nv; v++)
        v_store(t->c + r * t->c_ld + v * 16, acc[r][v]);
}

ALWAYS_INLINE void tile_rows(enum kind kind, int nr, int nv, const struct tile *t)
{
    switch (nr) {
    case 1:
        tile_fixed(kind, 1, nv, t);
        break;
    case 2:
        tile_fixed(kind, 2, nv, t);
        break;
    case 3:
        tile_fixed(kind, 3, nv, t);
        break;
    case 4:
        tile_fixed(kind, 4, nv, t);
        break;
    case 5:
        tile_fixed(kind, 5, nv, t);
        break;
    default:
        tile_fixed(kind, 6, nv, t);
        break;
    }
}

/* A tile of any width: n_vecs vectors, in pieces that the registers hold. */
ALWAYS_INLINE void tile_wide(enum kind kind, int nr, int n_vecs, struct tile t)
{
    while (n_vecs > 0) {
        const bool four = n_vecs >= 4 && (VEC_TILE == 4 || nr == 1);
        if (four && VEC_TILE == 4)
            tile_rows(kind, nr, 4, &t);
        else if (four)
            tile_fixed(kind, 1, 4, &t);
        else
            tile_rows(kind, nr, 1, &t);
        const int done = four ? 4 : 1;
        t.w += done * 16 * kind_bytes(kind);
        t.c += done * 16;
        n_vecs -= done;
    }
}

/* Any number of tokens: tiles of as equal heights as can be. */
ALWAYS_INLINE void tile_tall(enum kind kind, int64_t n, int n_vecs, struct tile t)
{
    const int64_t n_tiles = (n + TILE_ROWS - 1) / TILE_ROWS;
    const char *x = t.x;
    float *c = t.c;
    for (int64_t i = 0; i < n_tiles; i++) {
        const int64_t first = i * n / n_tiles, end = (i + 1) * n / n_tiles;
        t.x = x + first * t.x_ld;
        t.c = c + first * t.c_ld;
        tile_wide(kind, (int)(end - first), n_vecs, t);
    }
}

#endif

/* This machine's limits, for measurements. Included per instruction set, after tile.h. */
#ifndef SW_KERNELS_LIMITS_H
#define SW_KERNELS_LIMITS_H

/* Reads [p, p + bytes), a multiple of 256, as fast as memory gives it; returns something of it. */
static float read_memory(const void *p, size_t bytes)
{
    vec sum[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    const float *from = p;
    for (size_t i = 0; i < bytes / sizeof(float); i += 64)
        EACH (v, 4)
            sum[v] = v_add(sum[v], v_load(from + i + v * 16));
    return v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

/* A step's multiply-adds without its loads. */
ALWAYS_INLINE void spin_step(bool pairs, vec a, vec acc[TILE_ROWS][4])
{
    EACH (r, TILE_ROWS)
        EACH (v, VEC_TILE)
#ifdef DOT
            if (pairs)
                acc[r][v] = _mm512_dpbf16_ps(acc[r][v], (__m512bh)a, (__m512bh)a);
            else
#endif
                acc[r][v] = v_fma(a, a, acc[r][v]);
    (void)pairs;
}

/* Does steps and nothing else; returns the floating-point operations done, a pair counting double.
 */
ALWAYS_INLINE double spin_kind(bool pairs, int64_t steps, float *out)
{
    vec acc[TILE_ROWS][4], a = v_load(out);
    EACH (r, TILE_ROWS)
        EACH (v, VEC_TILE)
            acc[r][v] = v_add(a, v_set((float)(r * 4 + v))); /* all different */
    for (int64_t k = 0; k < steps; k++) {
        __asm__ volatile(""); /* or the compiler would foresee the sums */
        spin_step(pairs, a, acc);
    }
    EACH (r, TILE_ROWS)
        EACH (v, VEC_TILE)
            v_store(out, v_add(v_load(out), acc[r][v]));
    return (double)steps * TILE_ROWS * VEC_TILE * (pairs ? 64 : 32);
}

/* out: 16 floats of any value. Without dot products a bf16 pair is two multiply-adds. */
static double spin(enum sw_dtype format, int64_t steps, float *out)
{
#ifdef DOT
    if (format == SW_BF16)
        return spin_kind(true, steps, out);
#endif
    (void)format;
    return spin_kind(false, steps, out);
}

#endif

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

/* A step's multiply-adds without its loads; of int8 with them, but from one place, for each token
 * makes other operands of it. */
ALWAYS_INLINE void spin_step(enum kind kind, vec a, const char *bytes, vec acc[TILE_ROWS][4])
{
    if (kind == KIND_INT8) {
        step_int8(TILE_ROWS, VEC_TILE, 4, bytes, bytes, acc);
        return;
    }
    EACH (r, TILE_ROWS)
        EACH (v, VEC_TILE)
#ifdef DOT
            if (kind == KIND_PAIRS)
                acc[r][v] = _mm512_dpbf16_ps(acc[r][v], (__m512bh)a, (__m512bh)a);
            else
#endif
                acc[r][v] = v_fma(a, a, acc[r][v]);
}

/* Does steps and nothing else; returns the operations done, a pair counting double, a four four
 * times. */
ALWAYS_INLINE double spin_kind(enum kind kind, int64_t steps, float *out)
{
    vec acc[TILE_ROWS][4], a = v_load(out);
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)(i & 63);
    EACH (r, TILE_ROWS)
        EACH (v, VEC_TILE)
            acc[r][v] = v_add(a, v_set((float)(r * 4 + v))); /* all different */
    for (int64_t k = 0; k < steps; k++) {
        __asm__ volatile("" : : "r"(bytes) : "memory"); /* or the sums would be foreseen */
        spin_step(kind, a, bytes, acc);
    }
    EACH (r, TILE_ROWS)
        EACH (v, VEC_TILE)
            v_store(out, v_add(v_load(out), acc[r][v]));
    const int each = kind == KIND_INT8 ? 4 : kind == KIND_PAIRS ? 2 : 1;
    return (double)steps * TILE_ROWS * VEC_TILE * 32 * each;
}

static double spin_f32(int64_t steps, float *out)
{
    return spin_kind(KIND_F32, steps, out);
}

/* Without dot products a bf16 pair is two multiply-adds. */
static double spin_bf16(int64_t steps, float *out)
{
#ifdef DOT
    return spin_kind(KIND_PAIRS, steps, out);
#else
    return spin_kind(KIND_F32, steps, out);
#endif
}

static double spin_int8(int64_t steps, float *out)
{
    return spin_kind(KIND_INT8, steps, out);
}

#endif

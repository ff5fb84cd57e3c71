/*
 * The step of q6_k: a block of 256 is two halves of four runs of 32 columns. A half has 64 bytes of
 * nibbles (the low ones are runs 0 and 1, the high ones 2 and 3) and 32 bytes with the upper two
 * bits of all four runs. Each 16 columns have a scale of a signed byte, the block one in f16 behind
 * them. Weights are -32 to 31. Included after k_scales.h.
 */
#ifndef SW_KERNELS_Q6_K_H
#define SW_KERNELS_Q6_K_H

ALWAYS_INLINE void q6_k_run(int nr, const struct block_unit *u, int half, int k, l_vec scale,
                            l_vec acc[TILE_ROWS])
{
    const int run = half * 4 + k;
    const l_word scales = l_load_words(unit_word(u, 0, 48 + half * 2 + k / 2));
    l_word sums[TILE_ROWS];
    EACH (part, 2) {
        l_dots dots[TILE_ROWS];
        EACH (r, nr)
            dots[r] = l_dots_from(unit_x(u, r, run)->starts[part]);
        EACH (i, 4) {
            const int at = part * 4 + i;
            const l_word nibbles = l_load_words(unit_word(u, 0, 16 * half + k % 2 * 8 + at));
            const l_word upper = l_load_words(unit_word(u, 0, 32 + 8 * half + at));
            const l_word w =
                l_or(k / 2 ? l_high(nibbles) : l_low(nibbles), k_bits(upper, 4 - 2 * k, 48));
            EACH (r, nr)
                dots[r] = l_dot(dots[r], w, unit_x(u, r, run)->elements + 4 * at);
        }
        const l_word of_part = l_signed_byte(scales, k % 2 * 2 + part);
        EACH (r, nr) {
            const l_word more = l_sum_times(dots[r], of_part);
            sums[r] = part ? l_plus(sums[r], more) : more;
        }
    }
    EACH (r, nr)
        acc[r] = l_fma(l_float(sums[r]), l_mul(scale, l_set(unit_x(u, r, run)->scale)), acc[r]);
}

ALWAYS_INLINE void q6_k_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    const l_vec scale = l_load_f16(unit_word(u, 1, 0));
    for (int half = 0; half < 2; half++)
        EACH (k, 4)
            q6_k_run(nr, u, half, k, scale, acc);
}

static const struct block_format q6_k_format = {
    {256, {{4, 52}, {2, 1}}}, {2, 32, false}, q6_k_step};

static void prepare_tile_q6_k(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q6_k_format, p, i);
}

static void product_q6_k(const struct sw_panel_product *p)
{
    blocks_product(&q6_k_format, p);
}

#endif

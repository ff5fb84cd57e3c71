/*
 * The step of q2_k: a block of 256 is two halves of four runs of 32 columns; run k of a half has
 * two bits of its 32 bytes. Before them each 16 columns have a scale and a minimum of four bits,
 * behind them the block one of each in f16. Included after k_scales.h.
 */
#ifndef SW_KERNELS_Q2_K_H
#define SW_KERNELS_Q2_K_H

ALWAYS_INLINE void q2_k_run(int nr, const struct block_unit *u, int half, int k, l_vec scale,
                            l_vec of_mins, l_vec acc[TILE_ROWS])
{
    const int run = half * 4 + k;
    const l_word pairs = l_load_words(unit_word(u, 0, half * 2 + k / 2));
    l_word sums[TILE_ROWS];
    EACH (part, 2) {
        l_dots dots[TILE_ROWS];
        EACH (r, nr)
            dots[r] = l_dots_zero();
        EACH (i, 4) {
            const int at = part * 4 + i;
            const l_word w = k_bits(l_load_words(unit_word(u, 0, 4 + half * 8 + at)), -2 * k, 3);
            EACH (r, nr)
                dots[r] = l_dot(dots[r], w, unit_x(u, r, run)->elements + 4 * at);
        }
        const l_word of_part = l_byte(l_low(pairs), k % 2 * 2 + part);
        const l_vec more = l_mul(of_mins, l_float(l_byte(l_high(pairs), k % 2 * 2 + part)));
        EACH (r, nr) {
            const l_word sum = l_sum_times(dots[r], of_part);
            sums[r] = part ? l_plus(sums[r], sum) : sum;
            acc[r] = l_fma(more, l_set(unit_x(u, r, run)->sums[part]), acc[r]);
        }
    }
    EACH (r, nr)
        acc[r] = l_fma(l_float(sums[r]), l_mul(scale, l_set(unit_x(u, r, run)->scale)), acc[r]);
}

ALWAYS_INLINE void q2_k_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    const l_vec scale = l_load_f16(unit_word(u, 1, 0));
    const l_vec of_mins = l_mul(l_load_f16(unit_word(u, 1, 1)), l_set(-1));
    for (int half = 0; half < 2; half++)
        EACH (k, 4)
            q2_k_run(nr, u, half, k, scale, of_mins, acc);
}

static const struct block_format q2_k_format = {{256, {{4, 20}, {2, 2}}}, {2, 0, false}, q2_k_step};

static void prepare_tile_q2_k(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q2_k_format, p, i);
}

static void product_q2_k(const struct sw_panel_product *p)
{
    blocks_product(&q2_k_format, p);
}

#endif

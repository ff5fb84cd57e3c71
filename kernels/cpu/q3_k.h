/*
 * The step of q3_k: a block of 256 is two halves of four runs of 32 columns. Run k of half h has
 * bit 4h + k of 32 bytes, and two bits of 32 bytes of the half. Each 16 columns have a scale of six
 * bits, from -32 to 31, the block one in f16 behind them. Weights are -4 to 3. Included after
 * k_scales.h.
 */
#ifndef SW_KERNELS_Q3_K_H
#define SW_KERNELS_Q3_K_H

ALWAYS_INLINE void q3_k_run(int nr, const struct block_unit *u, int half, int k, l_word scales,
                            l_vec scale, l_vec acc[TILE_ROWS])
{
    const int run = half * 4 + k;
    l_word sums[TILE_ROWS];
    EACH (part, 2) {
        l_dots dots[TILE_ROWS];
        EACH (r, nr)
            dots[r] = l_dots_from(unit_x(u, r, run)->starts[part]);
        EACH (i, 4) {
            const int at = part * 4 + i;
            const l_word low = k_bits(l_load_words(unit_word(u, 0, 8 + half * 8 + at)), -2 * k, 3);
            const l_word upper = l_right_by(l_load_words(unit_word(u, 0, at)), 4 * half);
            const l_word w = l_or(low, k_bits(upper, 2 - k, 4));
            EACH (r, nr)
                dots[r] = l_dot(dots[r], w, unit_x(u, r, run)->elements + 4 * at);
        }
        const l_word of_part = l_plus(l_byte(scales, k % 2 * 2 + part), l_set_word(-32u));
        EACH (r, nr) {
            const l_word more = l_sum_times(dots[r], of_part);
            sums[r] = part ? l_plus(sums[r], more) : more;
        }
    }
    EACH (r, nr)
        acc[r] = l_fma(l_float(sums[r]), l_mul(scale, l_set(unit_x(u, r, run)->scale)), acc[r]);
}

ALWAYS_INLINE void q3_k_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    const l_word first = l_load_words(unit_word(u, 0, 24));
    const l_word second = l_load_words(unit_word(u, 0, 25));
    const l_word upper = l_load_words(unit_word(u, 0, 26));
    const l_word scales[4] = {
        l_or(l_low(first), k_bits(upper, 4, 48)), l_or(l_low(second), k_bits(upper, 2, 48)),
        l_or(l_high(first), k_bits(upper, 0, 48)), l_or(l_high(second), k_bits(upper, -2, 48))};
    const l_vec scale = l_load_f16(unit_word(u, 1, 0));
    for (int half = 0; half < 2; half++)
        EACH (k, 4)
            q3_k_run(nr, u, half, k, scales[2 * half + k / 2], scale, acc);
}

static const struct block_format q3_k_format = {{256, {{4, 27}, {2, 1}}}, {2, 4, false}, q3_k_step};

static void prepare_tile_q3_k(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q3_k_format, p, i);
}

static void product_q3_k(const struct sw_panel_product *p)
{
    blocks_product(&q3_k_format, p);
}

#endif

/*
 * The step of q5_k: as q4_k, with the fifth bits in 32 bytes before the nibbles: bit p of byte l is
 * that of column l of part p. In the sums of products weights count as -16 to 15, so that these fit
 * 16 bits; what is missing goes to the minima. Included after k_scales.h.
 */
#ifndef SW_KERNELS_Q5_K_H
#define SW_KERNELS_Q5_K_H

ALWAYS_INLINE void q5_k_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    const struct k_pairs pairs = k_pairs_of(u);
    for (int two = 0; two < 4; two++)
        EACH (up, 2) {
            const int part = 2 * two + up;
            l_dots dots[TILE_ROWS];
            EACH (r, nr)
                dots[r] = l_dots_from(unit_x(u, r, part)->starts[0]);
            EACH (i, 8) {
                const l_word nibbles = l_load_words(unit_word(u, 1, 11 + two * 8 + i));
                const l_word fifths = l_right_by(l_load_words(unit_word(u, 1, 3 + i)), 2 * two);
                const l_word w =
                    l_or(up ? l_high(nibbles) : l_low(nibbles), k_bits(fifths, 4 - up, 16));
                EACH (r, nr)
                    dots[r] = l_dot(dots[r], w, unit_x(u, r, part)->elements + 4 * i);
            }
            const l_vec scale = pairs.scales[part];
            k_add(nr, u, part, dots, scale, l_fma(scale, l_set(16), pairs.more[part]), acc);
        }
}

static const struct block_format q5_k_format = {
    {256, {{2, 2}, {4, 43}}}, {1, 16, false}, q5_k_step};

static void prepare_tile_q5_k(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q5_k_format, p, i);
}

static void product_q5_k(const struct sw_panel_product *p)
{
    blocks_product(&q5_k_format, p);
}

#endif

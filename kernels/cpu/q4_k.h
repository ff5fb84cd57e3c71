/*
 * The step of q4_k: a block of 256 has scale and minimum in f16, then six bits of each for its 8
 * parts (k_scales.h), then nibbles; 32 bytes are two parts, the low nibbles the first. Included
 * after k_scales.h.
 */
#ifndef SW_KERNELS_Q4_K_H
#define SW_KERNELS_Q4_K_H

ALWAYS_INLINE void q4_k_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    const struct k_pairs pairs = k_pairs_of(u);
    for (int two = 0; two < 4; two++)
        EACH (up, 2) {
            l_dots dots[TILE_ROWS];
            EACH (r, nr)
                dots[r] = l_dots_zero();
            EACH (i, 8) {
                const l_word nibbles = l_load_words(unit_word(u, 1, 3 + two * 8 + i));
                const l_word w = up ? l_high(nibbles) : l_low(nibbles);
                EACH (r, nr)
                    dots[r] = l_dot(dots[r], w, unit_x(u, r, 2 * two + up)->elements + 4 * i);
            }
            const int part = 2 * two + up;
            k_add(nr, u, part, dots, pairs.scales[part], pairs.more[part], acc);
        }
}

static const struct block_format q4_k_format = {{256, {{2, 2}, {4, 35}}}, {1, 0, false}, q4_k_step};

static void prepare_tile_q4_k(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q4_k_format, p, i);
}

static void product_q4_k(const struct sw_panel_product *p)
{
    blocks_product(&q4_k_format, p);
}

#endif

/* The step of q4_0: a block has its scale in f16, then nibbles from 0 to 15 for -8 to 7; the low
 * ones are columns 0 to 15. Included after blocks.h. */
#ifndef SW_KERNELS_Q4_0_H
#define SW_KERNELS_Q4_0_H

ALWAYS_INLINE void q4_0_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    l_dots dots[TILE_ROWS];
    EACH (r, nr)
        dots[r] = l_dots_from(unit_x(u, r, 0)->starts[0]);
    EACH (i, 4) {
        const l_word w = l_load_words(unit_word(u, 1, i)), low = l_low(w), high = l_high(w);
        EACH (r, nr) {
            const int8_t *x = unit_x(u, r, 0)->elements + 4 * i;
            dots[r] = l_dot(l_dot(dots[r], low, x), high, x + 16);
        }
    }
    const l_vec scale = l_load_f16(unit_word(u, 0, 0));
    EACH (r, nr)
        acc[r] =
            l_fma(l_float(l_sum(dots[r])), l_mul(scale, l_set(unit_x(u, r, 0)->scale)), acc[r]);
}

static const struct block_format q4_0_format = {{32, {{2, 1}, {4, 4}}}, {1, 8, false}, q4_0_step};

static void prepare_tile_q4_0(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q4_0_format, p, i);
}

static void product_q4_0(const struct sw_panel_product *p)
{
    blocks_product(&q4_0_format, p);
}

#endif

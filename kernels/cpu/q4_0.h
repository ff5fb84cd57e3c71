/* The step of q4_0: a block has its scale in f16, then nibbles from 0 to 15 for -8 to 7; the low
 * ones are columns 0 to 15. Included after blocks.h. */
#ifndef SW_KERNELS_Q4_0_H
#define SW_KERNELS_Q4_0_H

ALWAYS_INLINE void q4_0_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    l_dots dots[TILE_ROWS];
    unit_start(nr, u, 0, dots);
    unit_nibbles(nr, u, 0, 0, dots);
    unit_add_dots(nr, u, 0, l_load_f16(unit_word(u, 0, 0)), dots, acc);
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

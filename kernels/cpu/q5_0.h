/* The step of q5_0: a block has its scale in f16, the fifth bits (fives.h), then nibbles; the
 * numbers from 0 to 31 stand for -16 to 15. Included after fives.h. */
#ifndef SW_KERNELS_Q5_0_H
#define SW_KERNELS_Q5_0_H

static void q5_0_arrange(char *units, int64_t n)
{
    fives_permute(units, n, 22, 2, false);
}

static void q5_0_restore(char *units, int64_t n)
{
    fives_permute(units, n, 22, 2, true);
}

ALWAYS_INLINE void q5_0_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    l_dots dots[TILE_ROWS];
    unit_start(nr, u, 0, dots);
    unit_fives(nr, u, l_load_words(unit_word(u, 1, 0)), 1, 0, dots);
    unit_add_dots(nr, u, 0, l_load_f16(unit_word(u, 0, 0)), dots, acc);
}

static const struct block_format q5_0_format = {{32, {{2, 1}, {4, 5}}}, {1, 16, false}, q5_0_step};

static void prepare_tile_q5_0(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q5_0_format, p, i);
}

static void product_q5_0(const struct sw_panel_product *p)
{
    blocks_product(&q5_0_format, p);
}

#endif

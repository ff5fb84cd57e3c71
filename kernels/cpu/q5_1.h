/*
 * The step of q5_1: a block has its scale and its minimum in f16, the fifth bits (fives.h), then
 * nibbles. Numbers from 0 to 31 less 16 are multiplied, whose sums fit 16 bits, and the minimum is
 * larger by 16 scales. Included after fives.h.
 */
#ifndef SW_KERNELS_Q5_1_H
#define SW_KERNELS_Q5_1_H

static void q5_1_arrange(char *units, int64_t n)
{
    fives_permute(units, n, 24, 4, false);
}

static void q5_1_restore(char *units, int64_t n)
{
    fives_permute(units, n, 24, 4, true);
}

ALWAYS_INLINE void q5_1_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    l_dots dots[TILE_ROWS];
    unit_start(nr, u, 0, dots);
    unit_fives(nr, u, l_load_words(unit_word(u, 1, 0)), 1, 0, dots);
    const l_vec scale = l_load_f16(unit_word(u, 0, 0)), min = l_load_f16(unit_word(u, 0, 1));
    unit_add_dots(nr, u, 0, scale, dots, acc);
    unit_add_min(nr, u, 0, l_fma(scale, l_set(16), min), acc);
}

static const struct block_format q5_1_format = {{32, {{2, 2}, {4, 5}}}, {1, 16, false}, q5_1_step};

static void prepare_tile_q5_1(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q5_1_format, p, i);
}

static void product_q5_1(const struct sw_panel_product *p)
{
    blocks_product(&q5_1_format, p);
}

#endif

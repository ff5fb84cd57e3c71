/*
 * The steps of group-wise integers (tensor/groupwise.h) of 2 and 3 bits: a unit is a block of
 * the weights, of one or four blocks of activations. Its sums are scaled once: each block's whole
 * sum times the activations' scale joins those before it, then the zero's share is taken off, then
 * the sum joins the output's times the weights' scale. Included after blocks.h.
 */
#ifndef SW_KERNELS_GROUP_STEPS_H
#define SW_KERNELS_GROUP_STEPS_H

/* Adds a unit of `blocks` blocks: sums of whole numbers as floats in `sums`, with the activations'
 * scales; zero: what to take off for each element. */
ALWAYS_INLINE void group_join(int nr, int blocks, const struct block_unit *u, l_vec sums[TILE_ROWS],
                              l_vec zero, l_vec acc[TILE_ROWS])
{
    const l_vec scale = l_as_float(l_and(l_load_words(unit_word(u, 0, 0)), l_set_word(0xffffff00)));
    EACH (r, nr) {
        float elements = unit_x(u, r, 0)->sums[0];
        for (int j = 1; j < blocks; j++)
            elements += unit_x(u, r, j)->sums[0];
        acc[r] = l_fma(l_fma(zero, l_set(-elements), sums[r]), scale, acc[r]);
    }
}

/* Of two bits and three; codes count from the middle of them. */
ALWAYS_INLINE void group_step_few(int bits, int blocks, int nr, const struct block_unit *u,
                                  l_vec acc[TILE_ROWS])
{
    l_vec sums[TILE_ROWS];
    EACH (r, nr)
        sums[r] = l_set(0);
    for (int j = 0; j < blocks; j++) {
        l_dots dots[TILE_ROWS];
        l_word thirds = l_set_word(0);
        if (bits == 3)
            thirds = l_load_words(unit_word(u, 0, 1 + 2 * blocks + j));
        EACH (r, nr)
            dots[r] = l_dots_from(unit_x(u, r, j)->starts[0]);
        EACH (k, 2) {
            const l_word w = l_load_words(unit_word(u, 0, 1 + 2 * j + k));
            EACH (f, 4) {
                l_word codes = l_and(l_right(w, 2 * f), l_set_bytes(3));
                if (bits == 3)
                    codes =
                        l_or(codes, l_left(l_and(l_right(thirds, 2 * f + k), l_set_bytes(1)), 2));
                EACH (r, nr)
                    dots[r] = l_dot(dots[r], codes, unit_x(u, r, j)->elements + 8 * f + 4 * k);
            }
        }
        EACH (r, nr)
            sums[r] = l_fma(l_float(l_sum(dots[r])), l_set(unit_x(u, r, j)->scale), sums[r]);
    }
    const l_word head = l_load_words(unit_word(u, 0, 0));
    const l_vec middle = l_set(-(float)(1 << (bits - 1)));
    group_join(nr, blocks, u, sums, l_add(l_float(l_and(head, l_set_word(255))), middle), acc);
}

ALWAYS_INLINE void group_step_2(int blocks, int nr, const struct block_unit *u,
                                l_vec acc[TILE_ROWS])
{
    group_step_few(2, blocks, nr, u, acc);
}

ALWAYS_INLINE void group_step_3(int blocks, int nr, const struct block_unit *u,
                                l_vec acc[TILE_ROWS])
{
    group_step_few(3, blocks, nr, u, acc);
}

/* int2_g128 and so on: bits of a code, blocks of 32, where codes count from. */
#define GROUP_FORMAT(name, bits, blocks, from)                                                     \
    ALWAYS_INLINE void name##_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])       \
    {                                                                                              \
        group_step_##bits(blocks, nr, u, acc);                                                     \
    }                                                                                              \
    static const struct block_format name##_format = {                                             \
        {32 * (blocks), {{4, 1 + (bits) * (blocks)}}}, {1, from, false}, name##_step};             \
    static void prepare_tile_##name(const struct sw_prepare *p, int64_t i)                         \
    {                                                                                              \
        blocks_prepare(&name##_format, p, i);                                                      \
    }                                                                                              \
    static void product_##name(const struct sw_panel_product *p)                                   \
    {                                                                                              \
        blocks_product(&name##_format, p);                                                         \
    }

GROUP_FORMAT(int2_g128, 2, 4, 2)
GROUP_FORMAT(int2_g32, 2, 1, 2)
GROUP_FORMAT(int3_g128, 3, 4, 4)
GROUP_FORMAT(int3_g32, 3, 1, 4)

#endif

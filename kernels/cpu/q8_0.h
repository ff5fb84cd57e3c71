/* The step of q8_0: a block has its scale in f16, then signed bytes. Included after blocks.h. */
#ifndef SW_KERNELS_Q8_0_H
#define SW_KERNELS_Q8_0_H

ALWAYS_INLINE void q8_0_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    l_word sums[TILE_ROWS];
    EACH (r, nr)
        sums[r] = l_set_word((uint32_t)unit_x(u, r, 0)->starts[0]);
    EACH (i, 8) {
        const l_signed w = l_signed_of(l_load_words(unit_word(u, 1, i)));
        EACH (r, nr)
            sums[r] = l_signed_dot(sums[r], w, unit_x(u, r, 0)->elements + 4 * i);
    }
    const l_vec scale = l_load_f16(unit_word(u, 0, 0));
    EACH (r, nr)
        acc[r] = l_fma(l_float(sums[r]), l_mul(scale, l_set(unit_x(u, r, 0)->scale)), acc[r]);
}

static const struct block_format q8_0_format = {
    {32, {{2, 1}, {4, 8}}}, {1, SIGNED_ZERO, true}, q8_0_step};

static void prepare_tile_q8_0(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&q8_0_format, p, i);
}

static void product_q8_0(const struct sw_panel_product *p)
{
    blocks_product(&q8_0_format, p);
}

#endif

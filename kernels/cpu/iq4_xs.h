/*
 * The step of iq4_xs: a block of 256 has a scale in f16 and for each part of 32 columns one of six
 * bits, from -32 to 31: the upper two of all in two bytes, then the lower four of all. Then come
 * nibbles, places in a table of signed bytes; of 16 bytes the low ones are the first 16 columns.
 * Included after blocks.h.
 */
#ifndef SW_KERNELS_IQ4_XS_H
#define SW_KERNELS_IQ4_XS_H

ALWAYS_INLINE void iq4_xs_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    static const int8_t entries[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
    const l_signed_table table = l_signed_table_of(entries);
    const l_vec of_block = l_load_f16(unit_word(u, 0, 0));
    const l_word upper = l_load_halves(unit_word(u, 0, 1)),
                 lower = l_load_words(unit_word(u, 1, 0));
    for (int part = 0; part < 8; part++) {
        l_word sums[TILE_ROWS];
        EACH (r, nr)
            sums[r] = l_set_word((uint32_t)unit_x(u, r, part)->starts[0]);
        EACH (i, 8) {
            const l_word nibbles = l_load_words(unit_word(u, 1, 1 + part * 4 + i % 4));
            const l_signed w = l_signed_look_up(table, i / 4 ? l_high(nibbles) : l_low(nibbles));
            EACH (r, nr)
                sums[r] = l_signed_dot(sums[r], w, unit_x(u, r, part)->elements + 4 * i);
        }
        const l_word bits = l_or(l_and(l_right_by(lower, 4 * part), l_set_word(15)),
                                 l_left(l_and(l_right_by(upper, 2 * part), l_set_word(3)), 4));
        const l_vec scale = l_mul(of_block, l_float(l_plus(bits, l_set_word(-32u))));
        EACH (r, nr)
            acc[r] =
                l_fma(l_float(sums[r]), l_mul(scale, l_set(unit_x(u, r, part)->scale)), acc[r]);
    }
}

static const struct block_format iq4_xs_format = {
    {256, {{2, 2}, {4, 33}}}, {1, SIGNED_ZERO, true}, iq4_xs_step};

static void prepare_tile_iq4_xs(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&iq4_xs_format, p, i);
}

static void product_iq4_xs(const struct sw_panel_product *p)
{
    blocks_product(&iq4_xs_format, p);
}

#endif

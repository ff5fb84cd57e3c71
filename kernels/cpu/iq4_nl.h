/* The step of iq4_nl: a block has its scale in f16, then nibbles, each the place of an element in
 * one table of signed bytes; the low ones are columns 0 to 15. Included after blocks.h. */
#ifndef SW_KERNELS_IQ4_NL_H
#define SW_KERNELS_IQ4_NL_H

ALWAYS_INLINE void iq4_nl_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    static const int8_t entries[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
    const l_signed_table table = l_signed_table_of(entries);
    l_word sums[TILE_ROWS];
    EACH (r, nr)
        sums[r] = l_set_word((uint32_t)unit_x(u, r, 0)->starts[0]);
    EACH (i, 4) {
        const l_word w = l_load_words(unit_word(u, 1, i));
        const l_signed low = l_signed_look_up(table, l_low(w));
        const l_signed high = l_signed_look_up(table, l_high(w));
        EACH (r, nr) {
            const int8_t *x = unit_x(u, r, 0)->elements + 4 * i;
            sums[r] = l_signed_dot(l_signed_dot(sums[r], low, x), high, x + 16);
        }
    }
    unit_add(nr, u, 0, l_load_f16(unit_word(u, 0, 0)), sums, acc);
}

static const struct block_format iq4_nl_format = {
    {32, {{2, 1}, {4, 4}}}, {1, SIGNED_ZERO, true}, iq4_nl_step};

static void prepare_tile_iq4_nl(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&iq4_nl_format, p, i);
}

static void product_iq4_nl(const struct sw_panel_product *p)
{
    blocks_product(&iq4_nl_format, p);
}

#endif

/*
 * The step of mxfp4: a block has the exponent of its scale in a byte, then nibbles, each the place
 * of twice an element in one table; the low ones are columns 0 to 15. A unit is two blocks, in a
 * panel with both exponents before the nibbles. Elements are raised by 12, so that they have no
 * signs. Included after blocks.h.
 */
#ifndef SW_KERNELS_MXFP4_H
#define SW_KERNELS_MXFP4_H

/* 2^(e - 127) / 2, of e 0 to 254; no number of 255. */
ALWAYS_INLINE l_vec mxfp4_scale(l_word e)
{
    const l_word is_0 = l_right(l_plus(e, l_set_word(UINT32_MAX)), 31);
    const l_word is_255 = l_right(l_plus(e, l_set_word(1)), 8);
    const l_word bits = l_or(l_left(e, 23), l_left(l_or(is_0, is_255), 22));
    return l_mul(l_as_float(bits), l_set(0.5f));
}

static void mxfp4_arrange(char *units, int64_t n)
{
    for (; n > 0; n--, units += 34) {
        const char exponent = units[17];
        memmove(units + 2, units + 1, 16);
        units[1] = exponent;
    }
}

static void mxfp4_restore(char *units, int64_t n)
{
    for (; n > 0; n--, units += 34) {
        const char exponent = units[1];
        memmove(units + 1, units + 2, 16);
        units[17] = exponent;
    }
}

ALWAYS_INLINE void mxfp4_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    static const int8_t entries[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    const l_table table = l_table_of(entries);
    const l_word exponents = l_load_halves(unit_word(u, 0, 0));
    EACH (j, 2) {
        l_dots dots[TILE_ROWS];
        unit_start(nr, u, j, dots);
        EACH (i, 4) {
            const l_word w = l_load_words(unit_word(u, 1, 4 * j + i));
            const l_word low = l_look_up(table, l_low(w)), high = l_look_up(table, l_high(w));
            EACH (r, nr) {
                const int8_t *x = unit_x(u, r, j)->elements + 4 * i;
                dots[r] = l_dot(l_dot(dots[r], low, x), high, x + 16);
            }
        }
        unit_add_dots(nr, u, j, mxfp4_scale(l_byte(exponents, j)), dots, acc);
    }
}

static const struct block_format mxfp4_format = {
    {64, {{2, 1}, {4, 8}}}, {1, 12, false}, mxfp4_step};

static void prepare_tile_mxfp4(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&mxfp4_format, p, i);
}

static void product_mxfp4(const struct sw_panel_product *p)
{
    blocks_product(&mxfp4_format, p);
}

#endif

/*
 * The steps of nf4 and fp4: a block of 64 has its absmax in f32, then nibbles
 * (tensor/format_nf4.h). What they stand for is taken as whole numbers of 16 bits, so that sums of
 * products are exact: off by at most 1.6e-5 of absmax for NF4, and by less than 1e-7 for FP4, whose
 * values are multiples of 1/192. Included after blocks.h.
 */
#ifndef SW_KERNELS_NF4_H
#define SW_KERNELS_NF4_H

/* The values times NF4_ONE, and times FP4_ONE. */
#define NF4_ONE 32767
#define FP4_ONE (192 * 170)
static const int16_t nf4_entries[16] = {-32767, -22812, -17205, -12940, -9320, -6054, -2983, 0,
                                        2608,   5273,   8064,   11072,  14441, 18435, 23689, 32767};
static const int16_t fp4_entries[16] = {
    0, 170,  128 * 170,  192 * 170,  64 * 170,  96 * 170,  32 * 170,  48 * 170,
    0, -170, -128 * 170, -192 * 170, -64 * 170, -96 * 170, -32 * 170, -48 * 170};

ALWAYS_INLINE void nf4_half(int nr, const struct block_unit *u, int half, l_wide_table table,
                            l_vec scale, l_vec acc[TILE_ROWS])
{
    l_wide_sums sums[TILE_ROWS];
    EACH (r, nr)
        sums[r] = l_wide_from(unit_x(u, r, half)->starts[0]);
    EACH (i, 4) {
        const l_word w = l_load_words(unit_word(u, 1, 4 * half + i));
        const l_wide low = l_wide_look_up(table, l_low(w)), high = l_wide_look_up(table, l_high(w));
        EACH (r, nr) {
            const int8_t *x = unit_x(u, r, half)->elements + 4 * i;
            sums[r] = l_wide_dot(l_wide_dot(sums[r], low, x), high, x + 16);
        }
    }
    EACH (r, nr)
        acc[r] = l_fma(l_float(l_wide_sum(sums[r])), l_mul(scale, l_set(unit_x(u, r, half)->scale)),
                       acc[r]);
}

ALWAYS_INLINE void nf4_unit(int nr, const struct block_unit *u, const int16_t *entries, float one,
                            l_vec acc[TILE_ROWS])
{
    const l_wide_table table = l_wide_table_of(entries);
    const l_vec scale = l_mul(l_as_float(l_load_words(unit_word(u, 0, 0))), l_set(1 / one));
    nf4_half(nr, u, 0, table, scale, acc);
    nf4_half(nr, u, 1, table, scale, acc);
}

ALWAYS_INLINE void nf4_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    nf4_unit(nr, u, nf4_entries, NF4_ONE, acc);
}

ALWAYS_INLINE void fp4_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    nf4_unit(nr, u, fp4_entries, FP4_ONE, acc);
}

static const struct block_format nf4_format = {
    {64, {{4, 1}, {4, 8}}}, {1, SIGNED_ZERO, true}, nf4_step};
static const struct block_format fp4_format = {
    {64, {{4, 1}, {4, 8}}}, {1, SIGNED_ZERO, true}, fp4_step};

static void prepare_tile_nf4(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&nf4_format, p, i);
}

static void product_nf4(const struct sw_panel_product *p)
{
    blocks_product(&nf4_format, p);
}

static void product_fp4(const struct sw_panel_product *p)
{
    blocks_product(&fp4_format, p);
}

#endif

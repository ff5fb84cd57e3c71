/*
 * The steps of nf4_nested and fp4_nested: a block of 256 has a scale, four bytes, then nibbles as
 * blocks of nf4 (tensor/format_nf4.h). A byte becomes the absmax of 64 columns by the dynamic map
 * and the row's offset; the rest is that of nf4. Included after nf4.h.
 */
#ifndef SW_KERNELS_NF4_NESTED_H
#define SW_KERNELS_NF4_NESTED_H

#include "tensor/dynamic_map.h"
#include "tensor/format_nf4.h"

ALWAYS_INLINE void nested_unit(int nr, const struct block_unit *u, const int16_t *entries,
                               float one, l_vec acc[TILE_ROWS])
{
    const l_wide_table table = l_wide_table_of(entries);
    const l_vec scale = l_as_float(l_load_words(unit_word(u, 0, 0))), offset = l_load(u->scales);
    const l_word codes = l_load_words(unit_word(u, 0, 1));
    for (int part = 0; part < SW_NESTED_PARTS; part++) {
        const l_word code = l_and(l_right_by(codes, 8 * part), l_set_word(255));
        const l_vec absmax = l_add(l_mul(l_gather(sw_dynamic_map, code), scale), offset);
        const l_vec factor = l_mul(absmax, l_set(1 / one));
        nf4_half(nr, u, 2 * part, table, factor, acc);
        nf4_half(nr, u, 2 * part + 1, table, factor, acc);
    }
}

ALWAYS_INLINE void nf4_nested_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    nested_unit(nr, u, nf4_entries, NF4_ONE, acc);
}

ALWAYS_INLINE void fp4_nested_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS])
{
    nested_unit(nr, u, fp4_entries, FP4_ONE, acc);
}

static const struct block_format nf4_nested_format = {
    {256, {{4, 2}, {4, 32}}}, {1, SIGNED_ZERO, true}, nf4_nested_step};
static const struct block_format fp4_nested_format = {
    {256, {{4, 2}, {4, 32}}}, {1, SIGNED_ZERO, true}, fp4_nested_step};

static void prepare_tile_nested(const struct sw_prepare *p, int64_t i)
{
    blocks_prepare(&nf4_nested_format, p, i);
}

static void product_nf4_nested(const struct sw_panel_product *p)
{
    blocks_product(&nf4_nested_format, p);
}

static void product_fp4_nested(const struct sw_panel_product *p)
{
    blocks_product(&fp4_nested_format, p);
}

#endif

/*
 * The words of nf4_nested and fp4_nested: a block of 256 has a scale, four bytes, then nibbles as
 * blocks of nf4 (tensor/format_nf4.h). A byte becomes the absmax of 64 columns by the matrix's map
 * and the row's offset; the rest is that of nf4. Included after nf4.h.
 */
#ifndef SW_KERNELS_NF4_NESTED_H
#define SW_KERNELS_NF4_NESTED_H

#include "tensor/format_nf4.h"

ALWAYS_INLINE void nested_head(float one, const struct block_unit *u, struct words_head *head)
{
    const l_vec scale = l_as_float(l_load_words(unit_word(u, 0, 0))), offset = l_load(u->scales);
    const l_word codes = l_load_words(unit_word(u, 0, 1));
    EACH (part, SW_NESTED_PARTS) {
        const l_vec entry = l_gather(u->table, l_byte(codes, part));
        head->of[part] = l_mul(l_add(l_mul(entry, scale), offset), l_set(1 / one));
    }
}

ALWAYS_INLINE void nf4_nested_head(const struct block_unit *u, struct words_head *head)
{
    nested_head(NF4_ONE, u, head);
}

ALWAYS_INLINE void fp4_nested_head(const struct block_unit *u, struct words_head *head)
{
    nested_head(FP4_ONE, u, head);
}

/* Two blocks of activations have an absmax. */
ALWAYS_INLINE l_vec nested_scale(const struct words_head *head, int group, int phase)
{
    (void)phase;
    return head->of[group / 2];
}

NF4_FORMAT(nf4_nested, words_nf4, 256, 2, nested_scale)
NF4_FORMAT(fp4_nested, words_fp4, 256, 2, nested_scale)

#endif

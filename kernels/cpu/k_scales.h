/*
 * What K-quants share: blocks of 256 columns whose parts have scales of a few bits, a byte of each
 * lane a part's. Included after block_words.h.
 */
#ifndef SW_KERNELS_K_SCALES_H
#define SW_KERNELS_K_SCALES_H

/*
 * Of q4_k and q5_k, whose weights are scale * number + more: scale and minimum of the block in f16,
 * words 0 and 1 of kind 0; six bits of each for the parts in words [0, 3) of kind 1: the first four
 * scales, the first four minima, and the low bits of the others, whose high bits are above those of
 * the first. In the head words 0 and 1 are the scales, 2 and 3 the minima.
 */
ALWAYS_INLINE void k_head(const struct block_unit *u, struct words_head *head)
{
    const l_word first = l_load_words(unit_word(u, 1, 0)),
                 second = l_load_words(unit_word(u, 1, 1));
    const l_word rest = l_load_words(unit_word(u, 1, 2));
    const l_word low = l_set_bytes(63), high = l_set_bytes(48);
    head->words[0] = l_and(first, low);
    head->words[1] = l_or(l_low(rest), l_and(l_right(first, 2), high));
    head->words[2] = l_and(second, low);
    head->words[3] = l_or(l_high(rest), l_and(l_right(second, 2), high));
    head->of[0] = l_load_f16(unit_word(u, 0, 0));
    head->of[1] = l_mul(l_load_f16(unit_word(u, 0, 1)), l_set(-1));
}

/* Two parts are a group. */
ALWAYS_INLINE l_vec k_scale(const struct words_head *head, int group, int phase)
{
    const l_word byte = l_byte_by(head->words[group / 2], group % 2 * 2 + phase);
    return l_mul(head->of[0], l_float(byte));
}

ALWAYS_INLINE l_vec k_more(const struct block_unit *u, const struct words_head *head, int group,
                           int phase, int part)
{
    (void)u, (void)part;
    const l_word byte = l_byte_by(head->words[2 + group / 2], group % 2 * 2 + phase);
    return l_mul(head->of[1], l_float(byte));
}

/* The bits of `mask` in each byte, after a shift up by n bits, or down by -n. */
ALWAYS_INLINE l_word k_bits(l_word a, int n, uint8_t mask)
{
    return l_and(n == 0 ? a : n > 0 ? l_left(a, n) : l_right(a, -n), l_set_bytes(mask));
}

#endif

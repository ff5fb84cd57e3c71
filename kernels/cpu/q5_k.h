/*
 * The words of q5_k: as of q4_k, with the fifth bits in 32 bytes before the nibbles: bit p of byte
 * l is that of column l of part p. In the sums of products weights count as -16 to 15, so that
 * these fit 16 bits; what is missing goes to the minima. Included after k_scales.h.
 */
#ifndef SW_KERNELS_Q5_K_H
#define SW_KERNELS_Q5_K_H

ALWAYS_INLINE l_word q5_k_word(const struct block_unit *u, const struct words_head *head, int group,
                               int phase, int i, int half)
{
    (void)head;
    const int at = 2 * i + half;
    const l_word w = l_load_words(unit_word(u, 1, 11 + group * 8 + at));
    const l_word fifths = l_right_by(l_load_words(unit_word(u, 1, 3 + at)), 2 * group);
    return l_or(phase ? l_high(w) : l_low(w), k_bits(fifths, 4 - phase, 16));
}

ALWAYS_INLINE l_vec q5_k_more(const struct block_unit *u, const struct words_head *head, int group,
                              int phase, int part)
{
    return l_fma(k_scale(head, group, phase), l_set(16), k_more(u, head, group, phase, part));
}

static const struct words_format q5_k_format = {
    .blocks = {{256, {{2, 2}, {4, 43}}}, {1, 16, false}, NULL},
    .kind = &words_raised,
    .phases = 2,
    .head = k_head,
    .word = q5_k_word,
    .scale = k_scale,
    .more = q5_k_more};
WORDS_FUNCTIONS(q5_k, words_raised)

#endif

/*
 * The words of q3_k: a block of 256 is two halves of four runs of 32 columns. Run k of half h has
 * bit 4h + k of 32 bytes, and two bits of 32 bytes of the half. Each 16 columns have a scale of six
 * bits, from -32 to 31, the block one in f16 behind them. Weights are -4 to 3. Included after
 * k_scales.h.
 */
#ifndef SW_KERNELS_Q3_K_H
#define SW_KERNELS_Q3_K_H

ALWAYS_INLINE void q3_k_head(const struct block_unit *u, struct words_head *head)
{
    const l_word first = l_load_words(unit_word(u, 0, 24));
    const l_word second = l_load_words(unit_word(u, 0, 25));
    const l_word upper = l_load_words(unit_word(u, 0, 26));
    head->words[0] = l_or(l_low(first), k_bits(upper, 4, 48));
    head->words[1] = l_or(l_low(second), k_bits(upper, 2, 48));
    head->words[2] = l_or(l_high(first), k_bits(upper, 0, 48));
    head->words[3] = l_or(l_high(second), k_bits(upper, -2, 48));
    head->of[0] = l_load_f16(unit_word(u, 1, 0));
}

/* A half is a group, a run a phase. */
ALWAYS_INLINE l_word q3_k_word(const struct block_unit *u, const struct words_head *head, int group,
                               int phase, int i, int half)
{
    (void)head;
    const int at = 2 * i + half;
    const l_word low = k_bits(l_load_words(unit_word(u, 0, 8 + group * 8 + at)), -2 * phase, 3);
    const l_word upper = l_right_by(l_load_words(unit_word(u, 0, at)), 4 * group);
    return l_or(low, k_bits(upper, 2 - phase, 4));
}

ALWAYS_INLINE l_word q3_k_factor(const struct block_unit *u, const struct words_head *head,
                                 int group, int phase, int part)
{
    (void)u;
    const l_word scales = head->words[2 * group + phase / 2];
    return l_plus(l_byte(scales, phase % 2 * 2 + part), l_set_word(-32u));
}

static const struct words_format q3_k_format = {
    .blocks = {{256, {{4, 27}, {2, 1}}}, {2, 4, false}, NULL},
    .kind = &words_in_parts,
    .phases = 4,
    .head = q3_k_head,
    .word = q3_k_word,
    .scale = words_first,
    .factor = q3_k_factor};
WORDS_FUNCTIONS(q3_k, words_in_parts)

#endif

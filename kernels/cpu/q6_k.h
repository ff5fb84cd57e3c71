/*
 * The words of q6_k: a block of 256 is two halves of four runs of 32 columns. A half has 64 bytes
 * of nibbles (the low ones are runs 0 and 1, the high ones 2 and 3) and 32 bytes with the upper two
 * bits of all four runs. Each 16 columns have a scale of a signed byte, the block one in f16 behind
 * them. Weights are -32 to 31. Included after k_scales.h.
 */
#ifndef SW_KERNELS_Q6_K_H
#define SW_KERNELS_Q6_K_H

ALWAYS_INLINE void q6_k_head(const struct block_unit *u, struct words_head *head)
{
    head->of[0] = l_load_f16(unit_word(u, 1, 0));
}

/* A half is a group, a run a phase. */
ALWAYS_INLINE l_word q6_k_word(const struct block_unit *u, const struct words_head *head, int group,
                               int phase, int i, int half)
{
    (void)head;
    const int at = 2 * i + half;
    const l_word nibbles = l_load_words(unit_word(u, 0, 16 * group + phase % 2 * 8 + at));
    const l_word upper = l_load_words(unit_word(u, 0, 32 + 8 * group + at));
    return l_or(phase / 2 ? l_high(nibbles) : l_low(nibbles), k_bits(upper, 4 - 2 * phase, 48));
}

ALWAYS_INLINE l_word q6_k_factor(const struct block_unit *u, const struct words_head *head,
                                 int group, int phase, int part)
{
    (void)head;
    const l_word scales = l_load_words(unit_word(u, 0, 48 + group * 2 + phase / 2));
    return l_signed_byte(scales, phase % 2 * 2 + part);
}

static const struct words_format q6_k_format = {
    .blocks = {{256, {{4, 52}, {2, 1}}}, {2, 32, false}, NULL},
    .kind = &words_in_parts,
    .phases = 4,
    .head = q6_k_head,
    .word = q6_k_word,
    .scale = words_first,
    .factor = q6_k_factor};
WORDS_FUNCTIONS(q6_k, words_in_parts)

#endif

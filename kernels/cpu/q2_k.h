/*
 * The words of q2_k: a block of 256 is two halves of four runs of 32 columns; run k of a half has
 * two bits of its 32 bytes. Before them each 16 columns have a scale and a minimum of four bits,
 * behind them the block one of each in f16. Included after k_scales.h.
 */
#ifndef SW_KERNELS_Q2_K_H
#define SW_KERNELS_Q2_K_H

ALWAYS_INLINE void q2_k_head(const struct block_unit *u, struct words_head *head)
{
    head->of[0] = l_load_f16(unit_word(u, 1, 0));
    head->of[1] = l_mul(l_load_f16(unit_word(u, 1, 1)), l_set(-1));
}

/* A half is a group, a run a phase. */
ALWAYS_INLINE l_word q2_k_word(const struct block_unit *u, const struct words_head *head, int group,
                               int phase, int i, int half)
{
    (void)head;
    const l_word w = l_load_words(unit_word(u, 0, 4 + group * 8 + 2 * i + half));
    return k_bits(w, -2 * phase, 3);
}

/* Scale and minimum of a part, a nibble each. */
ALWAYS_INLINE l_word q2_k_pair(const struct block_unit *u, int group, int phase, int part)
{
    const l_word pairs = l_load_words(unit_word(u, 0, group * 2 + phase / 2));
    return l_byte(pairs, phase % 2 * 2 + part);
}

ALWAYS_INLINE l_word q2_k_factor(const struct block_unit *u, const struct words_head *head,
                                 int group, int phase, int part)
{
    (void)head;
    return l_low(q2_k_pair(u, group, phase, part));
}

ALWAYS_INLINE l_vec q2_k_more(const struct block_unit *u, const struct words_head *head, int group,
                              int phase, int part)
{
    return l_mul(head->of[1], l_float(l_right(q2_k_pair(u, group, phase, part), 4)));
}

static const struct words_format q2_k_format = {
    .blocks = {{256, {{4, 20}, {2, 2}}}, {2, 0, false}, NULL},
    .kind = &words_in_parts_with_min,
    .phases = 4,
    .head = q2_k_head,
    .word = q2_k_word,
    .scale = words_first,
    .factor = q2_k_factor,
    .more = q2_k_more};
WORDS_FUNCTIONS(q2_k, words_in_parts_with_min)

#endif

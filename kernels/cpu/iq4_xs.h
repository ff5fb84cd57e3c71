/*
 * The words of iq4_xs: a block of 256 has a scale in f16 and for each part of 32 columns one of six
 * bits, from -32 to 31: the upper two of all in two bytes, then the lower four of all. Then come
 * nibbles, places in the table of iq4_nl; of 16 bytes the low ones are the first 16 columns.
 * Included after iq4_nl.h.
 */
#ifndef SW_KERNELS_IQ4_XS_H
#define SW_KERNELS_IQ4_XS_H

ALWAYS_INLINE void iq4_xs_head(const struct block_unit *u, struct words_head *head)
{
    words_head_scale(u, head);
    head->words[0] = l_load_halves(unit_word(u, 0, 1));
    head->words[1] = l_load_words(unit_word(u, 1, 0));
}

ALWAYS_INLINE l_word iq4_xs_word(const struct block_unit *u, const struct words_head *head,
                                 int group, int phase, int i, int half)
{
    (void)head, (void)phase;
    return iq4_nl_look_up(words_nibbles(u, 1 + 4 * group, i, half));
}

ALWAYS_INLINE l_vec iq4_xs_scale(const struct words_head *head, int group, int phase)
{
    (void)phase;
    const l_word lower = l_and(l_right_by(head->words[1], 4 * group), l_set_word(15));
    const l_word upper = l_and(l_right_by(head->words[0], 2 * group), l_set_word(3));
    const l_word bits = l_or(lower, l_left(upper, 4));
    return l_mul(head->of[0], l_float(l_plus(bits, l_set_word(-32u))));
}

static const struct words_format iq4_xs_format = {
    .blocks = {{256, {{2, 2}, {4, 33}}}, {1, 0, true}, NULL},
    .kind = &words_signed,
    .phases = 1,
    .apart = true,
    .head = iq4_xs_head,
    .word = iq4_xs_word,
    .scale = iq4_xs_scale};
WORDS_FUNCTIONS(iq4_xs, words_signed)

#endif

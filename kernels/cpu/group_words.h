/*
 * Group-wise integers of 4 bits (tensor/groupwise.h), word by word. A unit is a block of the
 * weights, of one or four blocks of activations; before its nibbles is a word with the scale and
 * the zero point. Nibbles count from 8, so that most zero points are 0; what is missing is a number
 * times the sum of the activations. Included after block_words.h.
 */
#ifndef SW_KERNELS_GROUP_WORDS_H
#define SW_KERNELS_GROUP_WORDS_H

#define GROUP_MIDDLE 8

ALWAYS_INLINE void group_head(const struct block_unit *u, struct words_head *head)
{
    const l_word word = l_load_words(unit_word(u, 0, 0));
    const l_vec zero = l_add(l_float(l_and(word, l_set_word(255))), l_set((float)-GROUP_MIDDLE));
    head->of[0] = l_as_float(l_and(word, l_set_word(0xffffff00)));
    head->of[1] = l_mul(zero, l_mul(head->of[0], l_set(-1)));
}

ALWAYS_INLINE l_word group_word(const struct block_unit *u, const struct words_head *head,
                                int group, int phase, int i, int half)
{
    (void)head, (void)phase;
    const l_word w = l_load_words(unit_word(u, 0, 1 + 4 * group + i));
    return half ? l_high(w) : l_low(w);
}

#define GROUP_WORDS(name, n_blocks)                                                                \
    static const struct words_format name##_format = {                                             \
        .blocks = {{32 * (n_blocks), {{4, 1 + 4 * (n_blocks)}}}, {1, GROUP_MIDDLE, false}, NULL},  \
        .kind = &words_raised,                                                                     \
        .phases = 1,                                                                               \
        .apart = true,                                                                             \
        .head = group_head,                                                                        \
        .word = group_word,                                                                        \
        .scale = words_first,                                                                      \
        .more = words_second};                                                                     \
    WORDS_FUNCTIONS(name, words_raised)

GROUP_WORDS(int4_g128, 4)
GROUP_WORDS(int4_g32, 1)

#endif

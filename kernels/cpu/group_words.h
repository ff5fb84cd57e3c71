/*
 * Group-wise integers of 4 and 8 bits (tensor/groupwise.h), word by word. A unit is a block of the
 * weights, of one or four blocks of activations; before its codes is a word with the scale and the
 * zero point. Nibbles count from 8, so that most zero points are 0, bytes are signed; what is
 * missing is a number times the sum of the activations. Included after block_words.h.
 */
#ifndef SW_KERNELS_GROUP_WORDS_H
#define SW_KERNELS_GROUP_WORDS_H

#define GROUP_MIDDLE 8

/* zero: what is to be taken off. */
ALWAYS_INLINE void group_head_of(l_word word, l_vec zero, struct words_head *head)
{
    head->of[0] = l_as_float(l_and(word, l_set_word(0xffffff00)));
    head->of[1] = l_mul(zero, l_mul(head->of[0], l_set(-1)));
}

ALWAYS_INLINE void group_head_4(const struct block_unit *u, struct words_head *head)
{
    const l_word word = l_load_words(unit_word(u, 0, 0));
    group_head_of(word, l_add(l_float(l_byte(word, 0)), l_set((float)-GROUP_MIDDLE)), head);
}

ALWAYS_INLINE void group_head_8(const struct block_unit *u, struct words_head *head)
{
    const l_word word = l_load_words(unit_word(u, 0, 0));
    group_head_of(word, l_float(l_signed_byte(word, 0)), head);
}

ALWAYS_INLINE l_word group_word_4(const struct block_unit *u, const struct words_head *head,
                                  int group, int phase, int i, int half)
{
    (void)head, (void)phase;
    const l_word w = l_load_words(unit_word(u, 0, 1 + 4 * group + i));
    return half ? l_high(w) : l_low(w);
}

ALWAYS_INLINE l_word group_word_8(const struct block_unit *u, const struct words_head *head,
                                  int group, int phase, int i, int half)
{
    (void)head, (void)phase;
    return l_load_words(unit_word(u, 0, 1 + 8 * group + 2 * i + half));
}

#define GROUP_WORDS(name, bits, n_blocks, needs_of, kind_of)                                       \
    static const struct words_format name##_format = {                                             \
        .blocks = {{32 * (n_blocks), {{4, 1 + (bits) * (n_blocks)}}}, needs_of, NULL},             \
        .kind = &kind_of,                                                                          \
        .phases = 1,                                                                               \
        .apart = (bits) == 4,                                                                      \
        .head = group_head_##bits,                                                                 \
        .word = group_word_##bits,                                                                 \
        .scale = words_first,                                                                      \
        .more = words_second};                                                                     \
    WORDS_FUNCTIONS(name, kind_of)
#define GROUP_NEEDS_4                                                                              \
    {                                                                                              \
        1, GROUP_MIDDLE, false                                                                     \
    }
#define GROUP_NEEDS_8                                                                              \
    {                                                                                              \
        1, 0, true                                                                                 \
    }

GROUP_WORDS(int4_g128, 4, 4, GROUP_NEEDS_4, words_raised)
GROUP_WORDS(int4_g32, 4, 1, GROUP_NEEDS_4, words_raised)
GROUP_WORDS(int8_g128, 8, 4, GROUP_NEEDS_8, words_signed_raised)
GROUP_WORDS(int8_g32, 8, 1, GROUP_NEEDS_8, words_signed_raised)

#endif

/* The words of iq4_nl: a block has its scale in f16, then nibbles, each the place of an element in
 * one table of signed bytes; the low ones are columns 0 to 15. Included after block_words.h. */
#ifndef SW_KERNELS_IQ4_NL_H
#define SW_KERNELS_IQ4_NL_H

ALWAYS_INLINE l_word iq4_nl_look_up(l_word nibbles)
{
    static const int8_t entries[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
    return l_look_up(l_table_of(entries), nibbles);
}

ALWAYS_INLINE l_word iq4_nl_word(const struct block_unit *u, const struct words_head *head,
                                 int group, int phase, int i, int half)
{
    (void)head, (void)group, (void)phase;
    return iq4_nl_look_up(words_nibbles(u, 0, i, half));
}

static const struct words_format iq4_nl_format = {
    .blocks = {{32, {{2, 1}, {4, 4}}}, {1, 0, true}, NULL},
    .kind = &words_signed,
    .phases = 1,
    .far = true,
    .apart = true,
    .head = words_head_scale,
    .word = iq4_nl_word,
    .scale = words_first};
WORDS_FUNCTIONS(iq4_nl, words_signed)

#endif

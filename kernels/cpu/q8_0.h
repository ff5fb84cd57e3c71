/* The words of q8_0: a block has its scale in f16, then signed bytes. Included after block_words.h.
 */
#ifndef SW_KERNELS_Q8_0_H
#define SW_KERNELS_Q8_0_H

ALWAYS_INLINE l_word q8_0_word(const struct block_unit *u, const struct words_head *head, int group,
                               int phase, int i, int half)
{
    (void)head, (void)group, (void)phase;
    return l_load_words(unit_word(u, 1, 2 * i + half));
}

static const struct words_format q8_0_format = {
    .blocks = {{32, {{2, 1}, {4, 8}}}, {1, 0, true}, NULL},
    .kind = &words_signed,
    .phases = 1,
    .plain = true,
    .head = words_head_scale,
    .word = q8_0_word,
    .scale = words_first};
WORDS_FUNCTIONS(q8_0, words_signed)

#endif

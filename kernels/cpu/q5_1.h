/*
 * The words of q5_1: a block has its scale and its minimum in f16, the fifth bits (fives.h), then
 * nibbles. Numbers from 0 to 31 less 16 are multiplied, whose sums fit 16 bits, and the minimum is
 * larger by 16 scales. Included after q5_0.h.
 */
#ifndef SW_KERNELS_Q5_1_H
#define SW_KERNELS_Q5_1_H

static void q5_1_arrange(char *units, int64_t n)
{
    fives_permute(units, n, 24, 4, false);
}

static void q5_1_restore(char *units, int64_t n)
{
    fives_permute(units, n, 24, 4, true);
}

ALWAYS_INLINE void q5_1_head(const struct block_unit *u, struct words_head *head)
{
    q5_0_head(u, head);
    head->of[1] = l_fma(head->of[0], l_set(16), l_load_f16(unit_word(u, 0, 1)));
}

static const struct words_format q5_1_format = {
    .blocks = {{32, {{2, 2}, {4, 5}}}, {1, 16, false}, NULL},
    .kind = &words_raised,
    .phases = 1,
    .apart = true,
    .head = q5_1_head,
    .word = q5_0_word,
    .scale = words_first,
    .more = words_second};
WORDS_FUNCTIONS(q5_1, words_raised)

#endif

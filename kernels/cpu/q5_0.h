/* The words of q5_0: a block has its scale in f16, the fifth bits (fives.h), then nibbles; the
 * numbers from 0 to 31 stand for -16 to 15. Included after fives.h. */
#ifndef SW_KERNELS_Q5_0_H
#define SW_KERNELS_Q5_0_H

static void q5_0_arrange(char *units, int64_t n)
{
    fives_permute(units, n, 22, 2, false);
}

static void q5_0_restore(char *units, int64_t n)
{
    fives_permute(units, n, 22, 2, true);
}

ALWAYS_INLINE void q5_0_head(const struct block_unit *u, struct words_head *head)
{
    words_head_scale(u, head);
    head->words[0] = l_load_words(unit_word(u, 1, 0));
}

ALWAYS_INLINE l_word q5_0_word(const struct block_unit *u, const struct words_head *head, int group,
                               int phase, int i, int half)
{
    (void)group, (void)phase;
    return words_fives(u, head->words[0], i, half);
}

static const struct words_format q5_0_format = {
    .blocks = {{32, {{2, 1}, {4, 5}}}, {1, 16, false}, NULL},
    .kind = &words_plain,
    .phases = 1,
    .apart = true,
    .head = q5_0_head,
    .word = q5_0_word,
    .scale = words_first};
WORDS_FUNCTIONS(q5_0, words_plain)

#endif

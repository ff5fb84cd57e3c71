/* The words of q4_0: a block has its scale in f16, then nibbles from 0 to 15 for -8 to 7; the low
 * ones are columns 0 to 15. Included after block_words.h. */
#ifndef SW_KERNELS_Q4_0_H
#define SW_KERNELS_Q4_0_H

static const struct words_format q4_0_format = {
    .blocks = {{32, {{2, 1}, {4, 4}}}, {1, 8, false}, NULL},
    .kind = &words_plain,
    .phases = 1,
    .apart = true,
    .head = words_head_scale,
    .word = words_nibble,
    .scale = words_first};
WORDS_FUNCTIONS(q4_0, words_plain)

#endif

/* The words of q4_1: a block has its scale and its minimum in f16, then nibbles from 0 to 15; the
 * low ones are columns 0 to 15. Included after block_words.h. */
#ifndef SW_KERNELS_Q4_1_H
#define SW_KERNELS_Q4_1_H

static const struct words_format q4_1_format = {
    .blocks = {{32, {{2, 2}, {4, 4}}}, {1, 0, false}, NULL},
    .kind = &words_with_min,
    .phases = 1,
    .apart = true,
    .head = words_head_min,
    .word = words_nibble,
    .scale = words_first,
    .more = words_second};
WORDS_FUNCTIONS(q4_1, words_with_min)

#endif

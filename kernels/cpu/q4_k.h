/*
 * The words of q4_k: a block of 256 has scale and minimum in f16, then six bits of each for its 8
 * parts (k_scales.h), then nibbles; 32 bytes are two parts, the low nibbles the first. Included
 * after k_scales.h.
 */
#ifndef SW_KERNELS_Q4_K_H
#define SW_KERNELS_Q4_K_H

ALWAYS_INLINE l_word q4_k_word(const struct block_unit *u, const struct words_head *head, int group,
                               int phase, int i, int half)
{
    (void)head;
    const l_word w = l_load_words(unit_word(u, 1, 3 + group * 8 + 2 * i + half));
    return phase ? l_high(w) : l_low(w);
}

static const struct words_format q4_k_format = {
    .blocks = {{256, {{2, 2}, {4, 35}}}, {1, 0, false}, NULL},
    .kind = &words_with_min,
    .phases = 2,
    .head = k_head,
    .word = q4_k_word,
    .scale = k_scale,
    .more = k_more};
WORDS_FUNCTIONS(q4_k, words_with_min)

#endif

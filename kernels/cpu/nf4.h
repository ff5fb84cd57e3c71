/*
 * The words of nf4 and fp4: a block of 64 has its absmax in f32, then two times the nibbles of 32
 * columns (tensor/format_nf4.h), each the place of an element of two digits. Elements are the
 * values times a number: FP4's, multiples of 1/192, are exact; NF4's, with the number of the least
 * squares of errors, are off by up to 8.4e-4 of absmax, by 7.6e-4 of themselves in the root of the
 * mean square, an eighth of what rounding costs the activations. Included after block_words.h.
 */
#ifndef SW_KERNELS_NF4_H
#define SW_KERNELS_NF4_H

#define NF4_ONE 491.046868f
#define FP4_ONE 192.0f
/* NF4: 0 39 79 121 166 216 276 355 491 and -45 -91 -140 -194 -258 -342 -491 */
static const struct words_digits nf4_digits = {
    {{1, 5, 8, 10, 12, 13, 15, 16, 17, 18, 20, 21, 23, 25, 27, 31},
     {5, 26, 14, 14, 4, 21, 3, 16, 23, 31, 9, 22, 8, 4, 19, 27}}};
static const struct words_digits fp4_digits = {
    {{16, 16, 20, 22, 18, 19, 17, 18, 16, 16, 12, 10, 14, 13, 15, 15},
     {16, 17, 16, 16, 16, 16, 16, 0, 16, 15, 16, 16, 16, 16, 16, 0}}};
WORDS_KIND(words_nf4, {.parts = 1, .starts = true, .digits = &nf4_digits})
WORDS_KIND(words_fp4, {.parts = 1, .starts = true, .digits = &fp4_digits})

/* absmax, for products of elements. */
ALWAYS_INLINE void nf4_head(const struct block_unit *u, struct words_head *head)
{
    head->of[0] = l_mul(l_as_float(l_load_words(unit_word(u, 0, 0))), l_set(1 / NF4_ONE));
}

ALWAYS_INLINE void fp4_head(const struct block_unit *u, struct words_head *head)
{
    head->of[0] = l_mul(l_as_float(l_load_words(unit_word(u, 0, 0))), l_set(1 / FP4_ONE));
}

#define NF4_FORMAT(name, kind_of, elements, n_heads, scale_of)                                     \
    static const struct words_format name##_format = {                                             \
        .blocks = {{elements, {{4, n_heads}, {4, (elements) / 8}}},                                \
                   {1, DIGITS_ZERO, false},                                                        \
                   NULL},                                                                          \
        .kind = &kind_of,                                                                          \
        .phases = 1,                                                                               \
        .far = true,                                                                               \
        .apart = true,                                                                             \
        .head = name##_head,                                                                       \
        .word = words_nibble,                                                                      \
        .scale = scale_of};                                                                        \
    WORDS_FUNCTIONS(name, kind_of)

NF4_FORMAT(nf4, words_nf4, 64, 1, words_first)
NF4_FORMAT(fp4, words_fp4, 64, 1, words_first)

#endif

/*
 * What the steps of K-quants share: blocks of 256 columns whose parts have scales of a few bits,
 * unpacked for all lanes at once, a byte of each lane a part's. Loops over parts stay loops: a
 * block written out is more code than a cache for code holds. Included after blocks.h.
 */
#ifndef SW_KERNELS_K_SCALES_H
#define SW_KERNELS_K_SCALES_H

/* The scale and what is added for each part of 32 columns, of q4_k and q5_k: scale * weight + more.
 */
struct k_pairs {
    l_vec scales[8], more[8];
};

/* Scale and minimum of the block in f16, words 0 and 1 of kind 0; six bits of each for the parts
 * in words [0, 3) of kind 1: the first four scales, the first four minima, and the low bits of the
 * others, whose high bits are above those of the first. */
ALWAYS_INLINE struct k_pairs k_pairs_of(const struct block_unit *u)
{
    const l_word first = l_load_words(unit_word(u, 1, 0)),
                 second = l_load_words(unit_word(u, 1, 1));
    const l_word rest = l_load_words(unit_word(u, 1, 2));
    const l_word low = l_set_bytes(63), high = l_set_bytes(48);
    const l_word scales[2] = {l_and(first, low), l_or(l_low(rest), l_and(l_right(first, 2), high))};
    const l_word mins[2] = {l_and(second, low),
                            l_or(l_high(rest), l_and(l_right(second, 2), high))};
    const l_vec of_scales = l_load_f16(unit_word(u, 0, 0));
    const l_vec of_mins = l_mul(l_load_f16(unit_word(u, 0, 1)), l_set(-1));
    struct k_pairs pairs;
    EACH (part, 8) {
        pairs.scales[part] = l_mul(of_scales, l_float(l_byte(scales[part / 4], part % 4)));
        pairs.more[part] = l_mul(of_mins, l_float(l_byte(mins[part / 4], part % 4)));
    }
    return pairs;
}

/* The bits of `mask` in each byte, after a shift up by n bits, or down by -n. */
ALWAYS_INLINE l_word k_bits(l_word a, int n, uint8_t mask)
{
    return l_and(n == 0 ? a : n > 0 ? l_left(a, n) : l_right(a, -n), l_set_bytes(mask));
}

/* acc += the sums of block j, times their scale and that of the activations; and more times the
 * sum of the activations. */
ALWAYS_INLINE void k_add(int nr, const struct block_unit *u, int j, const l_dots *dots, l_vec scale,
                         l_vec more, l_vec acc[TILE_ROWS])
{
    EACH (r, nr) {
        const struct block_x *x = unit_x(u, r, j);
        acc[r] = l_fma(l_float(l_sum(dots[r])), l_mul(scale, l_set(x->scale)), acc[r]);
        acc[r] = l_fma(more, l_set(x->sums[0]), acc[r]);
    }
}

#endif

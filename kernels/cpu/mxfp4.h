/*
 * The words of mxfp4: a block has the exponent of its scale in a byte, then nibbles, each the place
 * of twice an element in one table; the low ones are columns 0 to 15. A unit is two blocks, in a
 * panel with both exponents before the nibbles. Elements are raised by 12, so that they have no
 * signs. Included after block_words.h.
 */
#ifndef SW_KERNELS_MXFP4_H
#define SW_KERNELS_MXFP4_H

/* 2^(e - 127) / 2, of e 0 to 254; no number of 255. */
ALWAYS_INLINE l_vec mxfp4_scale(l_word e)
{
    const l_word is_0 = l_right(l_plus(e, l_set_word(UINT32_MAX)), 31);
    const l_word is_255 = l_right(l_plus(e, l_set_word(1)), 8);
    const l_word bits = l_or(l_left(e, 23), l_left(l_or(is_0, is_255), 22));
    return l_mul(l_as_float(bits), l_set(0.5f));
}

static void mxfp4_arrange(char *units, int64_t n)
{
    for (; n > 0; n--, units += 34) {
        const char exponent = units[17];
        memmove(units + 2, units + 1, 16);
        units[1] = exponent;
    }
}

static void mxfp4_restore(char *units, int64_t n)
{
    for (; n > 0; n--, units += 34) {
        const char exponent = units[1];
        memmove(units + 1, units + 2, 16);
        units[17] = exponent;
    }
}

ALWAYS_INLINE void mxfp4_head(const struct block_unit *u, struct words_head *head)
{
    head->words[0] = l_load_halves(unit_word(u, 0, 0));
}

ALWAYS_INLINE l_word mxfp4_word(const struct block_unit *u, const struct words_head *head,
                                int group, int phase, int i, int half)
{
    static const int8_t entries[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    (void)head, (void)phase;
    return l_look_up(l_table_of(entries), words_nibbles(u, 4 * group, i, half));
}

ALWAYS_INLINE l_vec mxfp4_block_scale(const struct words_head *head, int group, int phase)
{
    (void)phase;
    return mxfp4_scale(l_byte_by(head->words[0], group));
}

static const struct words_format mxfp4_format = {
    .blocks = {{64, {{2, 1}, {4, 8}}}, {1, 12, false}, NULL},
    .kind = &words_plain,
    .phases = 1,
    .far = true,
    .apart = true,
    .head = mxfp4_head,
    .word = mxfp4_word,
    .scale = mxfp4_block_scale};
WORDS_FUNCTIONS(mxfp4, words_plain)

#endif

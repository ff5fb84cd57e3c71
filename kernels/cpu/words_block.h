/*
 * One block of 32 columns of a format that gives its weights word by word, times some tokens: what
 * a format and its kind of words say, and the sums of products. block_words.h goes over panels.
 * Included by it, after blocks.h.
 */
#ifndef SW_KERNELS_WORDS_BLOCK_H
#define SW_KERNELS_WORDS_BLOCK_H

/* What of a unit of LANES rows is read once, as the format likes. */
struct words_head {
    l_word words[4];
    l_vec of[4];
};

/* Sums of a block, times its scale and that of the activations, are added to an output; and, with
 * `more`, numbers of the block times sums of the activations. */
struct words_kind {
    bool is_signed; /* words are signed bytes */
    int parts;      /* 2: each half of a block has a factor, a whole number, in it a scale */
    bool more;      /* of each part */
    bool starts;    /* sums start from those of struct block_x; else from 0 */
    /* NULL; else words are codes from 0 to 15, each the place of an element of two digits */
    const struct words_digits *digits;
};

/*
 * Elements of ten bits: DIGITS_FACTOR times the first digit and the second, each from -16 to 15 and
 * in its table raised by DIGITS_ZERO. So both have the cheap sums of l_dot.
 */
#define WORDS_DIGITS 2
#define DIGITS_FACTOR 32
#define DIGITS_ZERO 16
struct words_digits {
    int8_t tables[WORDS_DIGITS][16];
};

/*
 * A format: all constants, all functions ALWAYS_INLINE. A unit is groups of `phases` blocks;
 * `phase` is a constant of a call, `group` may be none. Words are asked for in the order in which
 * they lie: i from 0 to 3 and `half` 0 or 1, a constant, of columns 4 (2i + half) on, or, with
 * halves apart (one half has the low nibbles, the other the high ones), of columns 4i + 16 half on.
 */
struct words_format {
    struct block_format blocks; /* without a step */
    const struct words_kind *kind;
    int phases;
    bool apart;
    bool plain; /* a unit is one block: a scale in f16, then its elements as signed bytes */
    bool far;   /* words are looked up, which takes longer than to read them: fetch from further */
    void (*head)(const struct block_unit *u, struct words_head *head);
    l_word (*word)(const struct block_unit *u, const struct words_head *head, int group, int phase,
                   int i, int half);
    l_vec (*scale)(const struct words_head *head, int group, int phase);
    l_word (*factor)(const struct block_unit *u, const struct words_head *head, int group,
                     int phase, int part);
    l_vec (*more)(const struct block_unit *u, const struct words_head *head, int group, int phase,
                  int part);
};

#define WORDS_WIDE (SW_PANEL / LANES)
#define WORDS_QUADS (SW_X_COLS / 4) /* words of a block */
#define WORDS_SHORT 4               /* blocks of a short unit, at most */
/* Of short units one token fetches up to LANES_AHEAD bytes ahead, but nothing closer than these; of
 * others what lies in a unit's distance, or LANES_FAR bytes. */
#define WORDS_CLOSE 512

/* A block of a panel written out; of a narrow panel the rows that are not there are 0. */
struct words_bytes {
    l_word words[WORDS_QUADS][WORDS_WIDE];
    l_vec scales[WORDS_WIDE], more[BLOCK_PARTS][WORDS_WIDE];
    l_factor factors[BLOCK_PARTS][WORDS_WIDE];
};

/* Where the words of one block are: written out, or, where `bytes` is NULL, in units and heads of a
 * format. */
struct words_block {
    const struct words_bytes *bytes;
    int from; /* registers of rows before the first */
    const struct words_format *f;
    const struct block_unit *units;
    const struct words_head *heads;
    int group, phase;
    const char *next; /* weights that come later, of one block; else unused */
    ptrdiff_t deep;   /* of struct sw_panel_product */
};

ALWAYS_INLINE l_word words_read(const struct words_block *b, int v, int i, int half)
{
    if (b->bytes)
        return b->bytes->words[2 * i + half][b->from + v];
    return b->f->word(&b->units[v], &b->heads[v], b->group, b->phase, i, half);
}

ALWAYS_INLINE l_vec words_scale(const struct words_block *b, int v)
{
    return b->bytes ? b->bytes->scales[b->from + v] : b->f->scale(&b->heads[v], b->group, b->phase);
}

ALWAYS_INLINE l_vec words_more(const struct words_block *b, int v, int part)
{
    return b->bytes ? b->bytes->more[part][b->from + v]
                    : b->f->more(&b->units[v], &b->heads[v], b->group, b->phase, part);
}

ALWAYS_INLINE l_factor words_factor(const struct words_block *b, int v, int part)
{
    return b->bytes
               ? b->bytes->factors[part][b->from + v]
               : l_factor_of(b->f->factor(&b->units[v], &b->heads[v], b->group, b->phase, part));
}

/* The first column of a word. */
ALWAYS_INLINE int words_column(const struct words_block *b, int i, int half)
{
    return !b->bytes && b->f->apart ? 4 * i + 16 * half : 4 * (2 * i + half);
}

/* Of i from 0 to 3 how many are written out: where a unit has many phases it would be too much. */
ALWAYS_INLINE int words_span(const struct words_block *b)
{
    return !b->bytes && b->f->phases > 1 ? 1 : 4;
}

/*
 * One token waits for memory. With each word comes a part of a block's share of what is fetched for
 * later: a line under way keeps one of few places, for which all that is read meanwhile waits if
 * they are taken at once. Where `word` is no constant, parts are alike, but for the last one.
 */
ALWAYS_INLINE void words_fetch(const struct words_block *b, int word)
{
    if (b->bytes)
        return;
    const struct sw_packing *const p = &b->f->blocks.packing;
    const int lines = sw_packing_bytes(p) * SW_PANEL / (p->elements / SW_X_COLS) / 64;
    const bool is_constant = b->f->phases == 1;
    const int each = lines / WORDS_QUADS, last = WORDS_QUADS - 1;
    const int first = is_constant ? word * lines / WORDS_QUADS : word * each;
    const int past = is_constant    ? (word + 1) * lines / WORDS_QUADS
                     : word == last ? lines
                                    : first + each;
    for (int line = first; line < past; line++)
        fetch_weights(b->next + line * 64, b->deep);
}

/* Four elements of a token, as words of a kind are multiplied with them. */
struct words_x {
    l_x plain;
    l_signed_x of_signed;
};

ALWAYS_INLINE struct words_x words_x_of(bool is_signed, const int8_t *elements)
{
    return is_signed ? (struct words_x){.of_signed = l_signed_x_of(elements)}
                     : (struct words_x){.plain = l_x_of(elements)};
}

/* A register of rows times a word, of some digits of it. */
ALWAYS_INLINE void words_multiply(const struct words_kind *kind, int digit, int nr, l_word read,
                                  const struct words_x xs[TILE_ROWS], l_dots dots[TILE_ROWS])
{
    const l_word w = kind->is_signed ? l_signed_of(read)
                     : kind->digits  ? l_look_up(l_table_of(kind->digits->tables[digit]), read)
                                     : read;
    EACH (r, nr)
        dots[r] = kind->is_signed ? l_signed_dot(dots[r], w, xs[r].of_signed)
                                  : l_dot_x(dots[r], w, xs[r].plain);
}

/* What of a block's words is multiplied: words [2 from, 2 past), n digits of them. */
struct words_run {
    int from, past, digit, n;
};

ALWAYS_INLINE void words_dots(const struct words_kind *kind, int nr, int nv,
                              const struct words_block *b, const struct block_x *x,
                              struct words_run run, l_dots dots[][WORDS_WIDE][TILE_ROWS])
{
    const int all = run.past - run.from, span = words_span(b) < all ? words_span(b) : all;
    for (int i = run.from; i < run.past; i += span)
        EACH (k, span)
            EACH (half, 2) {
                struct words_x xs[TILE_ROWS];
                words_fetch(b, 2 * (i + k) + half);
                EACH (r, nr)
                    xs[r] =
                        words_x_of(kind->is_signed, x[r].elements + words_column(b, i + k, half));
                EACH (v, nv) {
                    const l_word read = words_read(b, v, i + k, half);
                    EACH (digit, run.n)
                        words_multiply(kind, run.digit + digit, nr, read, xs, dots[digit][v]);
                }
            }
}

ALWAYS_INLINE void words_start(const struct words_kind *kind, int nr, int nv,
                               const struct block_x *x, int part, l_dots dots[][TILE_ROWS])
{
    EACH (v, nv)
        EACH (r, nr)
            dots[v][r] = !kind->starts     ? l_dots_zero()
                         : kind->is_signed ? l_set_word((uint32_t)x[r].starts[part])
                                           : l_dots_from(x[r].starts[part]);
}

/* Compilers may not keep what was read of x for the next digit: more values than there are
 * registers. */
ALWAYS_INLINE void words_forget(void)
{
    __asm__ volatile("" : : : "memory");
}

/* One token's digits are multiplied together, since words are read with some work; those of
 * several one after the other, so that sums stay in registers. */
ALWAYS_INLINE void words_sum_digits(const struct words_kind *kind, int nr, int nv,
                                    const struct words_block *b, const struct block_x *x,
                                    l_word sums[][TILE_ROWS])
{
    const int at_once = b->bytes ? 1 : WORDS_DIGITS;
    EACH (turn, WORDS_DIGITS / at_once) {
        const int digit = turn * at_once;
        if (turn)
            words_forget();
        l_dots dots[WORDS_DIGITS][WORDS_WIDE][TILE_ROWS];
        EACH (d, at_once)
            words_start(kind, nr, nv, x, 0, dots[d]);
        words_dots(kind, nr, nv, b, x, (struct words_run){0, 4, digit, at_once}, dots);
        EACH (d, at_once)
            EACH (v, nv)
                EACH (r, nr) {
                    const l_factor factor = l_factor_of(l_set_word(DIGITS_FACTOR));
                    const bool upper = digit + d == 0;
                    const l_word sum =
                        upper ? l_sum_times(dots[d][v][r], factor) : l_sum(dots[d][v][r]);
                    sums[v][r] = upper ? sum : l_plus(sums[v][r], sum);
                }
    }
}

ALWAYS_INLINE void words_sum(const struct words_kind *kind, int nr, int nv,
                             const struct words_block *b, const struct block_x *x,
                             l_word sums[][TILE_ROWS])
{
    if (kind->digits) {
        words_sum_digits(kind, nr, nv, b, x, sums);
        return;
    }
    const int length = 4 / kind->parts;
    EACH (part, kind->parts) {
        l_dots dots[1][WORDS_WIDE][TILE_ROWS];
        words_start(kind, nr, nv, x, part, dots[0]);
        const struct words_run run = {part * length, (part + 1) * length, 0, 1};
        words_dots(kind, nr, nv, b, x, run, dots);
        EACH (v, nv) {
            if (kind->parts == 1) {
                EACH (r, nr)
                    sums[v][r] = kind->is_signed ? dots[0][v][r] : l_sum(dots[0][v][r]);
                continue;
            }
            const l_factor factor = words_factor(b, v, part);
            EACH (r, nr) {
                const l_word sum = l_sum_times(dots[0][v][r], factor);
                sums[v][r] = part ? l_plus(sums[v][r], sum) : sum;
            }
        }
    }
}

/* Adds a block's products with the blocks x[0, nr) of tokens. */
ALWAYS_INLINE void words_add(const struct words_kind *kind, int nr, int nv,
                             const struct words_block *b, const struct block_x *x,
                             l_vec acc[][TILE_ROWS])
{
    l_word sums[WORDS_WIDE][TILE_ROWS];
    words_sum(kind, nr, nv, b, x, sums);
    EACH (v, nv) {
        const l_vec scale = words_scale(b, v);
        EACH (r, nr)
            acc[v][r] = l_fma(l_float(sums[v][r]), l_mul(scale, l_set(x[r].scale)), acc[v][r]);
        if (kind->more)
            EACH (part, kind->parts) {
                const l_vec more = words_more(b, v, part);
                EACH (r, nr)
                    acc[v][r] = l_fma(more, l_set(x[r].sums[part]), acc[v][r]);
            }
    }
}

#endif

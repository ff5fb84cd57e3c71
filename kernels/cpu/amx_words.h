/*
 * Products of block formats in words (block_words.h) with AMX. As there a stretch of a panel is
 * written out as bytes, and all tiles of tokens go over it before the next; a block's sums come
 * from the tile unit, through memory, and join the outputs in the same order. Included after amx.h.
 */
#ifndef SW_KERNELS_AMX_WORDS_H
#define SW_KERNELS_AMX_WORDS_H

/* Blocks that are multiplied before the next are looked at: few if they are written out, since all
 * they need shares the first-level cache with the core's other thread. */
#define AMX_BLOCKS 4

static inline int64_t amx_blocks(const struct words_format *f)
{
    return f->plain ? BLOCKS_FEW : AMX_BLOCKS;
}

/* A block of the activations of a tile of tokens. */
struct amx_x {
    int8_t elements[AMX_ROWS][SW_X_COLS];
    float scales[AMX_ROWS];
    float sums[BLOCK_PARTS][AMX_ROWS];
};
_Static_assert(sizeof(struct amx_x) <= 7 * SW_X_COLS * sizeof(float), "fits the room of 7 rows");

/* Where columns of a row are put in order and activated. */
struct amx_room {
    float activated[BLOCKS_FEW * SW_X_COLS], ordered[2][BLOCKS_FEW * SW_X_COLS];
};

/* Columns [col, col + n) of a row, in the matrix's order, and activated, if that is asked for. */
static const float *amx_columns(const struct sw_prepare *p, int64_t row, int64_t col, int64_t n,
                                struct amx_room *room)
{
    const float *const from = p->x + row * p->x_ld;
    const float *x = from + col, *up = p->gated ? from + p->cols + col : NULL;
    if (p->order) {
        x = blocks_ordered(p, from, col, n, room->ordered[0]);
        up = up ? blocks_ordered(p, from + p->cols, col, n, room->ordered[1]) : NULL;
    }
    if (!p->activate)
        return x;
    rows_activate(p->activation, x, up, n, room->activated);
    return room->activated;
}

static void amx_put(struct amx_x *to, int row, const struct block_x *block)
{
    EACH (half, 2) /* as they were stored: what is loaded in another size waits for that */
        memcpy(to->elements[row] + 16 * half, block->elements + 16 * half, 16);
    to->scales[row] = block->scale;
    EACH (part, BLOCK_PARTS)
        to->sums[part][row] = block->sums[part];
}

/* Blocks [k, k + n_blocks) of tile i of n tokens. They lie in the order in which they are read:
 * (chunks, tiles, blocks). */
static inline struct amx_x *amx_x_at(void *x, int64_t n, int64_t i, int64_t k, int64_t n_blocks)
{
    return (struct amx_x *)x + k * ((n + AMX_ROWS - 1) / AMX_ROWS) + i * n_blocks;
}

/* Some columns of a tile. Tokens that are not there have zeros. */
ALWAYS_INLINE void amx_prepare(const struct words_format *f, const struct sw_prepare *p, int64_t i,
                               int64_t part, int64_t parts)
{
    const int rows = amx_tile_rows(p->n, i);
    const int64_t all = block_count(&f->blocks, p->cols), chunk = amx_blocks(f);
    const int64_t chunks = (all + chunk - 1) / chunk, end = (part + 1) * chunks / parts * chunk;
    struct amx_room room;
    for (int64_t k = part * chunks / parts * chunk; k < all && k < end; k += chunk) {
        const int64_t n_blocks = all - k < chunk ? all - k : chunk, col = k * SW_X_COLS;
        const int64_t left = p->cols - col, most = n_blocks * SW_X_COLS,
                      n = left < most ? left : most;
        struct amx_x *const to = amx_x_at(p->out, p->n, i, k, n_blocks);
        for (int r = 0; r < AMX_ROWS; r++) {
            const float *x = r < rows ? amx_columns(p, i * AMX_ROWS + r, col, n, &room) : NULL;
            for (int64_t j = 0, at = 0; j < n_blocks; j++, at += SW_X_COLS) {
                struct block_x block = {0};
                if (x && at < n)
                    block = block_x_of(&f->blocks.needs, x + at,
                                       n - at < SW_X_COLS ? n - at : SW_X_COLS);
                amx_put(&to[j], r, &block);
            }
        }
    }
}

#define AMX_DIGIT_BITS 5 /* of the second digit */
_Static_assert(1 << AMX_DIGIT_BITS == DIGITS_FACTOR, "shifts multiply");

/* A block of a panel written out as signed bytes, of each digit of its kind. */
struct amx_bytes {
    /* first, and as they lie in a panel */
    l_word words[WORDS_DIGITS][WORDS_QUADS][WORDS_WIDE];
    l_vec scales[WORDS_WIDE], more[BLOCK_PARTS][WORDS_WIDE];
};

/* Bytes from 0 to 127 less a number. */
ALWAYS_INLINE l_word amx_less(l_word bytes, int zero)
{
    return zero ? _mm512_sub_epi8(bytes, _mm512_set1_epi8((char)zero)) : bytes;
}

/* The low bytes of two registers of 16 bits. */
ALWAYS_INLINE l_word amx_pack(l_word even, l_word odd)
{
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaau, even, _mm512_slli_epi16(odd, 8));
}

/* Bytes times a factor of each lane, which has it in both halves: of parts such formats alone are
 * here whose products are from 0 to 127 (q2_k's: 3 * 15). */
ALWAYS_INLINE l_word amx_times(l_word w, l_word factor)
{
    const l_word even = _mm512_mullo_epi16(_mm512_srli_epi16(_mm512_slli_epi16(w, 8), 8), factor);
    return amx_pack(even, _mm512_mullo_epi16(_mm512_srli_epi16(w, 8), factor));
}

ALWAYS_INLINE void amx_write_word(const struct words_format *f, l_word w, l_word factor, int quad,
                                  int v, struct amx_bytes *to)
{
    const struct words_kind *const kind = f->kind;
    l_word out[WORDS_DIGITS] = {w, w};
    if (kind->digits)
        EACH (digit, WORDS_DIGITS)
            out[digit] =
                amx_less(l_look_up(l_table_of(kind->digits->tables[digit]), w), DIGITS_ZERO);
    else if (kind->parts > 1)
        out[0] = amx_times(w, factor);
    else if (!kind->is_signed)
        out[0] = amx_less(w, f->blocks.needs.zero);
    to->words[0][quad][v] = out[0];
    if (kind->digits)
        to->words[1][quad][v] = out[1];
}

/* One block of register v of rows. */
ALWAYS_INLINE void amx_write(const struct words_format *f, const struct block_unit *u,
                             const struct words_head *head, int group, int phase, int v,
                             struct amx_bytes *to)
{
    const struct words_kind *const kind = f->kind;
    l_word factors[BLOCK_PARTS] = {l_set_word(0), l_set_word(0)};
    if (kind->parts > 1)
        EACH (part, BLOCK_PARTS) {
            const l_word factor = f->factor(u, head, group, phase, part);
            factors[part] = l_or(l_and(factor, l_set_word(65535)), l_left(factor, 16));
        }
    for (int i = 0; i < 4; i++)
        EACH (half, 2) {
            const int quad = f->apart ? i + 4 * half : 2 * i + half;
            const l_word w = f->word(u, head, group, phase, i, half);
            amx_write_word(f, w, quad < WORDS_QUADS / 2 ? factors[0] : factors[1], quad, v, to);
        }
    to->scales[v] = f->scale(head, group, phase);
    if (kind->more)
        EACH (part, kind->parts)
            to->more[part][v] = f->more(u, head, group, phase, part);
}

/* Blocks [k, k + n) of a panel: units, or a part of one. */
ALWAYS_INLINE void amx_unpack(const struct words_format *f, const struct sw_panel_product *p,
                              int64_t k, int64_t n, struct words_next *fetch, struct amx_bytes *to)
{
    const int of_unit = f->blocks.packing.elements / SW_X_COLS, phases = f->phases;
    const ptrdiff_t unit = p->width * (ptrdiff_t)sw_packing_bytes(&f->blocks.packing);
    while (n > 0) {
        const int first = (int)(k % of_unit), left = of_unit - first;
        const int many = n < left ? (int)n : left;
        const char *const w = (const char *)p->weights + k / of_unit * unit;
        for (int v = 0; v < p->width / LANES; v++) {
            const struct block_unit u = words_unit(f, p, w, p->width, v);
            struct words_head head;
            f->head(&u, &head);
            for (int i = 0; i < many; i += phases)
                EACH (phase, phases) {
                    words_fetch_next(fetch);
                    amx_write(f, &u, &head, (first + i) / phases, phase, v, &to[i + phase]);
                }
        }
        k += many;
        n -= many;
        to += many;
    }
}

/* A tile of tokens times blocks of a panel. */
struct amx_tile {
    const struct amx_bytes *bytes;
    const char *words;  /* of the first block, written out or in place */
    const char *scales; /* in place: of the first block, in f16 */
    ptrdiff_t block;    /* bytes from the words of a block to those of the next */
    int wide;           /* registers of rows */
    const struct amx_x *x;
    int rows; /* tokens that are there */
    int64_t n_blocks;
    float *c; /* the sums of token r are at c + r * SW_PANEL */
    bool few; /* tiles of tokens */
    struct words_next fetch;
};

/*
 * The tile unit makes products in turns of AMX_TURN, each in a tile of its own: a block of several
 * registers of rows, which share the tile of activations, since tiles are dear to load while the
 * core's other thread uses them as well. What was made is stored a turn later and joins the outputs
 * another turn later, so that nobody waits: the three happen side by side, of three turns.
 */
#define AMX_TURN 4

/* The sums of a turn: of a register of rows or more, of each digit. */
struct amx_sums {
    _Alignas(64) l_word of[AMX_TURN][AMX_ROWS];
};

/* A whole number below 2^22 (a block's are below 2^20), which lands in the low bits of 1.5 * 2^23:
 * while tiles are in use, one of the core's two units for 64 bytes neither converts nor multiplies,
 * but both add. */
ALWAYS_INLINE l_vec amx_float(l_word sum)
{
    const l_word start = l_set_word(0x4b400000);
    return _mm512_sub_ps(_mm512_castsi512_ps(l_plus(sum, start)), _mm512_castsi512_ps(start));
}

/* As words_add does, of block k. */
ALWAYS_INLINE void amx_add(bool in_place, int digits, int more, int nr, const struct amx_tile *t,
                           int64_t k, int v, l_word (*sums)[AMX_ROWS])
{
    const struct amx_bytes *const b = t->bytes + k;
    const struct amx_x *const x = t->x + k;
    const l_vec scale =
        in_place ? l_load_f16(t->scales + k * t->block + v * LANES * 2) : b->scales[v];
    float *const c = t->c;
    EACH (r, nr) {
        float *const at = c + r * SW_PANEL + v * LANES;
        l_vec sum = amx_float(sums[0][r]);
        if (digits > 1)
            sum = l_fma(sum, l_set(1 << AMX_DIGIT_BITS), amx_float(sums[1][r]));
        l_vec acc = l_fma(sum, l_mul(scale, l_set(x->scales[r])), l_load(at));
        EACH (part, more)
            acc = l_fma(b->more[part][v], l_set(x->sums[part][r]), acc);
        l_store(at, acc);
    }
}

/* When the next weights are fetched: of few tiles, which take about as long as memory, with each
 * turn, or each product where nothing is written out; else between tiles. */
enum amx_fetches { AMX_BY_TILE, AMX_BY_TURN, AMX_BY_PRODUCT };
#define AMX_FEW_TILES 2

/* Makes turn i, stores the one before and adds the one before that, each if there is one. */
ALWAYS_INLINE void amx_turn(enum amx_fetches fetches, bool in_place, int digits, int more, int nr,
                            const struct amx_tile *t, int64_t i, struct words_next *fetch,
                            struct amx_sums sums[2])
{
    const ptrdiff_t step = SW_PANEL * 4, digit = WORDS_QUADS * step;
    const int64_t turns = t->n_blocks * digits, k = i / digits, old = (i - 2) / digits;
    const int v = (int)(i % digits) * (AMX_TURN / digits);
    const char *const w = t->words + k * t->block + v * LANES * 4;
    struct amx_sums *const stored = &sums[i & 1], *const made = &sums[~i & 1];
    if (fetches == AMX_BY_TURN)
        words_fetch_next(fetch);
    if (i < turns)
        _tile_loadd(4, t->x[k].elements, SW_X_COLS);
#define AMX_PRODUCT(tile, of_w)                                                                    \
    if (i < turns)                                                                                 \
        _tile_loadd(of_w, w + tile / digits * LANES * 4 + tile % digits * digit, step);            \
    if (i > 0 && i <= turns)                                                                       \
        _tile_stored(tile, made->of[tile], sizeof(l_word));                                        \
    if (fetches == AMX_BY_PRODUCT)                                                                 \
        words_fetch_next(fetch);                                                                   \
    if (i < turns) {                                                                               \
        _tile_zero(tile);                                                                          \
        _tile_dpbssd(tile, 4, of_w);                                                               \
    }                                                                                              \
    if (i > 1 && (tile + 1) % digits == 0)                                                         \
    amx_add(in_place, digits, more, nr, t, old, v + tile / digits,                                 \
            &stored->of[tile / digits * digits])
    AMX_PRODUCT(0, 6);
    AMX_PRODUCT(1, 7);
    AMX_PRODUCT(2, 6);
    AMX_PRODUCT(3, 7);
#undef AMX_PRODUCT
}

/* Block by block: of panels that are not as wide as a turn. */
ALWAYS_INLINE void amx_narrow(int digits, int more, int nr, const struct amx_tile *t)
{
    const ptrdiff_t step = SW_PANEL * 4, digit = WORDS_QUADS * step;
    struct amx_sums sums;
    for (int64_t k = 0; k < t->n_blocks; k++)
        for (int v = 0; v < t->wide; v++) {
            const char *const w = t->words + k * t->block + v * LANES * 4;
            _tile_loadd(4, t->x[k].elements, SW_X_COLS);
            EACH (d, digits) {
                _tile_loadd(6, w + d * digit, step);
                _tile_zero(0);
                _tile_dpbssd(0, 4, 6);
                _tile_stored(0, sums.of[d], sizeof(l_word));
            }
            amx_add(false, digits, more, nr, t, k, v, sums.of);
        }
}

ALWAYS_INLINE void amx_fixed(enum amx_fetches fetches, bool in_place, int digits, int more, int nr,
                             struct amx_tile *t)
{
    struct words_next fetch = t->fetch;
    struct amx_sums sums[2];
    if (t->wide < WORDS_WIDE) {
        amx_narrow(digits, more, nr, t);
        return;
    }
    for (int64_t i = 0; i < t->n_blocks * digits + 2; i++)
        amx_turn(fetches, in_place, digits, more, nr, t, i, &fetch, sums);
    t->fetch = fetch;
}

/* One copy of each for all formats: digits, and numbers of a block besides its scale. */
#define AMX_TILE(name, fetches, in_place, digits, more)                                            \
    static __attribute__((noinline)) void name(struct amx_tile *t)                                 \
    {                                                                                              \
        if (t->rows <= AMX_ROWS / 2)                                                               \
            amx_fixed(AMX_BY_TILE, in_place, digits, more, AMX_ROWS / 2, t);                       \
        else if (t->few)                                                                           \
            amx_fixed(fetches, in_place, digits, more, AMX_ROWS, t);                               \
        else                                                                                       \
            amx_fixed(AMX_BY_TILE, in_place, digits, more, AMX_ROWS, t);                           \
    }
AMX_TILE(amx_in_place, AMX_BY_PRODUCT, true, 1, 0)
AMX_TILE(amx_plain, AMX_BY_TURN, false, 1, 0)
AMX_TILE(amx_with_one, AMX_BY_TURN, false, 1, 1)
AMX_TILE(amx_with_two, AMX_BY_TURN, false, 1, 2)
AMX_TILE(amx_tables, AMX_BY_TURN, false, 2, 0)

ALWAYS_INLINE void amx_multiply(const struct words_kind *kind, bool in_place, struct amx_tile *t)
{
    if (in_place)
        amx_in_place(t);
    else if (kind->digits)
        amx_tables(t);
    else if (kind->more && kind->parts > 1)
        amx_with_two(t);
    else if (kind->more)
        amx_with_one(t);
    else
        amx_plain(t);
}

ALWAYS_INLINE void amx_words_product(const struct words_format *f, const struct sw_panel_product *p)
{
    const int64_t blocks = block_count(&f->blocks, p->cols), base = p->first_tile * AMX_ROWS;
    const int64_t past = p->end_tile * AMX_ROWS, end = past < p->n ? past : p->n;
    const int of_unit = f->blocks.packing.elements / SW_X_COLS;
    const ptrdiff_t block = p->width * (ptrdiff_t)sw_packing_bytes(&f->blocks.packing) / of_unit;
    const int64_t tiles = p->end_tile - p->first_tile, chunk = amx_blocks(f);
    const bool in_place = f->plain && p->width == SW_PANEL;
    const bool few = tiles <= AMX_FEW_TILES;
    const int turns = f->kind->digits ? WORDS_DIGITS : 1; /* of a block */
    struct amx_bytes bytes[BLOCKS_FEW];
    amx_begin(AMX_ROWS, SW_X_COLS);
    memset(p->scratch, 0, (size_t)((past - base) * SW_PANEL) * sizeof *p->scratch);
    for (int64_t k = 0; k < blocks; k += chunk) {
        const int64_t n_blocks = blocks - k < chunk ? blocks - k : chunk;
        const char *const w = (const char *)p->weights + k * block;
        const int64_t size = n_blocks * block, at_first = in_place ? 0 : size / NEXT_AT_FIRST;
        struct amx_tile t = {.bytes = bytes,
                             .words = (const char *)bytes,
                             .block = sizeof bytes[0],
                             .wide = p->width / LANES,
                             .n_blocks = n_blocks,
                             .few = few,
                             .fetch = {w + size, at_first / (n_blocks * p->width / LANES)}};
        if (in_place) {
            const struct sw_packing *const packing = &f->blocks.packing;
            t.scales = w;
            t.words = w + SW_PANEL * packing->words[0].bytes * packing->words[0].count;
            t.block = block;
        } else {
            amx_unpack(f, p, k, n_blocks, &t.fetch, bytes);
        }
        amx_fence(bytes);
        const int64_t steps = (n_blocks * turns + 2) * (in_place ? AMX_TURN : 1); /* of few */
        t.fetch.step = (size - at_first) / (tiles * (few ? steps : 1));
        for (int64_t i = p->first_tile; i < p->end_tile; i++) {
            t.rows = amx_tile_rows(p->n, i);
            t.x = amx_x_at((void *)(uintptr_t)p->x, p->n, i, k, n_blocks);
            t.c = p->scratch + (i * AMX_ROWS - base) * SW_PANEL;
            if (!few)
                words_fetch_next(&t.fetch);
            amx_multiply(f->kind, in_place, &t);
        }
        amx_fence(bytes);
    }
    _tile_release();
    for (int64_t r = base; r < end; r++)
        finish_row(p, p->scratch + (r - base) * SW_PANEL, p->y + r * p->y_ld);
}

/* What a tile of tokens takes whose bytes and sums are close by. */
static double amx_spin_words(int64_t steps, float *out)
{
    struct amx_bytes bytes[AMX_BLOCKS] = {0};
    struct amx_x x[AMX_BLOCKS] = {0};
    float sums[AMX_ROWS * SW_PANEL] = {0};
    struct amx_tile t = {.bytes = bytes,
                         .words = (const char *)bytes,
                         .block = sizeof bytes[0],
                         .wide = WORDS_WIDE,
                         .x = x,
                         .rows = AMX_ROWS,
                         .n_blocks = AMX_BLOCKS,
                         .c = sums};
    steps = steps / (16 * AMX_BLOCKS * WORDS_WIDE) + 1; /* takes about as long as with vectors */
    amx_begin(AMX_ROWS, SW_X_COLS);
    amx_fence(bytes);
    amx_fence(x);
    for (int64_t k = 0; k < steps; k++)
        amx_plain(&t);
    _tile_release();
    out[0] += sums[0];
    return (double)steps * 2 * AMX_BLOCKS * AMX_ROWS * SW_PANEL * SW_X_COLS;
}

#endif

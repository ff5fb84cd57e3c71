/*
 * Products of formats whose blocks of columns have scales of their own. Activations become int8 in
 * blocks of 32 columns; the products of a block are summed up exactly, and its sum joins the
 * output's f32 sum, block after block along the columns: one order, whatever the call. Here are the
 * activations, and the loops of formats that give a step, which multiplies one unit of LANES rows
 * (struct sw_packing) with some tokens; most give their weights word by word (block_words.h).
 * Included per instruction set, after lanes_*.h, int8.h and product.h.
 */
#ifndef SW_KERNELS_BLOCKS_H
#define SW_KERNELS_BLOCKS_H

#ifdef LANES_IN_LOOPS /* written out, they would take minutes to compile and be no faster */
#undef EACH
#define EACH(i, n) for (int i = 0; i < (n); i++)
#endif

/*
 * A block of a row of activations. A part is what a scale of the weights is for: the whole block,
 * or each half of it.
 */
#define BLOCK_PARTS 2
struct block_x {
    float scale;             /* absmax / 127; 0 where all are nearly 0, NaN if one is no number */
    float sums[BLOCK_PARTS]; /* of each part's elements, times scale */
    int32_t starts[BLOCK_PARTS]; /* what sums of products of a part start from */
    int8_t elements[SW_X_COLS];
};

/* What a format wants of its activations, in constants. */
struct block_needs {
    int parts; /* of a block: 1 or 2 */
    int zero;  /* the weights' zero point: sums start from minus it times those of elements */
    bool
        is_signed; /* starts are for l_signed_dot, and parts and zero are 1 and 0; else for l_dot */
};

/* What sums of products start from, of a part with these sums. */
ALWAYS_INLINE int32_t block_x_start(const struct block_needs *needs, const struct block_x *block,
                                    int32_t even, int32_t odd)
{
    if (needs->is_signed)
        return l_signed_start(block->elements, even + odd);
    if (DOTS_HALVES)
        return (int32_t)((uint32_t)(needs->zero * -odd) << 16 |
                         ((uint32_t)(needs->zero * -even) & 65535));
    return needs->zero * -(even + odd);
}

ALWAYS_INLINE void block_x_sum(const struct block_needs *needs, struct block_x *block)
{
    int32_t even = 0, odd = 0;
    for (int half = 0, part = 0; half < 2; half++) {
        int32_t more_even, more_odd;
        l_sum_pairs(block->elements + half * 16, &more_even, &more_odd);
        even += more_even;
        odd += more_odd;
        if (needs->parts == 1 && half == 0)
            continue;
        block->sums[part] = block->scale * (float)(even + odd);
        block->starts[part] = block_x_start(needs, block, even, odd);
        part++;
        even = odd = 0;
    }
}

/* The first n of a block's values; the others are 0. */
ALWAYS_INLINE struct block_x block_x_of(const struct block_needs *needs, const float *x, int64_t n)
{
    struct block_x block = {0};
    const vec a = load_16(x, 0, n), b = n > 16 ? load_16(x, 16, n) : v_set(0), zero = v_set(0);
    const float absmax = v_largest(v_max(v_abs(a), v_abs(b)));
    const float of_zeros = v_sum(v_add(v_mul(a, zero), v_mul(b, zero))); /* NaN if one is, or inf */
    block.scale = of_zeros + absmax / 127;
    if (!(absmax >= SW_INT8_TINY) || isnan(of_zeros)) {
        block.scale = of_zeros;
        return block;
    }
    const vec inverse = v_set(127 / absmax);
    v_store_int8(block.elements, v_mul(a, inverse));
    v_store_int8(block.elements + 16, v_mul(b, inverse));
    block_x_sum(needs, &block);
    return block;
}

/* A unit of LANES rows, and the blocks of nr tokens that it is multiplied with. */
struct block_unit {
    const char *words[2]; /* the first word of each kind, of these rows */
    ptrdiff_t steps[2];   /* bytes from word to word of each kind */
    const struct block_x *x;
    int nr;
    const float *scales; /* of these rows, where the format has some */
    const float *table;  /* of the matrix, where the format has one */
};

/* Word i of a kind: where those of the rows begin. */
ALWAYS_INLINE const char *unit_word(const struct block_unit *u, int kind, int i)
{
    return u->words[kind] + i * u->steps[kind];
}

/* Block j of token r. */
ALWAYS_INLINE const struct block_x *unit_x(const struct block_unit *u, int r, int j)
{
    return u->x + j * u->nr + r;
}

/* A format: all constants. step: adds the products of a unit to acc[r] of each token. */
typedef void block_step(int nr, const struct block_unit *u, l_vec acc[TILE_ROWS]);
struct block_format {
    struct sw_packing packing;
    struct block_needs needs;
    block_step *step; /* ALWAYS_INLINE; NULL: block_words.h has the loops */
};

/* Blocks of whole units. */
ALWAYS_INLINE int64_t block_count(const struct block_format *f, int64_t cols)
{
    const int elements = f->packing.elements;
    return (cols + elements - 1) / elements * (elements / SW_X_COLS);
}

/*
 * Blocks that all tiles of tokens go over before the next: of one tile few, so that weights are
 * read forward; of several what lets their weights stay in a first-level cache. A multiple of every
 * unit's. Activations lie in the order in which they are read: (chunks, tiles, blocks, tokens).
 */
#define BLOCKS_FEW 8
#define BLOCKS_MANY 16
ALWAYS_INLINE int64_t blocks_chunk(const struct block_format *f, int64_t n)
{
    return !f->step || sw_tile_count(n) == 1 ? BLOCKS_FEW : BLOCKS_MANY;
}

/* Blocks [k, k + n_blocks) of tile i of n tokens. */
static inline struct block_x *blocks_at(void *x, int64_t n, int64_t i, int64_t k, int64_t n_blocks)
{
    return (struct block_x *)x + k * n + tile_first(n, i) * n_blocks;
}

/* Columns [col, col + n) of a row in the matrix's order. */
static inline const float *blocks_ordered(const struct sw_prepare *p, const float *row, int64_t col,
                                          int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = row[p->order[col + i]];
    return out;
}

/* A tile of activations; also activates it, if that is asked for. */
ALWAYS_INLINE void blocks_prepare(const struct block_format *f, const struct sw_prepare *p,
                                  int64_t i)
{
    const int64_t first = tile_first(p->n, i), nr = tile_first(p->n, i + 1) - first;
    const int64_t chunk = blocks_chunk(f, p->n), all = block_count(f, p->cols);
    float activated[BLOCKS_MANY * SW_X_COLS], ordered[2][BLOCKS_MANY * SW_X_COLS];
    for (int64_t k = 0; k < all; k += chunk) {
        const int64_t n_blocks = all - k < chunk ? all - k : chunk, col = k * SW_X_COLS;
        const int64_t n = p->cols - col < chunk * SW_X_COLS ? p->cols - col : chunk * SW_X_COLS;
        struct block_x *to = blocks_at(p->out, p->n, i, k, n_blocks);
        for (int64_t r = 0; r < nr; r++) {
            const float *const row = p->x + (first + r) * p->x_ld;
            const float *x = row + col, *up = p->gated ? row + p->cols + col : NULL;
            if (p->order) {
                x = blocks_ordered(p, row, col, n, ordered[0]);
                up = up ? blocks_ordered(p, row + p->cols, col, n, ordered[1]) : NULL;
            }
            if (p->activate) {
                rows_activate(p->activation, x, up, n, activated);
                x = activated;
            }
            for (int64_t j = 0, at = 0; j < n_blocks; j++, at += SW_X_COLS)
                to[j * nr + r] =
                    at < n ? block_x_of(&f->needs, x + at, n - at < SW_X_COLS ? n - at : SW_X_COLS)
                           : (struct block_x){0};
        }
    }
}

/* Some units of nr tokens times some registers of rows, whose sums are at c. */
struct block_tile {
    const char *w; /* the first unit of these rows: its first word */
    int64_t lane;  /* of the panel: the first row */
    int width;     /* of the panel */
    const struct block_x *x;
    int nr;              /* tokens, whose blocks lie side by side */
    int64_t n;           /* units */
    float *c;            /* token r at c + r * SW_PANEL */
    const float *scales; /* of the panel's rows; NULL: the format has none */
    const float *table;
    ptrdiff_t ahead; /* bytes to weights that come after these; 0: they are not to be fetched */
    ptrdiff_t deep;  /* of struct sw_panel_product */
};

#define BLOCK_WIDE (SW_PANEL / LANES)

/* Register v of rows, unit by unit. */
ALWAYS_INLINE void block_lanes(const struct block_format *f, int nr, int v, const char *w,
                               const struct block_x *x, const struct block_tile *t, int x_nr,
                               int width, l_vec acc[TILE_ROWS])
{
    const struct sw_packing *const p = &f->packing;
    const ptrdiff_t first = width * (ptrdiff_t)p->words[0].bytes;
    const ptrdiff_t second = width * (ptrdiff_t)p->words[1].bytes;
    const int64_t lane = t->lane + v * LANES;
    const struct block_unit u = {
        {w + lane * p->words[0].bytes, w + p->words[0].count * first + lane * p->words[1].bytes},
        {first, second},
        x,
        x_nr,
        t->scales ? t->scales + lane : NULL,
        t->table};
    f->step(nr, &u, acc);
}

/* Units of many columns are not written out for each register, which would be too much code; and
 * their words are read with gaps, which no processor foresees: a register's turn fetches its share
 * of the unit that is t->ahead from here. */
#define BLOCK_LONG 64
static inline void block_fetch(const struct block_tile *t, int v, const char *w, ptrdiff_t w_step)
{
    const ptrdiff_t share = w_step / BLOCK_WIDE;
    const char *at = w + t->ahead + (t->lane / LANES + v) * share;
    for (ptrdiff_t i = 0; t->ahead && i < share; i += 64)
        __builtin_prefetch(at + i, 0, 2);
}

ALWAYS_INLINE void block_fixed(const struct block_format *f, int nr, int nv, int x_nr, int width,
                               const struct block_tile *t)
{
    const ptrdiff_t w_step = width * (ptrdiff_t)sw_packing_bytes(&f->packing);
    const char *w = t->w;
    const struct block_x *x = t->x;
    l_vec acc[BLOCK_WIDE][TILE_ROWS];
    EACH (v, nv)
        EACH (r, nr)
            acc[v][r] = l_load(t->c + r * SW_PANEL + v * LANES);
    for (int64_t k = 0; k < t->n; k++, w += w_step) {
        if (f->packing.elements >= BLOCK_LONG)
            for (int v = 0; v < nv; v++) {
                block_fetch(t, v, w, w_step);
                block_lanes(f, nr, v, w, x, t, x_nr, width, acc[v]);
            }
        else {
            /* One token: weights come from memory, and not line by line. */
            for (ptrdiff_t line = 0; nv == BLOCK_WIDE && nr == 1 && line < w_step; line += 64)
                fetch_weights(w + W_AHEAD + line, t->deep);
            EACH (v, nv)
                block_lanes(f, nr, v, w, x, t, x_nr, width, acc[v]);
        }
        x += f->packing.elements / SW_X_COLS * x_nr;
    }
    EACH (v, nv)
        EACH (r, nr)
            l_store(t->c + r * SW_PANEL + v * LANES, acc[v][r]);
}

/* All rows of a whole panel: one token has room for the sums of many. */
ALWAYS_INLINE void block_wide(const struct block_format *f, int nr, struct block_tile t)
{
    const int most = nr == 1 ? BLOCK_WIDE : LANES_VECS;
    for (t.lane = 0; t.lane < SW_PANEL; t.lane += most * LANES, t.c += most * LANES)
        block_fixed(f, nr, most, nr, SW_PANEL, &t);
}

/* The last panel, where it is narrower: token by token. */
ALWAYS_INLINE void block_narrow(const struct block_format *f, struct block_tile t)
{
    for (int r = 0; r < t.nr; r++, t.x++, t.c += SW_PANEL) {
        float *const c = t.c;
        for (t.lane = 0; t.lane < t.width; t.lane += LANES, t.c += LANES)
            block_fixed(f, 1, 1, t.nr, t.width, &t);
        t.c = c;
    }
}

ALWAYS_INLINE void block_tall(const struct block_format *f, const struct block_tile *t)
{
    if (t->width < SW_PANEL) {
        block_narrow(f, *t);
        return;
    }
#ifdef LANES_IN_LOOPS
    block_wide(f, t->nr, *t);
    return;
#endif
    switch (t->nr) {
    case 1:
        block_wide(f, 1, *t);
        break;
    case 2:
        block_wide(f, 2, *t);
        break;
    case 3:
        block_wide(f, 3, *t);
        break;
    case 4:
        block_wide(f, 4, *t);
        break;
    case 5:
        block_wide(f, 5, *t);
        break;
    default:
        block_wide(f, 6, *t);
        break;
    }
}

ALWAYS_INLINE void blocks_product(const struct block_format *f, const struct sw_panel_product *p)
{
    const int64_t blocks = block_count(f, p->cols), chunk = blocks_chunk(f, p->n);
    const int64_t base = tile_first(p->n, p->first_tile), end = tile_first(p->n, p->end_tile);
    const int of_unit = f->packing.elements / SW_X_COLS;
    memset(p->scratch, 0, (size_t)((end - base) * SW_PANEL) * sizeof *p->scratch);
    for (int64_t k = 0; k < blocks; k += chunk)
        for (int64_t i = p->first_tile; i < p->end_tile; i++) {
            const int64_t first = tile_first(p->n, i), left = blocks - k;
            const int64_t n_blocks = left < chunk ? left : chunk;
            const ptrdiff_t unit = p->width * (ptrdiff_t)sw_packing_bytes(&f->packing);
            const struct block_tile t = {
                .w = (const char *)p->weights + k / of_unit * unit,
                .width = p->width,
                .nr = (int)(tile_first(p->n, i + 1) - first),
                .x = blocks_at((void *)(uintptr_t)p->x, p->n, i, k, n_blocks),
                .n = n_blocks / of_unit,
                .c = p->scratch + (first - base) * SW_PANEL,
                .scales = p->scales,
                .table = p->table,
                .ahead = i == p->first_tile ? n_blocks / of_unit * unit : 0,
                .deep = p->deep};
            block_tall(f, &t);
        }
    for (int64_t r = base; r < end; r++)
        finish_row(p, p->scratch + (r - base) * SW_PANEL, p->y + r * p->y_ld);
}

#endif

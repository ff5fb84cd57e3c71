/*
 * Products of int8 rows with AMX. A tile of weights is AMX_COLS columns of LANES rows of the matrix
 * as they lie in the panel, and sums stay in their tiles along the columns. Included after amx.h.
 */
#ifndef SW_KERNELS_AMX_INT8_H
#define SW_KERNELS_AMX_INT8_H

#define AMX_COLS 64
#define AMX_FOURS (AMX_COLS / 4)
#define AMX_STEPS 32 /* that all tiles of tokens go over before the next: 128 KiB of a panel */

static inline int64_t amx_steps(int64_t cols)
{
    return (cols + AMX_COLS - 1) / AMX_COLS;
}

/* Rows of a tile of activations: of few tokens no more than there are. */
static inline int amx_height(int64_t n)
{
    return n < AMX_ROWS ? (int)n : AMX_ROWS;
}

/* ---- activations: tiles of tokens one after the other, each (steps, rows, AMX_COLS) */

/* Elements of a row that was scanned, as bytes; what is not there is 0. */
static void amx_quantize(const struct sw_prepare *p, int64_t row, char *to, ptrdiff_t step)
{
    const float *x = p->x + row * p->x_ld;
    const vec inverse = v_set(p->int8.rows[row].inverse);
    uint16_t outside;
    for (int64_t col = 0; col < p->cols; col += AMX_COLS, to += step)
        for (int64_t i = 0; i < AMX_COLS; i += 16) {
            const bool is_there = col + i < p->cols;
            const vec v = is_there
                              ? v_within(load_16(x, col + i, p->cols), SW_INT8_OUTLIER, &outside)
                              : v_set(0);
            v_store_int8((int8_t *)to + i, v_mul(v, inverse));
        }
}

/* Some rows of a tile: each is scanned before any of it is made. */
static void amx_prepare_int8(const struct sw_prepare *p, int64_t i, int64_t part, int64_t parts)
{
    const int64_t steps = amx_steps(p->cols);
    const int height = amx_height(p->n), rows = amx_tile_rows(p->n, i);
    const ptrdiff_t step = height * AMX_COLS;
    char *const to = (char *)p->out + i * steps * step;
    for (int64_t r = part * rows / parts; r < (part + 1) * rows / parts; r++) {
        const int64_t row = i * AMX_ROWS + r;
        const float *x = p->x + row * p->x_ld;
        if (p->activate)
            rows_activate(p->activation, x, p->gated ? x + p->cols : NULL, p->cols,
                          p->activated + row * p->x_ld);
        scan_row(p, row);
        amx_quantize(p, row, to + r * AMX_COLS, step);
    }
    for (int64_t k = 0; part == 0 && rows < height && k < steps; k++)
        memset(to + k * step + rows * AMX_COLS, 0, (size_t)((height - rows) * AMX_COLS));
}

/* ---- products */

/* One or two tiles of tokens, `x_tile` bytes apart, times some registers of rows. */
struct amx_int8 {
    const char *w;
    ptrdiff_t w_step; /* bytes from word to word */
    const char *x;
    ptrdiff_t x_tile, x_step;
    int64_t steps;
    float *c; /* sums of token r at c + r * SW_PANEL */
    bool resume;
};

ALWAYS_INLINE void amx_int8_step(int nr, int nv, const char *x, ptrdiff_t x_tile, const char *w,
                                 ptrdiff_t w_step)
{
    _tile_loadd(4, x, AMX_COLS);
    _tile_loadd(6, w, w_step);
    _tile_dpbssd(0, 4, 6);
    if (nv > 1) {
        _tile_loadd(7, w + 64, w_step);
        _tile_dpbssd(1, 4, 7);
    }
    if (nr > 1) {
        _tile_loadd(5, x + x_tile, AMX_COLS);
        _tile_dpbssd(2, 5, 6);
        if (nv > 1) {
            _tile_dpbssd(3, 5, 7);
        }
    } else if (nv > 2) {
        _tile_loadd(6, w + 128, w_step);
        _tile_dpbssd(2, 4, 6);
        _tile_loadd(7, w + 192, w_step);
        _tile_dpbssd(3, 4, 7);
    }
}

/* Where the sums of tile 0 to 3 are. */
ALWAYS_INLINE float *amx_sums_at(int nr, float *c, int tile)
{
    return nr > 1 ? c + tile / 2 * AMX_ROWS * SW_PANEL + tile % 2 * LANES : c + tile * LANES;
}

ALWAYS_INLINE void amx_int8_fixed(int nr, int nv, const struct amx_int8 *t)
{
    const ptrdiff_t step = SW_PANEL * sizeof(float);
    const char *w = t->w, *x = t->x;
#define AMX_EACH_SUM(do)                                                                           \
    do                                                                                             \
        (0);                                                                                       \
    if (nv > 1) {                                                                                  \
        do                                                                                         \
            (1);                                                                                   \
    }                                                                                              \
    if (nr > 1 || nv > 2) {                                                                        \
        do                                                                                         \
            (2);                                                                                   \
    }                                                                                              \
    if ((nr > 1 && nv > 1) || nv > 2) {                                                            \
        do                                                                                         \
            (3);                                                                                   \
    }
#define AMX_LOAD(i) _tile_loadd(i, amx_sums_at(nr, t->c, i), step)
#define AMX_STORE(i) _tile_stored(i, amx_sums_at(nr, t->c, i), step)
    if (t->resume) {
        AMX_EACH_SUM(AMX_LOAD)
    } else {
        AMX_EACH_SUM(_tile_zero)
    }
    for (int64_t k = t->steps; k > 0; k--, x += t->x_step, w += AMX_FOURS * t->w_step)
        amx_int8_step(nr, nv, x, t->x_tile, w, t->w_step);
    AMX_EACH_SUM(AMX_STORE)
#undef AMX_EACH_SUM
#undef AMX_LOAD
#undef AMX_STORE
}

/* All registers of rows of one tile of tokens or two. */
ALWAYS_INLINE void amx_int8_wide(int nr, int wide, struct amx_int8 t)
{
    if (nr == 1 && wide == 4) {
        amx_int8_fixed(1, 4, &t);
        return;
    }
    for (; wide > 1; wide -= 2, t.w += 2 * 64, t.c += 2 * LANES)
        if (nr > 1)
            amx_int8_fixed(2, 2, &t);
        else
            amx_int8_fixed(1, 2, &t);
    if (wide && nr > 1)
        amx_int8_fixed(2, 1, &t);
    else if (wide)
        amx_int8_fixed(1, 1, &t);
}

/* The step in which columns end, with zeros behind them; NULL: columns are whole steps. */
static const char *amx_last_step(const struct sw_panel_product *p, char *room)
{
    const int64_t whole = p->cols / AMX_COLS, left = p->cols % AMX_COLS;
    const ptrdiff_t word = p->width * (ptrdiff_t)4;
    const int64_t each = 4; /* columns of a word */
    if (!left)
        return NULL;
    const size_t bytes = (size_t)((left + each - 1) / each * word);
    memcpy(room, (const char *)p->weights + whole * AMX_FOURS * word, bytes);
    memset(room + bytes, 0, (size_t)(AMX_FOURS * word) - bytes);
    return room;
}

/* Steps [k, k + n) of tiles [first_tile, end_tile), of weights at w. */
ALWAYS_INLINE void amx_int8_steps(const struct sw_panel_product *p, int64_t k, int64_t n,
                                  const char *w)
{
    const int64_t steps = amx_steps(p->cols);
    const ptrdiff_t x_step = amx_height(p->n) * AMX_COLS;
    struct amx_int8 t = {.w = w,
                         .w_step = p->width * (ptrdiff_t)4,
                         .x_tile = steps * x_step,
                         .x_step = x_step,
                         .steps = n,
                         .c = p->scratch,
                         .resume = k > 0};
    for (int64_t i = p->first_tile; i < p->end_tile; i += 2, t.c += 2 * AMX_ROWS * SW_PANEL) {
        t.x = (const char *)p->x + i * t.x_tile + k * x_step;
        if (i + 1 < p->end_tile)
            amx_int8_wide(2, p->width / LANES, t);
        else
            amx_int8_wide(1, p->width / LANES, t);
    }
}

static void amx_product_int8(const struct sw_panel_product *p)
{
    const int64_t whole = p->cols / AMX_COLS, base = p->first_tile * AMX_ROWS;
    const int64_t past = p->end_tile * AMX_ROWS, end = past < p->n ? past : p->n;
    const ptrdiff_t w_step = AMX_FOURS * p->width * (ptrdiff_t)4;
    char room[AMX_FOURS * SW_PANEL * 4];
    const char *const last = amx_last_step(p, room);
    amx_begin(amx_height(p->n), AMX_COLS);
    amx_fence(room);
    for (int64_t k = 0; k < whole; k += AMX_STEPS)
        amx_int8_steps(p, k, whole - k < AMX_STEPS ? whole - k : AMX_STEPS,
                       (const char *)p->weights + k * w_step);
    if (last)
        amx_int8_steps(p, whole, 1, last);
    _tile_release();
    finish_rows(KIND_INT8, p, base, end, p->scratch);
}

/* A panel's product with so many tokens that tiles come from the second-level cache, as they do in
 * products; what is around it, as making bytes of the tokens, is not in it. */
static double amx_spin_int8(int64_t steps, float *out)
{
    enum { TOKENS = 128, COLS = AMX_STEPS * AMX_COLS };
    static const char bytes[TOKENS * COLS] = {1}; /* not all 0: pages of its own */
    float sums[TOKENS * SW_PANEL] = {0};
    const struct sw_panel_product p = {.width = SW_PANEL,
                                       .cols = COLS,
                                       .x = bytes,
                                       .n = TOKENS,
                                       .end_tile = TOKENS / AMX_ROWS,
                                       .scratch = sums};
    steps = steps / 4096 + 1; /* takes about as long as with vectors */
    amx_begin(AMX_ROWS, AMX_COLS);
    for (int64_t k = 0; k < steps; k++)
        amx_int8_steps(&p, 0, AMX_STEPS, bytes);
    amx_fence(sums);
    _tile_release();
    out[0] += sums[0];
    return (double)steps * 2 * TOKENS * SW_PANEL * COLS;
}

#endif

/*
 * q8_0 products. Activations are made int8 as well, in blocks of 32 columns like the weights; the
 * products of a block are summed up exactly, and its sum joins the output's by one fused
 * multiply-add, block after block. Included per instruction set, after int8.h and product.h.
 *
 * A block in a panel (struct sw_packing): (width) scales in f16, then (8, width, 4) elements.
 */
#ifndef SW_KERNELS_Q8_0_H
#define SW_KERNELS_Q8_0_H

/* A block of a row of activations. */
struct q8_0_x {
    float scale;    /* absmax / 127; 0 where all are nearly 0, NaN where one is no number */
    int32_t excess; /* this instruction set's sums of products are larger by this */
    int8_t elements[SW_X_COLS];
};

static inline int64_t q8_0_blocks(int64_t cols)
{
    return (cols + SW_X_COLS - 1) / SW_X_COLS;
}

/* The first n of a block's values; the others are 0. */
static struct q8_0_x q8_0_quantized(const float *x, int64_t n)
{
    struct q8_0_x block = {0};
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
    if (INT8_EXCESS)
        block.excess = INT8_EXCESS * sum_of(block.elements, SW_X_COLS);
    return block;
}

/* Also activates it, if that is asked for. */
static void prepare_row_q8_0(const struct sw_prepare *p, int64_t row, void *out)
{
    struct q8_0_x *to = out;
    float activated[PREPARE_COLS];
    for (int64_t col = 0; col < p->cols; col += PREPARE_COLS) {
        const int64_t n = p->cols - col < PREPARE_COLS ? p->cols - col : PREPARE_COLS;
        const float *x = p->x + row * p->x_ld + col;
        if (p->activate) {
            rows_activate(p->activation, x, p->gated ? x + p->cols : NULL, n, activated);
            x = activated;
        }
        for (int64_t i = 0; i < n; i += SW_X_COLS)
            *to++ = q8_0_quantized(x + i, n - i < SW_X_COLS ? n - i : SW_X_COLS);
    }
}

static void prepare_tile_q8_0(const struct sw_prepare *p, int64_t i)
{
    for (int64_t row = tile_first(p->n, i); row < tile_first(p->n, i + 1); row++)
        prepare_row_q8_0(p, row, (struct q8_0_x *)p->out + row * q8_0_blocks(p->cols));
}

/* Some blocks of nr tokens times nv vectors of outputs, whose sums are at c. */
struct q8_0_tile {
    const char *w; /* the first block's scales of these outputs */
    const char *elements;
    int width;              /* of the panel */
    const struct q8_0_x *x; /* the first token's first block */
    int64_t x_ld, n;        /* blocks from token to token; blocks */
    float *c;               /* token r at c + r * SW_PANEL */
};

ALWAYS_INLINE void q8_0_fixed(int nr, int nv, const struct q8_0_tile *t)
{
    const ptrdiff_t w_step = t->width * (ptrdiff_t)(2 + SW_X_COLS), step = t->width * (ptrdiff_t)4;
    const char *scales = t->w, *elements = t->elements;
    vec acc[TILE_ROWS][4];
    EACH (r, nr)
        EACH (v, nv)
            acc[r][v] = v_load(t->c + r * SW_PANEL + v * 16);
    for (int64_t k = 0; k < t->n; k++, scales += w_step, elements += w_step) {
        vec sums[TILE_ROWS][4];
        EACH (r, nr)
            EACH (v, nv)
                sums[r][v] = v_set(0);
        for (int i = 0; i < SW_X_COLS; i += 4)
            step_int8(nr, nv, t->x_ld * (ptrdiff_t)sizeof *t->x, elements + i / 4 * step,
                      (const char *)t->x[k].elements + i, sums);
        EACH (v, nv) {
            const vec of_w = v_load_f16((const uint16_t *)(const void *)(scales + v * 32));
            EACH (r, nr) {
                const struct q8_0_x *x = &t->x[r * t->x_ld + k];
                acc[r][v] = v_fma(v_of_sums(sums[r][v], x->excess), v_mul(of_w, v_set(x->scale)),
                                  acc[r][v]);
            }
        }
    }
    EACH (r, nr)
        EACH (v, nv)
            v_store(t->c + r * SW_PANEL + v * 16, acc[r][v]);
}

ALWAYS_INLINE void q8_0_wide(int nr, struct q8_0_tile t)
{
    for (int vecs = t.width / 16, nv; vecs > 0; vecs -= nv) {
        nv = vecs >= 4 && (VEC_TILE == 4 || nr == 1) ? 4 : 1;
        if (nv == 4)
            q8_0_fixed(nr, 4, &t);
        else
            q8_0_fixed(nr, 1, &t);
        t.w += nv * 32;
        t.elements += nv * 64;
        t.c += nv * 16;
    }
}

static void q8_0_high(int nr, const struct q8_0_tile *t)
{
    switch (nr) {
    case 1:
        q8_0_wide(1, *t);
        break;
    case 2:
        q8_0_wide(2, *t);
        break;
    case 3:
        q8_0_wide(3, *t);
        break;
    case 4:
        q8_0_wide(4, *t);
        break;
    case 5:
        q8_0_wide(5, *t);
        break;
    default:
        q8_0_wide(6, *t);
        break;
    }
}

/* Blocks that all tiles go over before the next: of one tile few, so that weights are read forward,
 * of several what a second-level cache holds. */
#define Q8_0_FEW 8
#define Q8_0_MANY 64

static void product_q8_0(const struct sw_panel_product *p)
{
    const int64_t blocks = q8_0_blocks(p->cols), base = tile_first(p->n, p->first_tile);
    const int64_t end = tile_first(p->n, p->end_tile);
    const int64_t most = sw_tile_count(p->n) == 1 ? Q8_0_FEW : Q8_0_MANY;
    memset(p->scratch, 0, (size_t)((end - base) * SW_PANEL) * sizeof *p->scratch);
    for (int64_t k = 0; k < blocks; k += most)
        for (int64_t i = p->first_tile; i < p->end_tile; i++) {
            const int64_t first = tile_first(p->n, i);
            const char *w = (const char *)p->weights + k * p->width * (2 + SW_X_COLS);
            const struct q8_0_tile t = {.w = w,
                                        .elements = w + p->width * 2,
                                        .width = p->width,
                                        .x = (const struct q8_0_x *)p->x + first * blocks + k,
                                        .x_ld = blocks,
                                        .n = blocks - k < most ? blocks - k : most,
                                        .c = p->scratch + (first - base) * SW_PANEL};
            q8_0_high((int)(tile_first(p->n, i + 1) - first), &t);
        }
    for (int64_t r = base; r < end; r++)
        finish_row(p, p->scratch + (r - base) * SW_PANEL, p->y + r * p->y_ld);
}

#endif

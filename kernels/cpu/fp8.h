/*
 * fp8 products: activations stay f32, and a weight is its element times its block's scale, as f32.
 * An output is one chain of fused multiply-adds along the columns. Included after product.h.
 *
 * A block of 128 columns in a panel (struct sw_packing): (width) scales in f32, then (32, width, 4)
 * elements.
 */
#ifndef SW_KERNELS_FP8_H
#define SW_KERNELS_FP8_H

#define FP8_LEN 128

/* Some columns of a tile of tokens. */
struct fp8_tile {
    const char *w;      /* the panel */
    int width;          /* of it */
    int64_t first, end; /* columns; `first` is a multiple of 4 */
    const float *x;     /* token r, column first + c at x + r * x_token + c * x_col */
    ptrdiff_t x_token, x_col;
    float *c;       /* token r at c + r * SW_PANEL */
    ptrdiff_t deep; /* of struct sw_panel_product */
};

/* The first n, at most four, of the columns whose word is at w. `any`: scales are those of
 * elements, else of what v_load_e4m3 gives. */
ALWAYS_INLINE void fp8_columns(int nr, int nv, int n, const char *w, const vec *scales, bool any,
                               const float *x, const struct fp8_tile *t, vec acc[TILE_ROWS][4])
{
    EACH (k, 4) {
        if (k >= n)
            return;
        vec weights[4];
        EACH (v, nv)
            weights[v] =
                v_mul(any ? v_load_any_e4m3(w + v * 64, k) : v_load_e4m3(w + v * 64, k), scales[v]);
        EACH (r, nr) {
            const vec xs = v_set(x[r * t->x_token + k * t->x_col]);
            EACH (v, nv)
                acc[r][v] = v_fma(weights[v], xs, acc[r][v]);
        }
    }
}

ALWAYS_INLINE bool fp8_is_small(int nv, const char *w)
{
    bool is = false;
    EACH (v, nv)
        is |= v_is_small_e4m3(w + v * 64);
    return is;
}

/*
 * v_load_e4m3 gives elements / V_E4M3_ONE, so the scale is multiplied by that, which is exact.
 * Where it would overflow (far), and for words with subnormals, elements are made instead: the
 * weights are the same. Columns [first, first + n) of the block at w.
 */
ALWAYS_INLINE void fp8_block(int nr, int nv, int64_t first, int64_t n, const char *w,
                             const float *x, const struct fp8_tile *t, vec acc[TILE_ROWS][4])
{
    const ptrdiff_t step = t->width * (ptrdiff_t)4;
    const float *const of_elements = (const float *)(const void *)w;
    vec scales[4];
    bool far = false;
    EACH (v, nv) {
        scales[v] = v_load(of_elements + v * 16);
        far |= !(v_largest(v_abs(scales[v])) < 128);
        scales[v] = v_mul(scales[v], v_set(V_E4M3_ONE));
    }
    w += (1 + first / 4) * step;
    for (int64_t i = 0; i < n; i += 4, w += step, x += 4 * t->x_col) {
        if (nv == 4 && nr == 1 && t->deep)
            EACH (line, 4)
                fetch_weights(w + W_AHEAD + line * 64, t->deep);
        if (far || n - i < 4 || fp8_is_small(nv, w)) {
            vec plain[4];
            EACH (v, nv)
                plain[v] = v_load(of_elements + v * 16);
            fp8_columns(nr, nv, n - i < 4 ? (int)(n - i) : 4, w, plain, true, x, t, acc);
        } else
            fp8_columns(nr, nv, 4, w, scales, false, x, t, acc);
    }
}

ALWAYS_INLINE void fp8_fixed(int nr, int nv, int lane, const struct fp8_tile *t)
{
    const ptrdiff_t block = t->width * (ptrdiff_t)(4 + FP8_LEN);
    const float *x = t->x;
    vec acc[TILE_ROWS][4];
    EACH (r, nr)
        EACH (v, nv)
            acc[r][v] = v_load(t->c + r * SW_PANEL + lane + v * 16);
    for (int64_t col = t->first, n; col < t->end; col += n, x += n * t->x_col) {
        const int64_t at = col % FP8_LEN, left = t->end - col;
        n = left < FP8_LEN - at ? left : FP8_LEN - at;
        fp8_block(nr, nv, at, n, t->w + col / FP8_LEN * block + lane * 4, x, t, acc);
    }
    EACH (r, nr)
        EACH (v, nv)
            v_store(t->c + r * SW_PANEL + lane + v * 16, acc[r][v]);
}

ALWAYS_INLINE void fp8_wide(int nr, const struct fp8_tile *t)
{
    int lane = 0;
    for (; (VEC_TILE == 4 || nr == 1) && t->width - lane >= 64; lane += 64)
        fp8_fixed(nr, 4, lane, t);
    for (; lane < t->width; lane += 16)
        fp8_fixed(nr, 1, lane, t);
}

static void fp8_tall(int64_t nr, const struct fp8_tile *t)
{
    switch (nr) {
    case 1:
        fp8_wide(1, t);
        break;
    case 2:
        fp8_wide(2, t);
        break;
    case 3:
        fp8_wide(3, t);
        break;
    case 4:
        fp8_wide(4, t);
        break;
    case 5:
        fp8_wide(5, t);
        break;
    default:
        fp8_wide(6, t);
        break;
    }
}

/* One tile, whose tokens lie as the caller has them, or some that prepare_tile_f32 made: chunk by
 * chunk of columns, of which it has the tokens of a tile side by side. */
static void product_fp8(const struct sw_panel_product *p)
{
    const bool is_plain = p->x_ld != 0;
    const int64_t from = is_plain ? 0 : p->first_tile, to = is_plain ? 1 : p->end_tile;
    const int64_t base = tile_first(p->n, from), end = tile_first(p->n, to);
    const int64_t chunk = is_plain ? p->cols : k_block(p->n);
    memset(p->scratch, 0, (size_t)((end - base) * SW_PANEL) * sizeof *p->scratch);
    for (int64_t col = 0; col < p->cols; col += chunk)
        for (int64_t i = from; i < to; i++) {
            const int64_t first = tile_first(p->n, i), nr = tile_first(p->n, i + 1) - first;
            const int64_t n = p->cols - col < chunk ? p->cols - col : chunk;
            const float *x = p->x;
            const struct fp8_tile t = {.w = p->weights,
                                       .width = p->width,
                                       .first = col,
                                       .end = col + n,
                                       .x = is_plain ? x + col : x + col * p->n + first * n,
                                       .x_token = is_plain ? p->x_ld / (ptrdiff_t)sizeof(float) : 1,
                                       .x_col = is_plain ? 1 : nr,
                                       .c = p->scratch + (first - base) * SW_PANEL,
                                       .deep = p->deep};
            fp8_tall(nr, &t);
        }
    for (int64_t r = base; r < end; r++)
        finish_row(p, p->scratch + (r - base) * SW_PANEL, p->y + r * p->y_ld);
}

#endif

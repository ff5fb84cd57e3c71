/* One panel of a matrix product. Included per instruction set, after tile.h. */
#ifndef SW_KERNELS_PRODUCT_H
#define SW_KERNELS_PRODUCT_H

#define K_BLOCK                                                                                    \
    96 /* steps; 24 KiB of a panel stay in the first-level cache while the tokens pass */

ALWAYS_INLINE void product_kind(enum kind kind, const struct sw_panel_product *p)
{
    const int64_t steps = kind == KIND_PAIRS ? (p->cols + 1) / 2 : p->cols;
    const int64_t block = p->n <= TILE_ROWS ? steps : K_BLOCK;
    const ptrdiff_t x_step = kind == KIND_PAIRS ? PAIR_BYTES : 4;
    const ptrdiff_t x_size = kind == KIND_PAIRS ? PAIR_BYTES / 2 : 4;
    struct tile t = {.w_step = p->width * kind_bytes(kind),
                     .x_ld = p->x_ld * x_size,
                     .c = p->scratch,
                     .c_ld = SW_PANEL};
    for (int64_t k = 0; k < steps; k += block) {
        t.w = (const char *)p->weights + k * t.w_step;
        t.x = (const char *)p->x + k * x_step;
        t.steps = steps - k < block ? steps - k : block;
        t.resume = k > 0;
        tile_tall(kind, p->n, p->width / 16, t);
    }
}

static void finish_row(const struct sw_panel_product *p, const float *c, float *y)
{
    for (int i = 0; i < p->n_rows; i += 16) {
        const int n = p->n_rows - i < 16 ? p->n_rows - i : 16;
        vec v = v_load(c + i);
        if (p->bias)
            v = v_add(v, v_load_n(p->bias + i, n));
        if (p->add)
            v = v_add(v_load_n(y + i, n), v);
        v_store_n(y + i, v, n);
    }
}

static void panel_product(const struct sw_panel_product *p)
{
    if (p->format == SW_F32)
        product_kind(KIND_F32, p);
    else if (p->format == SW_F16)
        product_kind(KIND_F16, p);
    else
        product_kind(KIND_PAIRS, p);
    for (int64_t r = 0; r < p->n; r++)
        finish_row(p, p->scratch + r * SW_PANEL, p->y + r * p->y_ld);
}

/* Activations for bf16 weights: rounded to bf16, kept as the tile reads them. */
#ifdef DOT
static void prepare_bf16(const float *x, int64_t n, void *out)
{
    uint16_t *to = out;
    for (int64_t i = 0; i < n; i += 16) {
        const int take = n - i < 16 ? (int)(n - i) : 16;
        const __m256i h = (__m256i)_mm512_cvtneps_pbh(v_load_n(x + i, take));
        _mm256_mask_storeu_epi16(to + i, (__mmask16)((1u << ((take + 1) & ~1)) - 1), h);
    }
}
#else
static void prepare_bf16(const float *x, int64_t n, void *out)
{
    float *to = out;
    for (int64_t i = 0; i < n; i++)
        to[i] = sw_bf16_to_f32(sw_f32_to_bf16(x[i]));
    if (n & 1)
        to[n] = 0;
}
#endif

#endif

/*
 * Int8 products before and after their sums: rows of activations made int8, and sums of whole
 * numbers made floats again, with what the outliers add. Included per instruction set, after
 * tile.h. Products and sums of floats are never fused here, so that every instruction set gives the
 * same bits.
 */
#ifndef SW_KERNELS_INT8_H
#define SW_KERNELS_INT8_H

/* The data of each row lie before the elements, which need a quarter of the room. */
static void lay_out_int8(struct sw_prepare *p, void *room)
{
    p->int8.rows = room;
    p->int8.outliers = (uint64_t *)(void *)(p->int8.rows + p->n);
    p->int8.words = (p->cols + 63) / 64;
    char *const end = (char *)(p->int8.outliers + p->n * p->int8.words);
    p->out = (char *)room + ((size_t)(end - (char *)room) + SW_ALIGN - 1) / SW_ALIGN * SW_ALIGN;
}

/* Columns from i on, at most 16 of n. */
ALWAYS_INLINE vec load_16(const float *x, int64_t i, int64_t n)
{
    return n - i < 16 ? v_load_n(x + i, (int)(n - i)) : v_load(x + i);
}

/* Finds a row's outliers and the absmax of the rest. */
static void scan_row(const struct sw_prepare *p, int64_t row)
{
    const float *x = p->x + row * p->x_ld;
    uint64_t *outliers = p->int8.outliers + row * p->int8.words;
    struct sw_int8_row *found = &p->int8.rows[row];
    vec most = v_set(0);
    *found = (struct sw_int8_row){0};
    for (int64_t word = 0; word < p->int8.words; word++) {
        uint64_t bits = 0;
        for (int64_t i = word * 64; i < word * 64 + 64 && i < p->cols; i += 16) {
            uint16_t outside;
            const vec v = load_16(x, i, p->cols);
            most = v_max(most, v_abs(v_within(v, SW_INT8_OUTLIER, &outside)));
            bits |= (uint64_t)outside << (i & 63);
        }
        outliers[word] = bits;
        found->n_outliers += __builtin_popcountll(bits);
    }
    const float absmax = v_largest(most);
    if (absmax < SW_INT8_TINY)
        return;
    found->scale = absmax / 127;
    found->inverse = 127 / absmax;
}

/* The sum of n elements, n a multiple of 16, for the excess of products. */
static inline int32_t sum_of(const int8_t *elements, int64_t n)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += elements[i];
    return sum;
}

/* Columns [col, col + n) of a row that was scanned; out: n rounded up to 16. */
static void quantize(const struct sw_prepare *p, int64_t row, int64_t col, int64_t n, int8_t *out)
{
    const float *x = p->x + row * p->x_ld + col;
    struct sw_int8_row *found = &p->int8.rows[row];
    const vec inverse = v_set(found->inverse);
    int64_t i = 0;
    uint16_t outside;
    for (; i < n; i += 16) {
        const vec v = v_within(load_16(x, i, n), SW_INT8_OUTLIER, &outside);
        v_store_int8(out + i, v_mul(v, inverse));
    }
    if (INT8_EXCESS)
        found->excess += INT8_EXCESS * sum_of(out, i);
}

/* Row `row` as int8; out: (cols rounded up to 16), padded with 0. */
static void prepare_row_int8(const struct sw_prepare *p, int64_t row, void *out)
{
    scan_row(p, row);
    quantize(p, row, 0, p->cols, out);
}

/* What the outliers of row r add to nv vectors of outputs, but for the weights' scales: one after
 * the other, as they come. w: the vectors' weights in step 0. */
ALWAYS_INLINE void add_outliers(int nv, const struct sw_panel_product *p, int64_t r, const char *w,
                                vec *sums)
{
    const struct sw_prepare *in = p->in;
    const uint64_t *outliers = in->int8.outliers + r * in->int8.words;
    const float *x = in->x + r * in->x_ld;
    for (int64_t word = 0; word < in->int8.words; word++)
        for (uint64_t bits = outliers[word]; bits; bits &= bits - 1) {
            const int64_t col = word * 64 + __builtin_ctzll(bits);
            const char *weights = w + col / 4 * 4 * p->width;
            const vec value = v_set(x[col]);
            EACH (v, nv)
                sums[v] =
                    v_add(sums[v], v_mul(value, v_load_int8(weights + v * 64, (int)(col & 3))));
        }
}

/* y of row r from its sums at c: (sums * x_scale + outliers) * scales + bias; n_rows of them, and
 * of a whole panel the vectors without looking at each. */
ALWAYS_INLINE void finish_int8(bool whole, const struct sw_panel_product *p, int64_t r,
                               const float *c, float *y)
{
    const struct sw_int8_row *row = &p->in->int8.rows[r];
    const vec scale = v_set(row->scale);
    const char *weights = p->weights;
    vec outliers[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    if (row->n_outliers && p->width == SW_PANEL)
        add_outliers(4, p, r, weights, outliers);
    else if (row->n_outliers)
        for (int i = 0; i < p->width / 16; i++)
            add_outliers(1, p, r, weights + i * 64, outliers + i);
    EACH (j, 4) {
        const int i = 16 * j, n = whole || p->n_rows - i > 16 ? 16 : p->n_rows - i;
        if (n <= 0)
            break;
        vec v = v_mul(v_of_sums(v_load(c + i), row->excess), scale);
        v = v_mul(v_add(v, outliers[j]), v_load(p->scales + i));
        if (p->bias)
            v = v_add(v, v_load_n(p->bias + i, n));
        if (p->add)
            v = v_add(v_load_n(y + i, n), v);
        v_store_n(y + i, v, n);
    }
}

#endif

/* Matrix products on the CPU: prepares the activations once, then shares out panels of W. */
#include "backend/cpu_internal.h"

#include "base/checked.h"

#include <assert.h>

/* Columns of prepared activations: whole cache lines, and whole units of weights. */
static int64_t matmul_padded(const struct sw_cpu_format *format, int64_t cols)
{
    const int unit = format->packing.elements;
    return (int64_t)sw_round_up((uint64_t)cols, unit > SW_X_COLS ? (uint64_t)unit : SW_X_COLS);
}

struct cpu_product {
    struct sw_cpu *cpu;
    const struct sw_matrix *m;
    const struct sw_cpu_format *format; /* the matrix's */
    const struct sw_cpu_many *many;     /* the way for many rows; NULL: `format` */
    struct sw_panel_product panel;      /* the fields that are the same for all panels */
    struct sw_prepare in;
    const float *bias;
    float *y;
    int64_t n_panels;
    int64_t n_whole; /* the first panels, which are not cut */
    int64_t parts;   /* chunks of each other panel */
};

static int64_t matmul_tiles(const struct cpu_product *p)
{
    const int64_t n = p->in.n;
    return p->many ? (n + p->many->rows - 1) / p->many->rows : sw_tile_count(n);
}

/* Chunks of each tile: there may be fewer tiles than threads. */
static int64_t prepare_parts(const struct cpu_product *p)
{
    const int64_t tiles = matmul_tiles(p);
    return p->many ? (p->cpu->threads + tiles - 1) / tiles : 1;
}

static void prepare_chunk(void *ctx, int64_t chunk, int worker)
{
    const struct cpu_product *p = ctx;
    const int64_t parts = prepare_parts(p);
    (void)worker;
    if (p->many)
        p->many->prepare_tile(&p->in, chunk / parts, chunk % parts, parts);
    else
        p->format->prepare_tile(&p->in, chunk);
}

/* Elements that take one thread less time than it takes to wake others. */
#define PREPARE_ALONE 16384

/* For a GEMV, rows are read in place or made one by one, if the format does; else in tiles, and so
 * are rows to be activated, of which the last ones may be few. */
static void matmul_prepare(struct cpu_product *p)
{
    struct sw_prepare *in = &p->in;
    in->out = p->cpu->x;
    if (p->format->lay_out)
        p->format->lay_out(in, p->cpu->x);
    p->panel.in = in;
    p->panel.x = in->out;
    p->panel.x_ld = 0;
    if (p->many || in->n > SW_GEMV_ROWS || in->activate ||
        (p->format->x_bytes && !p->format->prepare_row)) {
        const bool is_small = in->n * in->cols < PREPARE_ALONE;
        sw_pool_run(is_small ? NULL : p->cpu->pool, prepare_chunk, p,
                    matmul_tiles(p) * prepare_parts(p));
    } else if (p->format->x_bytes) {
        p->panel.x_ld = matmul_padded(p->format, in->cols) / SW_X_COLS * p->format->x_bytes;
        for (int64_t r = 0; r < in->n; r++)
            p->format->prepare_row(in, r, (char *)in->out + r * p->panel.x_ld);
    } else {
        p->panel.x = in->x;
        p->panel.x_ld = in->x_ld * (int64_t)sizeof(float);
    }
}

/* Multiplies tiles [first, end) of the tokens with one panel. */
static void matmul_panel(const struct cpu_product *p, int64_t index, int64_t first, int64_t end,
                         int worker)
{
    struct sw_panel_product panel = p->panel;
    const int64_t row = index * SW_PANEL;
    panel.weights = (const char *)p->m->d_data + sw_panel_offset(p->m->format, panel.cols, index);
    panel.width = sw_panel_width(p->m->rows, index);
    panel.n_rows = p->m->rows - row < SW_PANEL ? (int)(p->m->rows - row) : SW_PANEL;
    panel.first_tile = first;
    panel.end_tile = end;
    const float *scales = sw_matrix_scales(p->m->format, p->m->d_data, p->m->rows, p->m->cols);
    panel.scales = scales ? scales + row : NULL;
    panel.bias = p->bias ? p->bias + row : NULL;
    panel.y = p->y + row;
    panel.scratch = p->cpu->thread_scratch + (int64_t)worker * SW_THREAD_FLOATS;
    if (p->many)
        p->many->product(&panel);
    else
        p->format->product(&panel);
}

/* A chunk is a panel. In a GEMM the last panels are cut, so that the threads finish together. */
static void matmul_chunk(void *ctx, int64_t chunk, int worker)
{
    const struct cpu_product *p = ctx;
    const int64_t n_tiles = matmul_tiles(p);
    if (chunk < p->n_whole) {
        matmul_panel(p, chunk, 0, n_tiles, worker);
    } else {
        const int64_t rest = chunk - p->n_whole, part = rest % p->parts;
        matmul_panel(p, p->n_whole + rest / p->parts, part * n_tiles / p->parts,
                     (part + 1) * n_tiles / p->parts, worker);
    }
}

#define PART_ROWS 96 /* least tokens of a part; with fewer, the weights are read too often */

/* Cuts the panels into chunks; returns the number of chunks. */
static int64_t matmul_cut(struct cpu_product *p)
{
    const int64_t split = p->n_panels < p->cpu->threads ? p->n_panels : p->cpu->threads;
    p->parts = p->cpu->threads > 1 ? p->panel.n / PART_ROWS : 1;
    if (p->parts < 1)
        p->parts = 1;
    p->n_whole = p->n_panels - split;
    return p->n_whole + split * p->parts;
}

/* NULL for work so small that waking the other threads costs more than it saves. */
static struct sw_pool *pool_for(struct sw_cpu *cpu, int64_t multiply_adds)
{
    return multiply_adds < 32768 ? NULL : cpu->pool;
}

/* The way for n rows of many, if there is one. */
static const struct sw_cpu_many *matmul_many(const struct cpu_product *p, int64_t n)
{
    const struct sw_cpu_many *many = p->cpu->many;
    if (!many || p->m->cols < SW_MANY_COLS)
        return NULL;
    many += p->m->format;
    return many->product && n >= many->least ? many : NULL;
}

/* y (+)= act(x) · Wᵀ + bias for n rows; p has the rest. As many rows at once as fit in scratch. */
static void matmul_multiply(struct cpu_product *p, int64_t n, int64_t ld_y)
{
    const struct sw_matrix *m = p->m;
    p->format = &p->cpu->kernels->formats[m->format];
    int64_t most = p->cpu->x_floats / matmul_padded(p->format, m->cols);
    assert(most > 0);
    if (most > SW_PRODUCT_ROWS)
        most = SW_PRODUCT_ROWS;
    p->n_panels = (m->rows + SW_PANEL - 1) / SW_PANEL;
    p->panel.cols = p->in.cols = m->cols;
    p->panel.deep = p->cpu->deep;
    p->panel.table = sw_matrix_table(m->format, m->d_data, m->rows, m->cols);
    p->in.order = m->d_order;
    assert(!m->d_order || (p->format->prepare_tile && !p->format->prepare_row));
    p->panel.y_ld = ld_y;
    for (int64_t row = 0; row < n; row += most) {
        p->panel.n = p->in.n = n - row < most ? n - row : most;
        p->many = matmul_many(p, p->in.n);
        matmul_prepare(p);
        const int64_t n_chunks = matmul_cut(p);
        sw_pool_run(pool_for(p->cpu, p->in.n * m->rows * m->cols), matmul_chunk, p, n_chunks);
        p->in.x += most * p->in.x_ld;
        if (p->in.activated)
            p->in.activated += most * p->in.x_ld;
        p->y += most * ld_y;
    }
}

void sw_cpu_matmul(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                   const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add)
{
    struct cpu_product p = {.cpu = sw_cpu_of(b),
                            .m = m,
                            .panel = {.add = add},
                            .in = {.x = d_x, .x_ld = ld_x},
                            .bias = d_bias,
                            .y = d_y};
    matmul_multiply(&p, n, ld_y);
}

void sw_cpu_activated_matmul(struct sw_backend *b, enum sw_activation kind, bool gated,
                             const struct sw_matrix *m, const float *d_bias, float *d_x,
                             int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add)
{
    const bool fused = n > SW_GEMV_ROWS;
    struct cpu_product p = {.cpu = sw_cpu_of(b),
                            .m = m,
                            .panel = {.add = add},
                            .in = {.x = d_x,
                                   .x_ld = ld_x,
                                   .activate = fused,
                                   .gated = gated,
                                   .activation = kind,
                                   .activated = d_x},
                            .bias = d_bias,
                            .y = d_y};
    if (!fused)
        b->ops->activate(b, kind, gated, d_x, ld_x, n, m->cols, d_x, ld_x);
    matmul_multiply(&p, n, ld_y);
}

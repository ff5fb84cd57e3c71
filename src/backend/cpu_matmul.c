/* Matrix products on the CPU: prepares the activations once, then shares out panels of rows. */
#include "backend/cpu_internal.h"

#include "base/checked.h"

#include <assert.h>

/* Columns of prepared activations: whole cache lines. */
static int64_t padded(int64_t cols)
{
    return (int64_t)sw_round_up((uint64_t)cols, 32);
}

struct product {
    struct sw_cpu *cpu;
    const struct sw_matrix *m;
    struct sw_panel_product panel; /* what all panels have in common */
    const float *bias, *x;
    int64_t x_ld;
    float *y;
    int64_t n_panels, per_chunk;
};

static void prepare_tile(void *ctx, int64_t chunk, int worker)
{
    const struct product *p = ctx;
    (void)worker;
    p->cpu->kernels->prepare_tile(p->m->format, p->x, p->x_ld, p->panel.n, p->m->cols, chunk,
                                  p->cpu->x);
}

/* Few rows are read where they are, or where they have been rounded; more are packed in tiles. */
static void prepare(struct product *p)
{
    struct sw_cpu *cpu = p->cpu;
    const int64_t n = p->panel.n;
    p->panel.x = cpu->x;
    p->panel.x_ld = 0;
    if (n > SW_FEW_ROWS) {
        const bool is_small = n * p->m->cols < 65536;
        sw_pool_run(is_small ? NULL : cpu->pool, prepare_tile, p, sw_tile_count(n));
    } else if (p->m->format == SW_BF16) {
        p->panel.x_ld = (int64_t)padded(p->m->cols) * cpu->kernels->bf16_x_bytes;
        for (int64_t r = 0; r < n; r++)
            cpu->kernels->round_row(p->x + r * p->x_ld, p->m->cols,
                                    (char *)cpu->x + r * p->panel.x_ld);
    } else {
        p->panel.x = p->x;
        p->panel.x_ld = p->x_ld * (int64_t)sizeof(float);
    }
}

static void do_panel(const struct product *p, int64_t chunk, int worker)
{
    struct sw_panel_product panel = p->panel;
    const int64_t row = chunk * SW_PANEL;
    panel.weights = (const char *)p->m->d_data + sw_panel_offset(panel.format, panel.cols, chunk);
    panel.width = sw_panel_width(p->m->rows, chunk);
    panel.n_rows = p->m->rows - row < SW_PANEL ? (int)(p->m->rows - row) : SW_PANEL;
    panel.bias = p->bias ? p->bias + row : NULL;
    panel.y = p->y + row;
    panel.scratch = p->cpu->thread_scratch + (int64_t)worker * SW_THREAD_FLOATS;
    p->cpu->kernels->panel_product(&panel);
}

static void do_panels(void *ctx, int64_t chunk, int worker)
{
    const struct product *p = ctx;
    const int64_t end = (chunk + 1) * p->per_chunk;
    for (int64_t i = chunk * p->per_chunk; i < end && i < p->n_panels; i++)
        do_panel(p, i, worker);
}

/* A few panels in a row: a thread reads long stretches, and what it fetches ahead is its own. */
static int64_t panels_per_chunk(const struct sw_cpu *cpu, int64_t n_panels, int64_t n)
{
    const int64_t share = n_panels / ((n > 64 ? 8 : 16) * cpu->threads);
    return share < 1 ? 1 : share > 4 ? 4 : share;
}

/* Work below which waking the other threads costs more than it brings. */
static struct sw_pool *pool_for(struct sw_cpu *cpu, int64_t multiply_adds)
{
    return multiply_adds < 32768 ? NULL : cpu->pool;
}

void sw_cpu_matmul(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                   const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add)
{
    struct sw_cpu *cpu = sw_cpu_of(b);
    struct product p = {.cpu = cpu, .m = m, .bias = d_bias, .x_ld = ld_x};
    p.panel =
        (struct sw_panel_product){.format = m->format, .cols = m->cols, .y_ld = ld_y, .add = add};
    p.n_panels = (m->rows + SW_PANEL - 1) / SW_PANEL;
    p.per_chunk = panels_per_chunk(cpu, p.n_panels, n);
    int64_t most = cpu->x_floats / padded(m->cols);
    assert(most > 0);
    if (most > SW_PRODUCT_ROWS)
        most = SW_PRODUCT_ROWS;
    for (int64_t row = 0; row < n; row += most) {
        p.panel.n = n - row < most ? n - row : most;
        p.x = d_x + row * ld_x;
        p.y = d_y + row * ld_y;
        prepare(&p);
        sw_pool_run(pool_for(cpu, p.panel.n * m->rows * m->cols), do_panels, &p,
                    (p.n_panels + p.per_chunk - 1) / p.per_chunk);
    }
}

/* Matrix products on the CPU: prepares the activations once, then shares out panels of rows. */
#include "backend/cpu_internal.h"

#include "base/checked.h"

#include <assert.h>

struct product {
    struct sw_cpu *cpu;
    const struct sw_matrix *m;
    struct sw_panel_product panel; /* what all panels have in common */
    const float *bias, *x;
    int64_t x_ld, pad_ld;
    float *y;
};

#define PREPARE_ROWS 8 /* a chunk */

static void prepare(void *ctx, int64_t chunk, int worker)
{
    const struct product *p = ctx;
    const struct sw_kernels *k = p->cpu->kernels;
    const int64_t first = chunk * PREPARE_ROWS;
    (void)worker;
    for (int64_t r = first; r < first + PREPARE_ROWS && r < p->panel.n; r++)
        k->formats[p->m->format].prepare_x(p->x + r * p->x_ld, p->m->cols,
                                           (char *)p->cpu->x +
                                               r * p->pad_ld * k->formats[p->m->format].x_bytes);
}

static void do_panel(void *ctx, int64_t chunk, int worker)
{
    const struct product *p = ctx;
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

/* Work below which waking the other threads costs more than it brings. */
static struct sw_pool *pool_for(struct sw_cpu *cpu, int64_t multiply_adds)
{
    return multiply_adds < 32768 ? NULL : cpu->pool;
}

static void some_rows(struct product *p)
{
    struct sw_cpu *cpu = p->cpu;
    const int64_t n = p->panel.n;
    if (cpu->kernels->formats[p->m->format].x_bytes) {
        sw_pool_run(n < 2 * PREPARE_ROWS ? NULL : cpu->pool, prepare, p,
                    (n + PREPARE_ROWS - 1) / PREPARE_ROWS);
        p->panel.x = cpu->x;
        p->panel.x_ld = p->pad_ld;
    } else {
        p->panel.x = p->x;
        p->panel.x_ld = p->x_ld;
    }
    sw_pool_run(pool_for(cpu, n * p->m->rows * p->m->cols), do_panel, p,
                (p->m->rows + SW_PANEL - 1) / SW_PANEL);
}

void sw_cpu_matmul(struct sw_backend *b, const struct sw_matrix *m, const float *d_bias,
                   const float *d_x, int64_t ld_x, int64_t n, float *d_y, int64_t ld_y, bool add)
{
    struct sw_cpu *cpu = sw_cpu_of(b);
    struct product p = {.cpu = cpu, .m = m, .bias = d_bias, .x_ld = ld_x};
    p.panel =
        (struct sw_panel_product){.format = m->format, .cols = m->cols, .y_ld = ld_y, .add = add};
    p.pad_ld = (int64_t)sw_round_up((uint64_t)m->cols, 32); /* whole cache lines */
    assert(cpu->kernels->formats[m->format].x_bytes == 0 || p.pad_ld <= cpu->x_floats);
    int64_t most = cpu->x_floats / p.pad_ld;
    if (most > SW_PRODUCT_ROWS || !cpu->kernels->formats[m->format].x_bytes)
        most = SW_PRODUCT_ROWS;
    for (int64_t row = 0; row < n; row += most) {
        p.panel.n = n - row < most ? n - row : most;
        p.x = d_x + row * ld_x;
        p.y = d_y + row * ld_y;
        some_rows(&p);
    }
}

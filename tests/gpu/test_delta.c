/* Gated delta nets on a GPU against doubles; the same bits for every cut, and copies that go on. */
#include "backend/delta_case.h"
#include "gpu_help.h"

enum { SLOTS = 3, N = 40 };

struct world {
    struct delta_case c;
    float *d_x, *d_conv, *d_decay, *d_dt, *d_norm, *d_states, *d_out;
};

static struct world make(size_t i)
{
    struct world w = {.c = delta_case_of(i, N)};
    const struct sw_delta_dims *d = &w.c.dims;
    w.d_x = gpu_alloc((size_t)((N + 1) * w.c.ld) * sizeof(float));
    w.d_conv = gpu_floats(w.c.conv, sw_delta_channels(d) * d->window);
    w.d_decay = gpu_floats(w.c.decay, d->v_heads);
    w.d_dt = gpu_floats(w.c.dt, d->v_heads);
    w.d_norm = gpu_floats(w.c.norm, d->v_dim);
    w.d_states = gpu_alloc((size_t)(SLOTS * sw_delta_floats(d)) * sizeof(float));
    w.d_out = gpu_alloc((size_t)((N + 1) * w.c.out_ld) * sizeof(float));
    return w;
}

static void launch(const struct world *w, const struct sw_gpu_span *spans, int n)
{
    const struct sw_delta o =
        delta_of(&w->c, w->d_x, w->d_conv, w->d_decay, w->d_dt, w->d_norm, w->d_out);
    const struct sw_gpu_delta d = {.dims = w->c.dims,
                                   .activation = o.activation,
                                   .eps = o.eps,
                                   .x = o.d_x,
                                   .ld = o.ld,
                                   .q = o.q,
                                   .k = o.k,
                                   .v = o.v,
                                   .z = o.z,
                                   .b = o.b,
                                   .a = o.a,
                                   .k_head = o.k_head,
                                   .v_group = o.v_group,
                                   .v_head = o.v_head,
                                   .gate_group = o.gate_group,
                                   .gate_head = o.gate_head,
                                   .conv = o.d_conv,
                                   .decay = o.d_decay,
                                   .dt = o.d_dt,
                                   .norm = o.d_norm,
                                   .states = w->d_states,
                                   .out = o.d_out,
                                   .out_ld = o.out_ld};
    const struct sw_gpu_batch batch = {gpu_copy(spans, (size_t)n * sizeof *spans), spans, n};
    gpu_ok(sw_gpu_delta_run(&d, &batch, NULL));
}

/* Slot 1's rows in pieces of `step`, beside a row of slot 2; from `copied` on in slot 0. */
static void run(size_t i, int64_t step, bool beside, int64_t copied, float *out)
{
    struct world w = make(i);
    const struct delta_case *c = &w.c;
    const int64_t floats_of = sw_delta_floats(&c->dims);
    int slot = 1;
    for (int64_t at = 0, n; at < N; at += n) {
        n = N - at < step ? N - at : step;
        if (at < copied && at + n > copied)
            n = copied - at;
        if (at == copied) {
            gpu_ok(sw_gpu_copy(w.d_states + floats_of, floats_of, w.d_states, NULL));
            slot = 0;
        }
        gpu_ok(cudaMemcpy(w.d_x, c->x + 2 * c->ld, (size_t)c->ld * sizeof(float),
                          cudaMemcpyHostToDevice));
        gpu_ok(cudaMemcpy(w.d_x + beside * c->ld, c->x + at * c->ld,
                          (size_t)(n * c->ld) * sizeof(float), cudaMemcpyHostToDevice));
        const struct sw_gpu_span spans[] = {{2, 1, at > 0, 0, 0}, {slot, (int)n, at, beside, 0}};
        launch(&w, spans + !beside, 1 + beside);
        gpu_get(out + at * c->out_ld, w.d_out + beside * c->out_ld,
                (size_t)(n * c->out_ld) * sizeof *out);
    }
    delta_case_free(&w.c);
    CU_ASSERT(gpu_free_all());
}

static void any_cut_gives_the_same(void)
{
    static const struct {
        int64_t step;
        bool beside;
        int64_t copied;
    } ways[] = {{N, false, N}, {7, true, N}, {1, true, N}, {25, true, 11}};
    for (size_t i = 0; i < N_DELTA_CASES; i++) {
        struct delta_case c = delta_case_of(i, N);
        const size_t bytes = (size_t)(N * c.out_ld) * sizeof(float);
        float *first = calloc(1, bytes), *out = calloc(1, bytes);
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            run(i, ways[w].step, ways[w].beside, ways[w].copied, w ? out : first);
            int differ = 0;
            for (int64_t r = 0; r < N && w; r++)
                differ += memcmp(first + r * c.out_ld, out + r * c.out_ld,
                                 (size_t)(c.dims.v_heads * c.dims.v_dim) * sizeof *out) != 0;
            CU_ASSERT_EQUAL(differ, 0);
        }
        const double error = delta_error(&c, first, 0, N);
        if (!(error < 1e-4))
            printf("    case %zu: off by %.1e\n", i, error);
        CU_ASSERT(error < 1e-4);
        free(first), free(out);
        delta_case_free(&c);
    }
}

static void gates_are_right(void)
{
    enum { ROWS = 5, HEADS = 3, DIM = 21, LD = 150, HEAD = 45, OUT = HEADS * DIM + 1 };
    float *gates = floats(ROWS * LD, 1), *y = floats(ROWS * OUT, 2), *was = floats(ROWS * OUT, 2);
    float *d_gates = gpu_floats(gates, ROWS * LD), *d_y = gpu_floats(y, ROWS * OUT);
    double worst = 0;
    gpu_ok(sw_gpu_gate(d_gates + 2, LD, HEAD, ROWS, HEADS, DIM, d_y, OUT, NULL));
    gpu_get(y, d_y, ROWS * OUT * sizeof *y);
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < HEADS * DIM; i++) {
            const double by = (double)gates[2 + r * LD + i / DIM * HEAD + i % DIM];
            worst = fmax(worst,
                         fabs((double)y[r * OUT + i] - (double)was[r * OUT + i] / (1 + exp(-by))));
        }
    CU_ASSERT(worst < 1e-6);
    free(gates), free(y), free(was);
    CU_ASSERT(gpu_free_all());
}

SW_UNIT_TESTS({"any cut gives the same", any_cut_gives_the_same},
              {"gates are right", gates_are_right})

/* Gated delta nets on the CPU: against doubles, and the same bits for every cut, beside other
 * slots, with any number of threads; states that are copied go on as the one they are from. */
#include "delta_case.h"

enum { SLOTS = 3, N = DELTA_ROWS_MOST };

/* The case's rows as a sequence of slot 1, in pieces of at most `step` rows, each beside a row of
 * slot 2 where `beside`; from `copied` rows on it goes on in slot 0. out: (N, out_ld) */
static void run(struct sw_backend *b, const struct delta_case *c, int64_t step, bool beside,
                int64_t copied, float *out)
{
    const int64_t floats_of = sw_delta_floats(&c->dims);
    struct sw_delta_states states = {.dims = c->dims, .slots = SLOTS};
    states.d_data = device(b, (size_t)(SLOTS * floats_of) * sizeof(float));
    float *x = malloc((size_t)((N + 1) * c->ld) * sizeof *x);
    float *y = malloc((size_t)((N + 1) * c->out_ld) * sizeof *y);
    int slot = 1;
    for (int64_t at = 0, n; at < c->n; at += n) {
        n = c->n - at < step ? c->n - at : step;
        if (at < copied && at + n > copied)
            n = copied - at;
        if (at == copied) {
            b->ops->delta_copy(b, &states, 1, 0);
            memset(states.d_data + floats_of, 0xff, (size_t)floats_of * sizeof(float));
            slot = 0;
        }
        const struct sw_span spans[] = {{2, at > 0, 0, 1}, {slot, at, beside, n}};
        memcpy(x, c->x + 2 * c->ld, (size_t)c->ld * sizeof *x);
        memcpy(x + beside * c->ld, c->x + at * c->ld, (size_t)(n * c->ld) * sizeof *x);
        const struct sw_delta d = delta_of(c, x, c->conv, c->decay, c->dt, c->norm, y);
        b->ops->delta(b, &d, &states, spans + !beside, 1 + beside);
        memcpy(out + at * c->out_ld, y + beside * c->out_ld, (size_t)(n * c->out_ld) * sizeof *out);
    }
    b->ops->free(b, states.d_data, (size_t)(SLOTS * floats_of) * sizeof(float));
    free(x), free(y);
}

static void any_cut_gives_the_same(void)
{
    static const struct {
        int threads;
        int64_t step;
        bool beside;
        int64_t copied;
    } ways[] = {
        {2, N, false, N}, {1, 1, false, N}, {2, 7, true, N}, {1, 33, true, 40}, {2, 2, false, 1}};
    FOR_EACH_ISA (isa)
        for (size_t i = 0; i < N_DELTA_CASES; i++) {
            struct delta_case c = delta_case_of(i, N);
            const size_t bytes = (size_t)(N * c.out_ld) * sizeof(float);
            float *first = calloc(1, bytes), *out = calloc(1, bytes);
            for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
                struct sw_backend *b = open_cpu(ways[w].threads, isa);
                run(b, &c, ways[w].step, ways[w].beside, ways[w].copied, w ? out : first);
                int differ = 0;
                for (int64_t r = 0; r < N && w; r++)
                    differ += memcmp(first + r * c.out_ld, out + r * c.out_ld,
                                     (size_t)(c.dims.v_heads * c.dims.v_dim) * sizeof *out) != 0;
                CU_ASSERT_EQUAL(differ, 0);
                b->ops->close(b);
            }
            const double error = delta_error(&c, first, 0, N);
            if (!(error < 1e-4))
                printf("    case %zu with %s: off by %.1e\n", i, sw_isa_name(isa), error);
            CU_ASSERT(error < 1e-4);
            free(first), free(out);
            delta_case_free(&c);
        }
}

static void gates_are_right(void)
{
    enum { ROWS = 5, HEADS = 3, DIM = 21, LD = 150, HEAD = 45 };
    FOR_EACH_ISA (isa) {
        struct sw_backend *b = open_cpu(2, isa);
        float *gates = floats(ROWS * LD, 1), *y = floats(ROWS * (HEADS * DIM + 1), 2);
        float *was = floats(ROWS * (HEADS * DIM + 1), 2);
        double worst = 0;
        b->ops->gate(b, gates + 2, LD, HEAD, ROWS, HEADS, DIM, y, HEADS * DIM + 1);
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < HEADS * DIM; i++) {
                const double by = (double)gates[2 + r * LD + i / DIM * HEAD + i % DIM];
                const int64_t at = r * (HEADS * DIM + 1) + i;
                worst = fmax(worst, fabs((double)y[at] - (double)was[at] / (1 + exp(-by))));
            }
        CU_ASSERT(worst < 1e-6);
        b->ops->close(b);
        free(gates), free(y), free(was);
    }
}

SW_UNIT_TESTS({"any cut gives the same", any_cut_gives_the_same},
              {"gates are right", gates_are_right})

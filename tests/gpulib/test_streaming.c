/*
 * Streaming through two buffers: while one is used the next is copied. On the simulated GPU
 * operations of different streams run at any time they may (SIMGPU_DELAY makes it often late), so a
 * missing wait gives other numbers.
 */
#include "gpulib_help.h"

#include <simgpu.h>

#define LAYERS 12
#define DIM 96

static const struct sw_gpu_options options = {.max_rows = 4, .max_cols = DIM, .max_out = DIM};

/* A buffer; what filled it was its first use. */
static void *buffer(struct sw_backend *b, int index, size_t bytes)
{
    void *d = room(b, bytes);
    ok(b->gpu->used(b, index));
    return d;
}

/* The work of a layer: x += its vector, many times, so that it takes a while. */
static void use(struct sw_backend *b, const float *d_layer, float *d_x)
{
    for (int i = 0; i < 4; i++)
        b->ops->add(b, 1, d_layer, DIM, 1, DIM, d_x, DIM);
}

static void buffers_are_not_mixed_up(void)
{
    struct sw_backend *b = open_gpu_as(&options);
    const struct sw_gpu_ops *ops = b->gpu;
    const size_t bytes = DIM * sizeof(float);
    float *layers = floats(LAYERS * DIM, 1), x[DIM] = {0}, y[DIM];
    float *d_buffers[2] = {buffer(b, 0, bytes), buffer(b, 1, bytes)};
    float *pinned = aligned_alloc(4096, 8192);
    for (int round = 0; round < 20; round++) {
        const bool pin = round % 2;
        float *d_x = copied_floats(b, x, DIM);
        double want[DIM] = {0};
        float *from = layers;
        if (pin) {
            memcpy(pinned, layers, LAYERS * bytes);
            ok(ops->pin(b, pinned, 8192));
            from = pinned;
        }
        for (int i = 0; i < 2; i++)
            ok(ops->fetch(b, i, d_buffers[i], from + i * DIM, bytes));
        for (int i = 0; i < LAYERS; i++) {
            ok(ops->fetched(b, i % 2));
            use(b, d_buffers[i % 2], d_x);
            ok(ops->used(b, i % 2));
            if (i + 2 < LAYERS)
                ok(ops->fetch(b, i % 2, d_buffers[i % 2], from + (i + 2) * DIM, bytes));
            for (int c = 0; c < DIM; c++)
                want[c] += 4 * (double)layers[i * DIM + c];
        }
        ok(b->ops->download(b, y, d_x, sizeof y));
        CU_ASSERT(largest_error(y, want, DIM) < 1e-4);
        b->ops->free(b, d_x, sizeof x);
        if (pin)
            ops->unpin(b, pinned);
    }
    for (int i = 0; i < 2; i++)
        b->ops->free(b, d_buffers[i], bytes);
    free(pinned), free(layers);
    b->ops->close(b);
}

/* A matrix as the CPU packed it goes through a buffer and is multiplied by as if it were here. */
static void packed_matrices_pass(void)
{
    const int64_t rows = 80, cols = DIM, n = 3;
    struct sw_backend *b = open_gpu_as(&options), *cpu = open_cpu(1, SW_ISA_PORTABLE);
    const struct sw_gpu_ops *ops = b->gpu;
    float *x = floats(n * cols, 2), table[SW_TABLE_LEN];
    FOR_EACH_KIND_OF_FORMAT(format)
    {
        const size_t bytes = sw_matrix_bytes((enum sw_format_id)format, rows, cols);
        struct sw_matrix packed[3],
            own = {(enum sw_format_id)format, rows, cols, room(b, bytes), NULL};
        char *d_buffers[2] = {buffer(b, 0, bytes), buffer(b, 1, bytes)};
        float *d_x = copied_floats(b, x, n * cols), *d_y[3];
        for (int i = 0; i < 3; i++) {
            float *w = floats(rows * cols, 3 + (uint64_t)i);
            packed[i] = matrix(cpu, (enum sw_format_id)format, rows, cols, w);
            matrix_table(cpu, &packed[i], table);
            d_y[i] = room(b, (size_t)(n * rows) * sizeof(float));
            free(w);
        }
        for (int i = 0; i < 2; i++)
            ok(ops->fetch(b, i, d_buffers[i], packed[i].d_data, bytes));
        for (int i = 0; i < 3; i++) {
            ok(ops->fetched(b, i % 2));
            ok(ops->unpack(b, d_buffers[i % 2], &own));
            ok(ops->used(b, i % 2)); /* the packed form is no longer needed */
            if (i == 0)
                ok(ops->fetch(b, 0, d_buffers[0], packed[2].d_data, bytes));
            b->ops->matmul(b, &own, NULL, d_x, cols, n, d_y[i], rows, false);
        }
        for (int i = 0; i < 3; i++) {
            float *w = floats(rows * cols, 3 + (uint64_t)i);
            struct sw_matrix here = matrix(b, (enum sw_format_id)format, rows, cols, w);
            matrix_table(b, &here, table);
            float *d_want = room(b, (size_t)(n * rows) * sizeof(float));
            b->ops->matmul(b, &here, NULL, d_x, cols, n, d_want, rows, false);
            float *want = taken(b, d_want, n * rows), *got = taken(b, d_y[i], n * rows);
            CU_ASSERT(memcmp(want, got, (size_t)(n * rows) * sizeof *got) == 0);
            matrix_free(b, &here);
            matrix_free(cpu, &packed[i]);
            free(w), free(want), free(got);
        }
        b->ops->free(b, d_x, (size_t)(n * cols) * sizeof *d_x);
        for (int i = 0; i < 2; i++)
            b->ops->free(b, d_buffers[i], bytes);
        matrix_free(b, &own);
    }
    free(x);
    cpu->ops->close(cpu);
    b->ops->close(b);
}

/* Memory that cannot be pinned is no failure of the backend's, and is copied nevertheless. */
static void a_refused_pin_does_no_harm(void)
{
    struct sw_backend *b = open_gpu_as(&options);
    const struct sw_gpu_ops *ops = b->gpu;
    float *x = floats(DIM, 4), y[DIM], *d_x = buffer(b, 0, sizeof y);
    simgpu_fail("cudaHostRegister", 1, cudaErrorMemoryAllocation);
    CU_ASSERT_EQUAL(ops->pin(b, x, sizeof y), SW_ENOMEM);
    CU_ASSERT(strstr(sw_error_message(), "as much that stays in place") != NULL);
    ok(ops->fetch(b, 0, d_x, x, sizeof y));
    ok(ops->fetched(b, 0));
    ok(b->ops->download(b, y, d_x, sizeof y));
    CU_ASSERT(memcmp(x, y, sizeof y) == 0);
    b->ops->free(b, d_x, sizeof y);
    free(x);
    b->ops->close(b);
}

static void what_is_not_finite_is_named(void)
{
    struct sw_backend *b = open_gpu_as(&options);
    const struct sw_gpu_ops *ops = b->gpu;
    float *x = floats(3 * DIM, 5);
    x[2 * DIM - 1] = NAN; /* between rows of DIM - 1 */
    float *d_x = copied_floats(b, x, 3 * DIM);
    ok(ops->check_finite(b, d_x, DIM, 3, DIM - 1, "layer 7"));
    CU_ASSERT_EQUAL(ops->check_finite(b, d_x, DIM, 3, DIM, "layer 7"), SW_EDEVICE);
    CU_ASSERT(strstr(sw_error_message(), "layer 7 has values that are not finite") != NULL);
    ok(ops->check_finite(b, d_x, DIM, 1, DIM, "layer 8")); /* and goes on */
    b->ops->free(b, d_x, 3 * DIM * sizeof *x);
    free(x);
    b->ops->close(b);
}

static void speeds_are_measured(void)
{
    struct sw_gpu_speeds speeds;
    const unsigned long alike = simgpu_calls("product of one number"); /* that looks too fast */
    ok(gpu_library()->measure(0, &speeds));
    CU_ASSERT(speeds.bandwidth > 0 && speeds.flops > 0 && speeds.to_device > 0 &&
              speeds.launch > 0);
    CU_ASSERT_EQUAL(simgpu_used(0), 0);
    CU_ASSERT_EQUAL(simgpu_calls("product of one number"), alike);
}

SW_UNIT_TESTS({"buffers are not mixed up", buffers_are_not_mixed_up},
              {"packed matrices pass", packed_matrices_pass},
              {"a refused pin does no harm", a_refused_pin_does_no_harm},
              {"what is not finite is named", what_is_not_finite_is_named},
              {"speeds are measured", speeds_are_measured})

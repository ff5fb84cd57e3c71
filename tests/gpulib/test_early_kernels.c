/*
 * Kernels that begin before the previous one has ended: on GPUs of 9.0 all but a few do, unless
 * that is ruled out (SPILLWAY_EARLY=0); on older ones none does. Run for each.
 */
#include "gpulib_help.h"

#include <simgpu.h>

enum { N = 64, TIMES = 20 };

static void can_be_ruled_out(void)
{
    const char *arch = getenv("SIMGPU_ARCH"), *early = getenv("SPILLWAY_EARLY");
    const bool may = arch && atoi(arch) >= 90 && !(early && strcmp(early, "0") == 0);
    float x[N], y[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)i;
    struct sw_backend *b = open_gpu(0);
    float *d_x = copied_floats(b, x, N), *d_y = copied_floats(b, x, N);
    const unsigned long before = simgpu_calls("early launch");
    for (int i = 0; i < TIMES; i++)
        b->ops->add(b, 1, d_x, N, 1, N, d_y, N);
    ok(b->ops->download(b, y, d_y, sizeof y));
    CU_ASSERT_EQUAL(simgpu_calls("early launch") - before, may ? TIMES : 0);
    CU_ASSERT_EQUAL(y[N - 1], (N - 1) * (TIMES + 1));
    b->ops->free(b, d_x, sizeof x);
    b->ops->free(b, d_y, sizeof x);
    b->ops->close(b);
}

SW_UNIT_TESTS({"can be ruled out", can_be_ruled_out})

/* Threads of blocks: their places, barriers, warp operations, atomics, shared memory. */
#include "simgpu/child.h"
#include "simgpu/sim_kernels.h"

#include <math.h>

enum { MANY = 3000 };

static void sums(void)
{
    static float x[MANY];
    for (int i = 0; i < MANY; i++)
        x[i] = (float)((i * 7919) % 1000) / 8; /* exact sums */
    float *d_x = to_device(x, sizeof x), *d_out = to_device(NULL, 8 * sizeof(float));
    static const int shapes[][3] = {{1, 1, 32}, {MANY, 1, 1024}, {777, 8, 96}, {MANY, 5, 256}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        float got[8];
        double sum = 0, total = 0;
        NEED_CUDA(test_sum(d_x, shapes[s][0], d_out, shapes[s][1], shapes[s][2], NULL));
        from_device(got, d_out, sizeof got);
        for (int i = 0; i < shapes[s][0]; i++)
            sum += (double)x[i];
        for (int b = 0; b < shapes[s][1]; b++)
            total += (double)got[b];
        NEED(sum == total);
    }
}

static void reversed(void)
{
    static int x[MANY], y[MANY];
    for (int i = 0; i < MANY; i++)
        x[i] = i;
    int *d_x = to_device(x, sizeof x), *d_y = to_device(NULL, sizeof y);
    NEED_CUDA(test_reverse(d_x, d_y, 20, 150, NULL));
    from_device(y, d_y, sizeof y);
    for (int i = 0; i < MANY; i++)
        NEED(y[i] == i / 150 * 150 + 149 - i % 150);
}

static void counted(void)
{
    static int x[MANY], counts[10];
    for (int i = 0; i < MANY; i++)
        x[i] = i * i % 10;
    int highest = 0;
    unsigned tickets = 0;
    int *d_x = to_device(x, sizeof x), *d_counts = to_device(counts, sizeof counts);
    int *d_highest = to_device(&highest, sizeof highest);
    unsigned *d_tickets = to_device(&tickets, sizeof tickets);
    NEED_CUDA(test_count(d_x, MANY, d_counts, d_highest, d_tickets, NULL));
    from_device(counts, d_counts, sizeof counts);
    from_device(&highest, d_highest, sizeof highest);
    from_device(&tickets, d_tickets, sizeof tickets);
    NEED(highest == 9 && tickets == 0);
    for (int i = 0; i < MANY; i++)
        counts[x[i]]--;
    for (int v = 0; v < 10; v++)
        NEED(counts[v] == 0);
}

/* The shuffles as the programming guide describes them. */
static void warp_with_width(int width)
{
    int out[32][TEST_WARP_VALUES];
    int *d_out = to_device(NULL, sizeof out);
    NEED_CUDA(test_warp(d_out, width, 32, NULL));
    from_device(out, d_out, sizeof out);
    for (int me = 0; me < 32; me++) {
        const int first = me / width * width, at = me % width;
        NEED(out[me][0] == first + 3 % width);
        NEED(out[me][1] == ((me ^ 5) / width <= me / width ? (me ^ 5) : me));
        NEED(out[me][2] == (at + 2 < width ? me + 2 : me));
        NEED(out[me][3] == (at - 2 >= 0 ? me - 2 : me));
        NEED((unsigned)out[me][4] == 0x49249249u);
        NEED(out[me][5] == 3);
        const int other = 31 - me;
        NEED(out[me][6] == (me & 16 ? me ^ 8 : (me ^ 1) + (me ^ 2)));
        NEED(out[me][7] == (other & 16 ? other ^ 8 : (other ^ 1) + (other ^ 2)));
    }
}

static void warps(void)
{
    warp_with_width(32);
    warp_with_width(16);
    warp_with_width(8);
    warp_with_width(4);
}

static void voted(void)
{
    int out[70];
    int *d_out = to_device(NULL, sizeof out);
    NEED_CUDA(test_votes(d_out, 70, NULL));
    from_device(out, d_out, sizeof out);
    for (int i = 0; i < 70; i++)
        NEED(out[i] == 24 * 4 + 2);
    NEED_CUDA(test_votes(d_out, 1, NULL));
    from_device(out, d_out, sizeof out);
    NEED(out[0] == 4 + 2 + 1 && out[1] == 24 * 4 + 2);
}

static uint16_t half_of_integer(int x) /* |x| < 2048, exact */
{
    if (x == 0)
        return 0;
    const int size = x < 0 ? -x : x, exponent = ilogb(size);
    return (uint16_t)((x < 0) << 15 | (exponent + 15) << 10 | (size << (10 - exponent) & 1023));
}

static void multiplied_by_warps(void)
{
    static uint16_t a[16][16], b[16][8];
    static float c[16][8], got[16][8];
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            a[i][j] = half_of_integer((i * 37 + j * 11) % 41 - 20);
            b[i][j % 8] = half_of_integer((i * 5 + j % 8 * 29) % 23 - 11);
            c[i][j % 8] = (float)(1000 * i + j % 8);
        }
    /* What one product adds to a large sum is cut off, not rounded. */
    c[15][7] = 0x1p24f;
    const uint16_t *d_a = to_device(a, sizeof a), *d_b = to_device(b, sizeof b);
    float *d_c = to_device(c, sizeof c);
    NEED_CUDA(test_product(d_a, d_b, d_c, true, NULL));
    from_device(got, d_c, sizeof got);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            double sum = (double)c[i][j];
            for (int k = 0; k < 16; k++)
                sum += ((i * 37 + k * 11) % 41 - 20) * ((k * 5 + j * 29) % 23 - 11);
            NEED(i == 15 && j == 7 ? fabs((double)got[i][j] - sum) <= 2 : (double)got[i][j] == sum);
        }
    a[0][0] = half_of_integer(1), b[0][0] = half_of_integer(1), c[0][0] = 0x1.fffffep24f;
    for (int k = 1; k < 16; k++)
        a[0][k] = 0;
    d_a = to_device(a, sizeof a), d_b = to_device(b, sizeof b), d_c = to_device(c, sizeof c);
    NEED_CUDA(test_product(d_a, d_b, d_c, true, NULL));
    from_device(got, d_c, sizeof got);
    NEED(got[0][0] == 0x1.fffffep24f); /* half a unit more: rounded it would be 2^25 */
}

static void multiplied_by_some(void)
{
    uint16_t *d = to_device(NULL, 16 * 16 * sizeof(uint16_t));
    float *d_c = to_device(NULL, 16 * 8 * sizeof(float));
    NEED_CUDA(test_product(d, d, d_c, false, NULL));
    NEED_CUDA(cudaDeviceSynchronize());
}

static void placed(void)
{
    static int out[2 * 3 * 2][4 * 3 * 3][6];
    const dim3 grid = {2, 3, 2}, block = {4, 3, 3};
    int *d_out = to_device(NULL, sizeof out);
    NEED_CUDA(test_places(d_out, grid, block, NULL));
    from_device(out, d_out, sizeof out);
    for (int b = 0; b < 12; b++)
        for (int t = 0; t < 36; t++) {
            const int place[6] = {b % 2, b / 2 % 3, b / 6, t % 4, t / 4 % 3, t / 12};
            NEED(memcmp(place, out[b][t], sizeof place) == 0);
        }
}

/* Nearest even by the definition, in double; NaN apart. */
static double nearest_half(double x)
{
    if (x == 0)
        return x;
    int exponent = ilogb(x);
    if (exponent < -14)
        exponent = -14;
    const double unit = ldexp(1, exponent - 10), rounded = nearbyint(x / unit) * unit;
    return fabs(rounded) > 65504 ? copysign(INFINITY, x) : rounded;
}

static void halves(void)
{
    enum { N = 60000 };
    static float x[N], z[65536];
    static uint16_t y[N];
    for (int i = 0; i < N; i++) {
        const uint32_t bits = (uint32_t)i * 71583u; /* all exponents */
        memcpy(&x[i], &bits, sizeof bits);
    }
    const float edges[] = {65504,        65519.996f,   65520,      -65536,     0x1p-24f,
                           0x1p-25f,     0x1.002p-25f, 0x1.8p-24f, 0x1.004p0f, 0x1.006p0f,
                           0x1.ffep-15f, 0x1.fffp-15f, -0.0f};
    memcpy(x, edges, sizeof edges);
    float *d_x = to_device(x, sizeof x), *d_z = to_device(NULL, sizeof z);
    uint16_t *d_y = to_device(NULL, sizeof y);
    NEED_CUDA(test_halves(d_x, d_y, N, d_z, NULL));
    from_device(y, d_y, sizeof y);
    from_device(z, d_z, sizeof z);
    for (int h = 0; h < 65536; h++) {
        const int exponent = h >> 10 & 31, mantissa = h & 1023;
        double value = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        if (exponent == 31)
            value = mantissa ? (double)NAN : (double)INFINITY;
        if (h >> 15)
            value = -value;
        NEED(isnan(value) ? isnan(z[h]) : (double)z[h] == value);
        NEED(isnan(value) || !signbit(z[h]) == !(h >> 15));
    }
    for (int i = 0; i < N; i++) {
        if (isnan(x[i]))
            NEED(isnan(z[y[i]]));
        else
            NEED((double)z[y[i]] == nearest_half((double)x[i]) && !signbit(x[i]) == !(y[i] >> 15));
    }
}

static void unwritten(void)
{
    int clear[3] = {0, 0, 0};
    int *d_clear = to_device(clear, sizeof clear);
    NEED_CUDA(test_unwritten(d_clear, 5, NULL));
    from_device(clear, d_clear, sizeof clear);
    NEED(clear[0] == 0);
    NEED(clear[1] == 0);
    NEED(clear[2] == 0);
}

#ifdef __SANITIZE_THREAD__ /* which is slow, and sees what has no order, whatever the order was */
enum { SEEDS = 2 };
#else
enum { SEEDS = 6 };
#endif

static void right_in_any_order(void)
{
    void (*const bodies[])(void) = {sums,   reversed,           counted, warps, voted,
                                    placed, multiplied_by_warps};
    for (int seed = 1; seed <= SEEDS; seed++) {
        char settings[64];
        snprintf(settings, sizeof settings, "SIMGPU_SEED=%d", seed);
        for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
            expect_right(bodies[i], settings);
    }
}

static void half_conversions(void)
{
    expect_right(halves, "");
}

static void shared_memory_is_never_clean(void)
{
    expect_right(unwritten, "");
}

/* A block reads its neighbour's value without a barrier: some order must show it. */
static void reads_too_early(void)
{
    enum { N = 128 };
    int x[N], y[N];
    for (int i = 0; i < N; i++)
        x[i] = i;
    int *d_x = to_device(x, sizeof x), *d_y = to_device(NULL, sizeof y);
    NEED_CUDA(test_no_barrier(d_x, d_y, N, NULL));
    from_device(y, d_y, sizeof y);
    for (int i = 0; i < N; i++)
        NEED(y[i] == N - 1 - i);
}

static void a_missing_barrier_shows(void)
{
    for (int seed = 1; seed <= 4; seed++) {
        char settings[64];
        snprintf(settings, sizeof settings, "SIMGPU_SEED=%d", seed);
        expect_death(reads_too_early, settings, "not so: y[i] == N - 1 - i", NULL);
    }
}

static void a_product_wants_the_whole_warp(void)
{
    expect_death(multiplied_by_some, "", "kernel product", "wrong mask ffffffff");
}

static void configurations(void)
{
    int *d_y = to_device(NULL, sizeof(int));
    NEED(test_big_launch(d_y, 1025, 0, NULL) == cudaErrorInvalidConfiguration);
    NEED(test_big_launch(d_y, 0, 0, NULL) == cudaErrorInvalidConfiguration);
    NEED(test_big_launch(d_y, 32, 50000, NULL) == cudaErrorInvalidValue);
    NEED(test_allow_shared(64 << 10) == cudaSuccess);
    NEED(test_big_launch(d_y, 32, 50000, NULL) == cudaSuccess);
    NEED(test_big_launch(d_y, 32, 65 << 10, NULL) == cudaErrorInvalidValue);
    NEED(test_allow_shared(65 << 10) == cudaErrorInvalidValue); /* Turing has 64 KiB */
    NEED(cudaGetLastError() == cudaErrorInvalidValue);
    NEED(test_big_launch(d_y, 1024, 0, NULL) == cudaSuccess);
}

static void launches_are_checked(void)
{
    expect_right(configurations, "SIMGPU_ARCH=75");
}

SW_UNIT_TESTS({"right in any order", right_in_any_order}, {"half conversions", half_conversions},
              {"shared memory is never clean", shared_memory_is_never_clean},
              {"a missing barrier shows", a_missing_barrier_shows},
              {"a product wants the whole warp", a_product_wants_the_whole_warp},
              {"launches are checked", launches_are_checked})

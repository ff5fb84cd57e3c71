/*
 * Measures how many elements a second one thread makes of each format, from values of each type, in
 * the thread's own time. Not a test.
 *
 *     measure_encode [FORMAT]
 */
#include "tensor/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLS 4096
#define ROWS 16 /* all of it stays in the caches */
#define SLICES 5
#define SLICE_SECONDS 0.03

static const struct sw_format *const all[] = {
#define X(id, name) &sw_format_##name,
    SW_FORMATS(X)
#undef X
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* About normal, as weights are. */
static float value_of(uint32_t *state)
{
    int32_t sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 1664525u + 1013904223u;
        sum += (int32_t)(*state >> 16) - 32768;
    }
    return (float)sum * 0x1p-22f;
}

static void fill(enum sw_dtype dtype, char *data)
{
    uint32_t state = 1;
    for (int i = 0; i < ROWS * COLS; i++) {
        const float value = value_of(&state);
        const uint16_t half = dtype == SW_F16 ? sw_f32_to_f16(value) : sw_f32_to_bf16(value);
        if (dtype == SW_F32)
            memcpy(data + 4 * i, &value, sizeof value);
        else
            memcpy(data + 2 * i, &half, sizeof half);
    }
}

/* Elements a second; the best slice, since other work on the machine only takes away. */
static double speed_of(const struct sw_format *f, enum sw_dtype dtype, const char *data, char *out)
{
    const int64_t step = sw_values_step(dtype, NULL, COLS);
    double best = 0;
    for (int slice = 0; slice < SLICES; slice++) {
        const double begin = seconds_now();
        double past, elements = 0;
        do {
            for (int row = 0; row < ROWS; row++) {
                const struct sw_values values = {data + row * step, dtype, COLS, 1, NULL};
                float scale;
                sw_format_encode_row(f, &values, out, &scale);
            }
            elements += ROWS * COLS;
            past = seconds_now() - begin;
        } while (past < SLICE_SECONDS);
        best = elements / past > best ? elements / past : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static const enum sw_dtype sources[] = {SW_F32, SW_F16, SW_BF16};
    static char data[sizeof(float) * ROWS * COLS], out[sizeof(double) * COLS];
    printf("million elements a second, one thread\n%-8s %8s %8s %8s\n", "", "f32", "f16", "bf16");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!all[i]->encode || (argc > 1 && strcmp(argv[1], all[i]->name) != 0))
            continue;
        printf("%-8s", all[i]->name);
        for (size_t s = 0; s < sizeof sources / sizeof sources[0]; s++) {
            fill(sources[s], data);
            printf(" %8.0f", speed_of(all[i], sources[s], data, out) / 1e6);
        }
        printf("\n");
    }
    return 0;
}

/* Rows of values that are hard to keep in few bits, for tests of weight formats. */
#ifndef SW_TESTS_HARD_VALUES_H
#define SW_TESTS_HARD_VALUES_H

#include "tensor/format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 77  /* two panels, the last one short and padded */
#define COLS 301 /* more than a piece; neither pairs nor fours */

/* Values of all sizes, and rows that are hard: 0, nearly 0, ties of int8, infinity, NaN. */
static inline float hard_value(int row, int col)
{
    const uint32_t noise = (uint32_t)(row * COLS + col) * 2654435761u;
    const float value = (float)((int32_t)(noise >> 8) - (1 << 23)) * 0x1p-21f;
    if (row == 3)
        return 0;
    if (row == 5)
        return value * 0x1p-110f;
    if (row == 7)
        return col == 0 ? 127 : (float)(col % 128) + 0.5f;
    if (row == 11 && col == 300)
        return -INFINITY;
    if (row == 13 && col == 256)
        return NAN;
    return row % 4 == 2 ? value * 0x1p-12f : value;
}

/* (ROWS, COLS) elements of a type; transposed: (COLS, ROWS). The caller frees. */
static inline char *hard_values(enum sw_dtype dtype, bool transposed)
{
    const size_t size = sw_dtype_info(dtype)->bits / 8;
    char *all = malloc(ROWS * COLS * size);
    for (int row = 0; row < ROWS; row++)
        for (int col = 0; col < COLS; col++) {
            const float value = hard_value(row, col);
            const double wide = (double)value;
            const uint16_t half = dtype == SW_F16 ? sw_f32_to_f16(value) : sw_f32_to_bf16(value);
            const void *from = dtype == SW_F32   ? (const void *)&value
                               : dtype == SW_F64 ? (const void *)&wide
                                                 : (const void *)&half;
            const int at = transposed ? col * ROWS + row : row * COLS + col;
            memcpy(all + (size_t)at * size, from, size);
        }
    return all;
}

/* As a file may bring them. */
static inline float another_number(int i)
{
    return (float)((i * 193 + 71) % 256 - 100) * (i % 3 ? 0.0137f : 11.5f);
}

/* Row `row` of what hard_values made. */
static inline struct sw_values values_row(const char *values, enum sw_dtype dtype, bool transposed,
                                          int row)
{
    const size_t size = sw_dtype_info(dtype)->bits / 8;
    const size_t at = (size_t)row * (transposed ? 1 : COLS) * size;
    return (struct sw_values){values + at, dtype, COLS, transposed ? ROWS : 1, NULL};
}

#endif

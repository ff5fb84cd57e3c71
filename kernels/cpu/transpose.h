/*
 * Transposes elements of 2 or 4 bytes: rows of them become columns. With the vectors that every
 * x86-64 has; elsewhere, and at the edges, one by one.
 */
#ifndef SW_KERNELS_TRANSPOSE_H
#define SW_KERNELS_TRANSPOSE_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>

#define TRANSPOSE_2 8 /* elements of 2 bytes on a side of a square */
#define TRANSPOSE_4 4

static inline __m128i transpose_load(const char *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}

static inline void transpose_store(char *to, __m128i x)
{
    _mm_storeu_si128((__m128i *)(void *)to, x);
}

/* Rows are `from_step` bytes apart and become columns; `to_step`: from one row there to the next.
 */
static inline void transpose_square_4(const char *from, int64_t from_step, char *to,
                                      int64_t to_step)
{
    const __m128i a = transpose_load(from), b = transpose_load(from + from_step);
    const __m128i c = transpose_load(from + 2 * from_step),
                  d = transpose_load(from + 3 * from_step);
    const __m128i ab0 = _mm_unpacklo_epi32(a, b), ab2 = _mm_unpackhi_epi32(a, b);
    const __m128i cd0 = _mm_unpacklo_epi32(c, d), cd2 = _mm_unpackhi_epi32(c, d);
    transpose_store(to, _mm_unpacklo_epi64(ab0, cd0));
    transpose_store(to + to_step, _mm_unpackhi_epi64(ab0, cd0));
    transpose_store(to + 2 * to_step, _mm_unpacklo_epi64(ab2, cd2));
    transpose_store(to + 3 * to_step, _mm_unpackhi_epi64(ab2, cd2));
}

static inline void transpose_square_2(const char *from, int64_t from_step, char *to,
                                      int64_t to_step)
{
    __m128i pairs[8], fours[8]; /* of rows: of columns 0 to 3 and 4 to 7; 0, 1; 2, 3; … */
    for (int i = 0; i < 4; i++) {
        const __m128i a = transpose_load(from + 2 * i * from_step);
        const __m128i b = transpose_load(from + (2 * i + 1) * from_step);
        pairs[2 * i] = _mm_unpacklo_epi16(a, b);
        pairs[2 * i + 1] = _mm_unpackhi_epi16(a, b);
    }
    for (int half = 0; half < 2; half++) /* rows 0 to 3, 4 to 7 */
        for (int i = 0; i < 2; i++) {
            const __m128i a = pairs[4 * half + i], b = pairs[4 * half + i + 2];
            fours[4 * half + 2 * i] = _mm_unpacklo_epi32(a, b);
            fours[4 * half + 2 * i + 1] = _mm_unpackhi_epi32(a, b);
        }
    for (int i = 0; i < 4; i++) {
        transpose_store(to + 2 * i * to_step, _mm_unpacklo_epi64(fours[i], fours[i + 4]));
        transpose_store(to + (2 * i + 1) * to_step, _mm_unpackhi_epi64(fours[i], fours[i + 4]));
    }
}
#else
#define TRANSPOSE_2 1
#define TRANSPOSE_4 1

static inline void transpose_square_4(const char *from, int64_t from_step, char *to,
                                      int64_t to_step)
{
    (void)from_step, (void)to_step;
    memcpy(to, from, 4);
}

static inline void transpose_square_2(const char *from, int64_t from_step, char *to,
                                      int64_t to_step)
{
    (void)from_step, (void)to_step;
    memcpy(to, from, 2);
}
#endif

/* One row to one column. */
static inline void transpose_row(const char *from, int64_t from_step, char *to, int64_t to_step,
                                 int64_t n, int bytes)
{
    if (bytes == 4)
        for (int64_t i = 0; i < n; i++, from += from_step, to += to_step)
            memcpy(to, from, 4);
    else
        for (int64_t i = 0; i < n; i++, from += from_step, to += to_step)
            memcpy(to, from, 2);
}

/*
 * (n_rows, n_cols) elements of `bytes` bytes, rows from_step bytes apart, to (n_cols, n_rows), rows
 * to_step bytes apart.
 */
static inline void transpose(const char *from, int64_t from_step, char *to, int64_t to_step,
                             int64_t n_rows, int64_t n_cols, int bytes)
{
    const int64_t side = bytes == 4 ? TRANSPOSE_4 : TRANSPOSE_2;
    const int64_t rows = n_rows - n_rows % side, cols = n_cols - n_cols % side;
    for (int64_t row = 0; row < rows; row += side)
        for (int64_t col = 0; col < cols; col += side) {
            const char *const square = from + row * from_step + col * bytes;
            char *const place = to + col * to_step + row * bytes;
            if (bytes == 4)
                transpose_square_4(square, from_step, place, to_step);
            else
                transpose_square_2(square, from_step, place, to_step);
        }
    for (int64_t row = 0; row < rows; row++)
        transpose_row(from + row * from_step + cols * bytes, bytes,
                      to + cols * to_step + row * bytes, to_step, n_cols - cols, bytes);
    for (int64_t row = rows; row < n_rows; row++)
        transpose_row(from + row * from_step, bytes, to + row * bytes, to_step, n_cols, bytes);
}
#endif

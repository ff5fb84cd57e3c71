/* Kernels for the simulated GPU's own tests, right ones and ones with a fault. */
#ifndef SIMGPU_TESTS_KERNELS_H
#define SIMGPU_TESTS_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out[block] = sum of n values, blocks of `threads`: shared memory and shuffles. */
cudaError_t test_sum(const float *x, int n, float *out, int blocks, int threads, cudaStream_t s);
/* By one block, not launched so that it may begin early. */
cudaError_t test_sum_in_order(const float *x, int n, float *out, cudaStream_t s);
/* y[i] = x[n - 1 - i] within each block, by way of dynamic shared memory. */
cudaError_t test_reverse(const int *x, int *y, int blocks, int threads, cudaStream_t s);
/* counts[v] = how often v occurs in x; highest[0] the largest; tickets[0] blocks mod blocks. */
cudaError_t test_count(const int *x, int n, int *counts, int *highest, unsigned *tickets,
                       cudaStream_t s);
/* out (n, 8) of each thread: shuffles and votes of every kind. */
#define TEST_WARP_VALUES 8
cudaError_t test_warp(int *out, int width, int threads, cudaStream_t s);
/* out (threads): the barrier's or, and, count of thread % 3 == 0, by `round`. */
cudaError_t test_votes(int *out, int threads, cudaStream_t s);
/* c (16, 8) += a (16, 16) · b (16, 8), of f16 with f32 sums, by one warp; without its last lane
 * where that is a fault to find. */
cudaError_t test_product(const uint16_t *a, const uint16_t *b, float *c, bool all, cudaStream_t s);
/* y[i] += a */
cudaError_t test_add(int *y, int n, int a, cudaStream_t s);
/* y[i] = x[i] */
cudaError_t test_copy(const int *x, int *y, int n, cudaStream_t s);
/* y[i] = x[i] + 1; awaits the kernel before first of all, or only after something. In order: not
 * launched so that it may begin before that has ended. Blocks of 64, of 1024 for more than 1000. */
enum test_beginning { TEST_AWAITS, TEST_READS_BEFORE, TEST_WRITES_BEFORE, TEST_LEAVES_BEFORE };
cudaError_t test_next(enum test_beginning kind, bool in_order, const int *x, int *y, int n,
                      cudaStream_t s);
/* Each thread's place: out (grid, block, 6). */
cudaError_t test_places(int *out, dim3 grid, dim3 block, cudaStream_t s);
/* Conversions: y[i] = half(x[i]) bits, z[i] = float(half bits i). */
cudaError_t test_halves(const float *x, uint16_t *y, int n, float *z, cudaStream_t s);
/* What static (of a template and not) and dynamic shared memory holds before it is written: the
 * number of bits that are not set, added to out[0], out[1] and out[2]; each block writes there. */
cudaError_t test_unwritten(int *out, int blocks, cudaStream_t s);

/* Faults. */
cudaError_t test_no_barrier(const int *x, int *y, int threads, cudaStream_t s);
cudaError_t test_race(int *y, bool barrier, cudaStream_t s);
cudaError_t test_write_at(char *p, long offset, cudaStream_t s);
cudaError_t test_divergent_barrier(int *y, cudaStream_t s);
cudaError_t test_stuck(int *y, cudaStream_t s);
cudaError_t test_wrong_mask(int *y, cudaStream_t s);
cudaError_t test_ended_lanes(int *y, cudaStream_t s);
cudaError_t test_foreign_lane(int *y, cudaStream_t s);
/* y as an argument and within a structure. */
cudaError_t test_pointer(int *y, bool in_structure, cudaStream_t s);
/* In a structure whose padding holds junk. */
cudaError_t test_padding(int *y, unsigned junk, cudaStream_t s);
cudaError_t test_trap(int *y, cudaStream_t s);
/* Writes four floats from y + offset on at once. */
cudaError_t test_vector(float *y, int offset, cudaStream_t s);
cudaError_t test_deep(int *y, int depth, cudaStream_t s);
cudaError_t test_big_launch(int *y, int threads, size_t shared, cudaStream_t s);
cudaError_t test_allow_shared(int bytes);

#ifdef __cplusplus
}
#endif
#endif

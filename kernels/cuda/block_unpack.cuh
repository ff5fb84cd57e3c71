/*
 * The CPU's packed matrices of formats of blocks (unpack.cuh), whose unit is a block with its bytes
 * as in files: so many words of one kind, then of another. block_unpack.cu
 */
#ifndef SW_KERNELS_CUDA_BLOCK_UNPACK_CUH
#define SW_KERNELS_CUDA_BLOCK_UNPACK_CUH

#include "kernels/cuda/gpu_formats.h"

namespace sw
{
namespace blocks
{

/* As struct sw_packing (kernels/cpu/cpu_kernels.h) has it. */
struct packing {
    struct {
        int bytes, count;
    } words[2];
    int blocks = 1; /* of a unit: the same part of each lies together, then the next part */
    int fives =
        -1; /* the plane whose words have their bits as kernels/cpu/fives.h says; -1: none */
};

/* Takes all blocks to the planes of `out`; then, without bytes, come the rows' f32 and the table,
 * as matrix_of has them. rows: with their padding; blocks: of a row. */
cudaError_t unpack_blocks(const struct packing &packing, const struct sw_gpu_plane *planes,
                          int n_planes, const void *packed, int64_t rows, int64_t blocks, void *out,
                          cudaStream_t stream);

} // namespace blocks
} // namespace sw

#endif

/* The kernels compiled for AVX-512 with bf16 dot products; the code is in the headers. */
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/vec_avx512.h"

#define DOT 1 /* VDPBF16PS */
/* In this order: each builds on the one before. */
#include "kernels/cpu/tile.h"

#include "kernels/cpu/product.h"
#include "kernels/cpu/rows.h"

#include "kernels/cpu/attend.h"
#include "kernels/cpu/limits.h"

const struct sw_kernels sw_kernels_avx512bf16 = {
    .isa = SW_ISA_AVX512BF16,
    .bf16_x_bytes = PAIR_BYTES / 2,
    .round_row = round_row,
    .prepare_tile = prepare_tile,
    .panel_product = panel_product,
    .norm = norm,
    .activate = activate,
    .attend = attend,
    .add_scaled = add_scaled,
    .add = add,
    .read_memory = read_memory,
    .spin = spin,
};

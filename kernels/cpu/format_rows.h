/* The table of weight formats on one instruction set, a row each. Included after all kernels. */
#ifndef SW_KERNELS_FORMAT_ROWS_H
#define SW_KERNELS_FORMAT_ROWS_H

#include "kernels/cpu/blocks.h"

#include "kernels/cpu/group_steps.h"

#include "kernels/cpu/block_words.h"

#include "kernels/cpu/fives.h"

#include "kernels/cpu/group_words.h"
#include "kernels/cpu/iq4_nl.h"
#include "kernels/cpu/mxfp4.h"
#include "kernels/cpu/q4_0.h"
#include "kernels/cpu/q4_1.h"
#include "kernels/cpu/q5_0.h"
#include "kernels/cpu/q5_1.h"
#include "kernels/cpu/q8_0.h"

#include "kernels/cpu/iq4_xs.h"
#include "kernels/cpu/k_scales.h"

#include "kernels/cpu/q2_k.h"
#include "kernels/cpu/q3_k.h"
#include "kernels/cpu/q4_k.h"
#include "kernels/cpu/q5_k.h"
#include "kernels/cpu/q6_k.h"

#include "kernels/cpu/fp8.h"
#include "kernels/cpu/nf4.h"

#include "kernels/cpu/nf4_nested.h"

static const struct sw_cpu_format format_rows[SW_FORMAT_COUNT] = {
    [SW_FORMAT_F32] = {.packing = {1, {{4, 1}}},
                       .prepare_tile = prepare_tile_f32,
                       .product = product_f32,
                       .spin = spin_f32},
    [SW_FORMAT_F16] = {.packing = {1, {{2, 1}}},
                       .prepare_tile = prepare_tile_f32,
                       .product = product_f16,
                       .spin = spin_f32},
    [SW_FORMAT_BF16] = {.packing = {2, {{4, 1}}},
                        .x_bytes = SW_X_COLS / 2 * PAIR_BYTES,
                        .prepare_row = prepare_row_pairs,
                        .prepare_tile = prepare_tile_pairs,
                        .product = product_pairs,
                        .spin = spin_bf16},
    [SW_FORMAT_INT8] = {.packing = {4, {{4, 1}}},
                        .x_bytes = SW_X_COLS,
                        .lay_out = lay_out_int8,
                        .prepare_row = prepare_row_int8,
                        .prepare_tile = prepare_tile_int8,
                        .product = product_int8,
                        .spin = spin_int8},
    [SW_FORMAT_Q8_0] = {.packing = {32, {{2, 1}, {4, 8}}},
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q8_0,
                        .product = product_q8_0,
                        .spin = spin_int8},
    [SW_FORMAT_Q4_0] = {.packing = {32, {{2, 1}, {4, 4}}},
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q4_0,
                        .product = product_q4_0,
                        .spin = spin_int8},
    [SW_FORMAT_Q2_K] = {.packing = {256, {{4, 20}, {2, 2}}},
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q2_k,
                        .product = product_q2_k,
                        .spin = spin_int8},
    [SW_FORMAT_Q3_K] = {.packing = {256, {{4, 27}, {2, 1}}},
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q3_k,
                        .product = product_q3_k,
                        .spin = spin_int8},
    [SW_FORMAT_Q4_K] = {.packing = {256, {{2, 2}, {4, 35}}},
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q4_k,
                        .product = product_q4_k,
                        .spin = spin_int8},
    [SW_FORMAT_Q5_K] = {.packing = {256, {{2, 2}, {4, 43}}},
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q5_k,
                        .product = product_q5_k,
                        .spin = spin_int8},
    [SW_FORMAT_Q6_K] = {.packing = {256, {{4, 52}, {2, 1}}},
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q6_k,
                        .product = product_q6_k,
                        .spin = spin_int8},
    [SW_FORMAT_IQ4_XS] = {.packing = {256, {{2, 2}, {4, 33}}},
                          .x_bytes = sizeof(struct block_x),
                          .prepare_tile = prepare_tile_iq4_xs,
                          .product = product_iq4_xs,
                          .spin = spin_int8},
    [SW_FORMAT_NF4] = {.packing = {64, {{4, 1}, {4, 8}}},
                       .x_bytes = sizeof(struct block_x),
                       .prepare_tile = prepare_tile_nf4,
                       .product = product_nf4,
                       .spin = spin_int8},
    [SW_FORMAT_FP4] = {.packing = {64, {{4, 1}, {4, 8}}},
                       .x_bytes = sizeof(struct block_x),
                       .prepare_tile = prepare_tile_fp4,
                       .product = product_fp4,
                       .spin = spin_int8},
    [SW_FORMAT_FP8] = {.packing = {128, {{4, 1}, {4, 32}}},
                       .prepare_tile = prepare_tile_f32,
                       .product = product_fp8,
                       .spin = spin_f32},
    [SW_FORMAT_Q4_1] = {.packing = {32, {{2, 2}, {4, 4}}},
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q4_1,
                        .product = product_q4_1,
                        .spin = spin_int8},
    [SW_FORMAT_Q5_0] = {.packing = {32, {{2, 1}, {4, 5}}},
                        .arrange = q5_0_arrange,
                        .restore = q5_0_restore,
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q5_0,
                        .product = product_q5_0,
                        .spin = spin_int8},
    [SW_FORMAT_Q5_1] = {.packing = {32, {{2, 2}, {4, 5}}},
                        .arrange = q5_1_arrange,
                        .restore = q5_1_restore,
                        .x_bytes = sizeof(struct block_x),
                        .prepare_tile = prepare_tile_q5_1,
                        .product = product_q5_1,
                        .spin = spin_int8},
    [SW_FORMAT_IQ4_NL] = {.packing = {32, {{2, 1}, {4, 4}}},
                          .x_bytes = sizeof(struct block_x),
                          .prepare_tile = prepare_tile_iq4_nl,
                          .product = product_iq4_nl,
                          .spin = spin_int8},
    [SW_FORMAT_MXFP4] = {.packing = {64, {{2, 1}, {4, 8}}},
                         .arrange = mxfp4_arrange,
                         .restore = mxfp4_restore,
                         .x_bytes = sizeof(struct block_x),
                         .prepare_tile = prepare_tile_mxfp4,
                         .product = product_mxfp4,
                         .spin = spin_int8},
    [SW_FORMAT_INT4_G128] = {.packing = {128, {{4, 17}}},
                             .x_bytes = sizeof(struct block_x),
                             .prepare_tile = prepare_tile_int4_g128,
                             .product = product_int4_g128,
                             .spin = spin_int8},
    [SW_FORMAT_INT4_G32] = {.packing = {32, {{4, 5}}},
                            .x_bytes = sizeof(struct block_x),
                            .prepare_tile = prepare_tile_int4_g32,
                            .product = product_int4_g32,
                            .spin = spin_int8},
    [SW_FORMAT_INT8_G128] = {.packing = {128, {{4, 33}}},
                             .x_bytes = sizeof(struct block_x),
                             .prepare_tile = prepare_tile_int8_g128,
                             .product = product_int8_g128,
                             .spin = spin_int8},
    [SW_FORMAT_INT8_G32] = {.packing = {32, {{4, 9}}},
                            .x_bytes = sizeof(struct block_x),
                            .prepare_tile = prepare_tile_int8_g32,
                            .product = product_int8_g32,
                            .spin = spin_int8},
    [SW_FORMAT_NF4_NESTED] = {.packing = {256, {{4, 2}, {4, 32}}},
                              .x_bytes = sizeof(struct block_x),
                              .prepare_tile = prepare_tile_nf4_nested,
                              .product = product_nf4_nested,
                              .spin = spin_int8},
    [SW_FORMAT_FP4_NESTED] = {.packing = {256, {{4, 2}, {4, 32}}},
                              .x_bytes = sizeof(struct block_x),
                              .prepare_tile = prepare_tile_fp4_nested,
                              .product = product_fp4_nested,
                              .spin = spin_int8},
    [SW_FORMAT_INT2_G128] = {.packing = {128, {{4, 9}}},
                             .x_bytes = sizeof(struct block_x),
                             .prepare_tile = prepare_tile_int2_g128,
                             .product = product_int2_g128,
                             .spin = spin_int8},
    [SW_FORMAT_INT2_G32] = {.packing = {32, {{4, 3}}},
                            .x_bytes = sizeof(struct block_x),
                            .prepare_tile = prepare_tile_int2_g32,
                            .product = product_int2_g32,
                            .spin = spin_int8},
    [SW_FORMAT_INT3_G128] = {.packing = {128, {{4, 13}}},
                             .x_bytes = sizeof(struct block_x),
                             .prepare_tile = prepare_tile_int3_g128,
                             .product = product_int3_g128,
                             .spin = spin_int8},
    [SW_FORMAT_INT3_G32] = {.packing = {32, {{4, 4}}},
                            .x_bytes = sizeof(struct block_x),
                            .prepare_tile = prepare_tile_int3_g32,
                            .product = product_int3_g32,
                            .spin = spin_int8},
};

#endif

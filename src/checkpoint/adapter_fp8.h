/* Matrices of E4M3 elements with scales, which several methods of quantization write. */
#ifndef SW_CHECKPOINT_ADAPTER_FP8_H
#define SW_CHECKPOINT_ADAPTER_FP8_H

#include "checkpoint/adapter.h"

/*
 * Adds the matrix STEM.weight of `weight`, f8_e4m3 (rows, cols), and its scales, factors of any
 * float type: one; (rows) or (rows, 1), one a row; or one a tile of tile_rows by tile_cols,
 * (rows / tile_rows, cols / tile_cols) rounded up. SW_EMODEL: other shapes, or tile_cols is no
 * multiple of 128.
 */
enum sw_status sw_adapting_add_fp8(struct sw_adapting *a, const char *stem,
                                   const struct sw_tensor *weight, const struct sw_tensor *scales,
                                   int64_t tile_rows, int64_t tile_cols);

#endif

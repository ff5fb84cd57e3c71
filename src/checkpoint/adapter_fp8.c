/*
 * Owns matrices of E4M3 elements with scales: one of the tensor, one a row (fbgemm), one a tile of
 * 128 by 128 (the checkpoints of DeepSeek and Qwen). A weight is element * scale.
 */
#include "checkpoint/adapter_fp8.h"

#include <math.h>
#include <string.h>

#define BLOCK 128 /* elements of a block in memory */

enum fp8_part { PART_ELEMENTS, PART_SCALES };
/* In `whole` of a made matrix: rows of a tile, columns of a tile, tiles side by side, the scales'
 * element type. */
enum fp8_whole { WHOLE_ROWS, WHOLE_COLS, WHOLE_TILES, WHOLE_DTYPE };

/* NaN, which would be a number to kernels, shows in the scale. */
static float fp8_scale_of(const uint8_t *elements, int64_t n, float scale)
{
    bool is_nan = false;
    for (int64_t i = 0; i < n; i++)
        is_nan |= (elements[i] & 0x7f) == 0x7f;
    return is_nan ? NAN : scale;
}

static void fp8_make(const struct sw_made_rows *rows, void *out)
{
    const int64_t *whole = rows->made->whole, cols = rows->tensor->shape[1];
    const enum sw_dtype dtype = (enum sw_dtype)whole[WHOLE_DTYPE];
    const int64_t size = sw_dtype_info(dtype)->bits / 8;
    const bool by_row = rows->made->parts[PART_SCALES].row_bytes != 0;
    const uint8_t *from = rows->parts[PART_ELEMENTS];
    char *to = out;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        const int64_t tile_row = by_row ? i : (rows->row0 + i) / whole[WHOLE_ROWS];
        for (int64_t col = 0; col < cols; col += BLOCK, to += BLOCK + sizeof(float)) {
            const int64_t n = cols - col < BLOCK ? cols - col : BLOCK;
            const int64_t tile = tile_row * whole[WHOLE_TILES] + col / whole[WHOLE_COLS];
            float scale;
            sw_dtype_to_f32(dtype, (const char *)rows->parts[PART_SCALES] + tile * size, 1, &scale);
            scale = fp8_scale_of(from + col, n, scale);
            memcpy(to, &scale, sizeof scale);
            memset(to + sizeof scale, 0, BLOCK);
            memcpy(to + sizeof scale, from + col, (size_t)n);
        }
        from += cols;
    }
}

static const struct sw_made_form fp8_tiles = {NULL, fp8_make};

enum sw_status sw_adapting_add_fp8(struct sw_adapting *a, const char *stem,
                                   const struct sw_tensor *weight, const struct sw_tensor *scales,
                                   int64_t tile_rows, int64_t tile_cols)
{
    const int64_t rows = weight->shape[0], cols = weight->shape[1];
    const int64_t n = sw_tensor_elements(scales);
    int64_t tiles[2] = {1, 1};
    struct sw_made made = {.form = &fp8_tiles};
    SW_TRY(sw_adapting_check(a, weight, SW_F8_E4M3, 2, weight->shape));
    if (!sw_dtype_info(scales->dtype)->is_float || rows < 1 || cols < 1) {
        const int64_t expected[1] = {rows};
        return sw_adapting_check(a, scales, SW_F32, 1, expected);
    }
    if (n == 1) {
        tile_rows = rows;
        tile_cols = cols;
    } else if (scales->rank >= 1 && scales->shape[0] == rows && n == rows) {
        tile_rows = 1;
        tile_cols = cols;
    } else if (tile_rows < 1 || tile_cols < 1 || (tile_cols % BLOCK != 0 && tile_cols < cols)) {
        return sw_fail(SW_EMODEL,
                       "tensor '%s' has a scale for each %lld rows and %lld columns, expected "
                       "a multiple of %d columns",
                       scales->name, (long long)tile_rows, (long long)tile_cols, BLOCK);
    }
    tiles[0] = (rows + tile_rows - 1) / tile_rows;
    tiles[1] = (cols + tile_cols - 1) / tile_cols;
    SW_TRY(sw_adapting_check(a, scales, scales->dtype, n == 1 ? 0 : tiles[1] == 1 ? 1 : 2, tiles));
    sw_made_add(&made, weight, (uint64_t)cols);
    sw_made_add(&made, scales,
                tile_rows == 1 ? (uint64_t)tiles[1] * (sw_dtype_info(scales->dtype)->bits / 8) : 0);
    made.whole[WHOLE_ROWS] = tile_rows;
    made.whole[WHOLE_COLS] = tile_cols;
    made.whole[WHOLE_TILES] = tiles[1];
    made.whole[WHOLE_DTYPE] = scales->dtype;
    return sw_adapting_add(a, stem, &sw_format_fp8, rows, cols, &made);
}

/* Rows and columns of a tile, as config.json says; 128 where it does not. */
static void fp8_tile(const json_t *config, int64_t tile[2])
{
    const json_t *size = json_object_get(config, "weight_block_size");
    for (size_t i = 0; i < 2; i++) {
        tile[i] = BLOCK;
        if (json_is_array(size) &&
            !sw_json_integer(json_array_get(size, i), 1, INT32_MAX, &tile[i]))
            tile[i] = 0;
    }
}

static enum sw_status fp8_matrix(struct sw_adapting *a, const struct sw_tensor *tensor,
                                 const char *stem)
{
    const struct sw_tensor *scales = sw_adapting_find(a, stem, ".weight_scale_inv");
    int64_t tile[2];
    char have[160];
    if (tensor->dtype == SW_F8_E5M2)
        return sw_fail(SW_EMODEL, "tensor '%s' is %s, expected f8_e4m3: E5M2 is not supported",
                       tensor->name, sw_tensor_describe(tensor, have, sizeof have));
    if (tensor->dtype != SW_F8_E4M3)
        return SW_OK;
    if (!scales)
        SW_TRY(sw_adapting_need(a, tensor, stem, ".weight_scale", &scales));
    fp8_tile(a->config, tile);
    return sw_adapting_add_fp8(a, stem, tensor, scales, tile[0], tile[1]);
}

static const struct sw_format *fp8_format(const json_t *config)
{
    (void)config;
    return &sw_format_fp8;
}

static const char *const fp8_methods[] = {"fp8", "fbgemm_fp8", NULL};
static const char *const fp8_suffixes[] = {".weight", NULL};
const struct sw_adapter sw_adapter_fp8 = {.name = "fp8",
                                          .methods = fp8_methods,
                                          .suffixes = fp8_suffixes,
                                          .matrix = fp8_matrix,
                                          .format = fp8_format};

/*
 * Values that are a part of their keys (latent attention): a block of keys lies dimension by
 * dimension, which is what scores are made of; here some dimensions of it are turned, key by key.
 * Included per instruction set, after tile.h.
 */
#ifndef SW_KERNELS_LATENT_VALUES_H
#define SW_KERNELS_LATENT_VALUES_H

#include "kernels/cpu/transpose.h"

#define LATENT_ROWS 16 /* dimensions that are turned at once */

/* f16 become f32. */
ALWAYS_INLINE enum kind latent_kind(enum kind stored)
{
    return stored == KIND_F16 ? KIND_F32 : stored;
}

/* Dimension d of the keys: 4 bytes a key, or a pair of keys. Of a pair, whose second is not among
 * the first n_keys, that is 0: nothing was stored there. */
ALWAYS_INLINE void latent_row(enum kind stored, const char *keys, int64_t d, int n_keys,
                              uint32_t row[SW_KEY_BLOCK])
{
    const int64_t at = d * SW_KEY_BLOCK;
    if (stored == KIND_F32) {
        memcpy(row, keys + at * 4, SW_KEY_BLOCK * 4);
    } else if (stored == KIND_F16) {
        for (int key = 0; key < SW_KEY_BLOCK; key += 16)
            v_store((float *)(void *)(row + key), load_kind(KIND_F16, keys + (at + key) * 2));
    } else {
        uint32_t pairs[SW_KEY_BLOCK]; /* of dimensions */
        const int shift = d % 2 ? 16 : 0;
        memcpy(pairs, keys + d / 2 * SW_KEY_BLOCK * 4, sizeof pairs);
        for (int key = 0; key < SW_KEY_BLOCK; key += 2) {
            const uint32_t second = key + 1 < n_keys ? pairs[key + 1] >> shift : 0;
            row[key / 2] = (pairs[key] >> shift & 0xffff) | second << 16;
        }
    }
}

/*
 * Dimensions [d, d + width) of a block's first n_keys keys as values: (keys, width) f32, or pairs
 * of keys (keys / 2, width, 2) bf16. Dimensions from `end` on are 0. width: a multiple of 16.
 */
ALWAYS_INLINE const char *latent_values(enum kind stored, const char *keys, int64_t d, int width,
                                        int end, int n_keys, float *block)
{
    _Alignas(64) uint32_t rows[LATENT_ROWS][SW_KEY_BLOCK];
    const int words = stored == KIND_PAIRS ? SW_KEY_BLOCK / 2 : SW_KEY_BLOCK;
    for (int first = 0; first < width; first += LATENT_ROWS) {
        for (int i = 0; i < LATENT_ROWS; i++)
            if (d + first + i < end)
                latent_row(stored, keys, d + first + i, n_keys, rows[i]);
            else
                memset(rows[i], 0, sizeof rows[i]);
        transpose((const char *)rows, sizeof rows[0], (char *)(block + first), (int64_t)width * 4,
                  LATENT_ROWS, words, 4);
    }
    return (const char *)block;
}

#endif

/*
 * AMX: the processor multiplies two tiles of bytes and adds up in a third. Of the products here it
 * makes the sums of whole numbers; they are exact, so bits are those of vectors. A tile of
 * activations is AMX_ROWS tokens of some columns, one of weights the same columns of LANES rows of
 * the matrix, word by word as in panels, and one of sums (tokens, LANES) words. Included after the
 * formats.
 */
#ifndef SW_KERNELS_AMX_H
#define SW_KERNELS_AMX_H

#define AMX_ROWS 16

/* What was stored is in memory before tiles are loaded of it: compilers do not know what that
 * reads. `at`: something local of it, or NULL. */
static inline void amx_fence(const void *at)
{
    __asm__ volatile("" : : "r"(at) : "memory");
}

/* What LDTILECFG reads (Intel's manual, volume 1, chapter 18): bytes and rows of each tile. */
struct amx_config {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Tiles 0 to 3 are sums, 4 and 5 activations, 6 and 7 weights: of so many tokens, and of words of
 * so many bytes of each. */
static void amx_begin(int tokens, int bytes)
{
    struct amx_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.rows[i] = (uint8_t)(i < 6 ? tokens : bytes / 4);
        config.row_bytes[i] = (uint16_t)(i == 4 || i == 5 ? bytes : 64);
    }
    amx_fence(&config);
    _tile_loadconfig(&config);
}

/* The tokens of tile i of n. */
static inline int amx_tile_rows(int64_t n, int64_t i)
{
    return n - i * AMX_ROWS < AMX_ROWS ? (int)(n - i * AMX_ROWS) : AMX_ROWS;
}

#endif

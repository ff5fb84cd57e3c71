/*
 * The CPU arithmetic over plain pointers: one table of functions per instruction set. Nothing here
 * allocates, starts threads or fails; the backend shares the work out.
 *
 * A packed matrix is a row of panels of SW_PANEL output rows (the last one narrower: what is left,
 * rounded up to SW_ROW_PAD). In a panel the rows are interleaved, so that a vector's lanes are
 * output rows and each output is one chain of additions along the columns. A row's bytes are cut
 * into units, a unit into words; word by word lie those of all rows of the panel side by side
 * (struct sw_packing), for example (cols, width) f32, or (cols / 2, width) pairs of bf16. cols is
 * rounded up to the format's col_pad. Behind the last panel lie the rows' scales, if the format has
 * some: f32, of all rows with their padding. Then comes its table, if it has one.
 */
#ifndef SW_KERNELS_KERNELS_H
#define SW_KERNELS_KERNELS_H

#include "base/cpu_info.h"
#include "model/op_kinds.h"
#include "tensor/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_PANEL 64

/*
 * Activations of int8 products (LLM.int8(), Dettmers et al., arXiv 2208.07339). Of each row the
 * elements of magnitude above SW_INT8_OUTLIER, and what is not finite, are outliers: they stay f32
 * where they are and count 0 here. The others are round(x * 127 / absmax of the others).
 */
struct sw_int8_row {
    float scale, inverse; /* absmax / 127 and 127 / absmax, or 0 and 0 */
    int32_t excess;       /* this instruction set's sums of products are larger by this */
    int32_t n_outliers;
};
struct sw_int8_x {
    struct sw_int8_row *rows; /* (n) */
    uint64_t *outliers;       /* (n, words) a bit a column */
    int64_t words;
};

/* y (n, rows) = x · Wᵀ + bias for the rows of one panel, or y += that. */
struct sw_panel_product {
    const void *weights; /* the panel */
    int width, n_rows;   /* its interleaved rows, and how many of them are real */
    int64_t cols;
    const struct sw_prepare *in; /* what x was made of */
    /* x_ld 0: tiles that prepare_tile made. Else, for n <= SW_GEMV_ROWS, rows x_ld bytes apart,
     * each made by prepare_row, or as it is. */
    const void *x;
    int64_t x_ld;
    int64_t n;                    /* tokens, at most SW_PRODUCT_ROWS */
    int64_t first_tile, end_tile; /* the tiles of sw_tile_count(n) to compute; with x_ld 0 only */
    const float *bias;            /* (n_rows), NULL: none */
    float *y;                     /* of the panel's first row */
    int64_t y_ld;
    bool add;
    float *scratch;      /* SW_THREAD_FLOATS */
    const float *scales; /* (width) of the rows; NULL: the format has none */
    const float *table;  /* (SW_TABLE_LEN) the matrix's; NULL: the format has none */
    /* Few tokens: how many bytes further than weights are fetched into the first-level cache they
     * are fetched into the second; 0: the processor does it by itself. */
    ptrdiff_t deep;
};
#define SW_DEEP 9216
#define SW_PRODUCT_ROWS 512
#define SW_GEMV_ROWS 6
static inline int64_t sw_tile_count(int64_t n)
{
    return (n + SW_GEMV_ROWS - 1) / SW_GEMV_ROWS;
}

/* Activations, to be made as a format's product takes them. */
struct sw_prepare {
    const float *x; /* (n, cols), x_ld apart; gated: (n, 2, cols) */
    int64_t x_ld, n, cols;
    const int32_t *order; /* column i is order[i] of x, in formats of blocks; NULL: i. (cols) */
    bool activate, gated; /* act(x); gated: times the second half of x */
    enum sw_activation activation;
    float *activated;      /* int8: x, where activated values are stored for the outliers */
    void *out;             /* room for (n, cols rounded up to SW_X_COLS) floats */
    struct sw_int8_x int8; /* int8's own; filled by its functions */
};

/*
 * How the bytes of a row of weights lie in a panel. A unit is some elements of a row: whole blocks
 * or a part of one. Its bytes are words of 2 or 4 bytes, `count` of the first kind, then `count` of
 * the second. A panel has the units one after the other; a unit has its words one after the other,
 * each for all lanes.
 */
struct sw_packing {
    int elements; /* of a unit */
    struct {
        int bytes, count;
    } words[2];
};
/* Bytes of a unit of one row. */
static inline int sw_packing_bytes(const struct sw_packing *p)
{
    return p->words[0].bytes * p->words[0].count + p->words[1].bytes * p->words[1].count;
}

/*
 * A weight format on one instruction set. lay_out is called first: it divides `room` into p->out
 * and what else the format stores. Then comes prepare_row for each token (GEMV), or prepare_tile
 * for each of sw_tile_count(n) tiles (GEMM), in any order and on any thread; then `product` for
 * each panel.
 */
#define SW_X_COLS 32
struct sw_cpu_format {
    struct sw_packing packing; /* alike on every instruction set, as are arrange and restore */
    /* NULL; else they permute the bits of n units of a row from a file's order to that in panels,
     * and back. Who reads panels without kernels here (a GPU's unpack) has to do as restore does.
     */
    void (*arrange)(char *units, int64_t n);
    void (*restore)(char *units, int64_t n);
    int64_t x_bytes; /* of SW_X_COLS columns of a prepared row; 0: rows are read as they are */
    void (*lay_out)(struct sw_prepare *p, void *room); /* NULL: p->out is the room */
    /* Not activated. NULL: rows are read as they are; or, if there is x_bytes, a tile is made of
     * few tokens, too. */
    void (*prepare_row)(const struct sw_prepare *p, int64_t row, void *out);
    void (*prepare_tile)(const struct sw_prepare *p, int64_t i);
    void (*product)(const struct sw_panel_product *p);
    /* For measurements: multiplies and adds in registers only, as products do, and returns the
     * operations done. out: 16 floats of any value. */
    double (*spin)(int64_t steps, float *out);
};

/*
 * The queries of one KV head: n_queries consecutive positions of `group` heads each. Keys come in
 * lengths of SW_KEY_LENGTH at fixed positions, which are summed up each by itself and joined in
 * order; so a query's lengths can be shared out, and the bits are the same.
 */
#define SW_KEY_LENGTH 512

/* What is added to scores by how far key and query are apart: table[buckets[key - query] *
 * step + head]. */
struct sw_score_bias {
    const float *table;     /* of the tile's first head on; NULL: none */
    const int32_t *buckets; /* of distances -reach … reach, of which further ones count as the last
                             */
    int reach, step;
};

struct sw_attend_tile {
    enum sw_dtype format;
    int head_dim, group, n_queries;
    int value_dim;       /* values are the first so many elements of keys, and not stored beside
                          * them; 0: they are, as wide as keys */
    const char *kv;      /* this slot's and KV head's blocks */
    int64_t position;    /* of the first query */
    int64_t window;      /* as in struct sw_attention */
    float scale, cap;    /* scores become cap * tanh(score / cap); 0: they stay */
    const float *slopes; /* (group) or NULL */
    const float *sinks;  /* (group) or NULL: the score of one more key, which has no value */
    int64_t keys;        /* every query sees keys [0, keys), whatever its position; 0: those up to
                            its own */
    struct sw_score_bias bias;
    const float *q; /* query i, head g at q + i * q_ld + g * q_head */
    int64_t q_ld, q_head;
    float *out; /* query i, head g at out + i * out_ld + g * the width of values */
    int64_t out_ld;
    float *scratch; /* SW_THREAD_FLOATS; group * n_queries <= sw_attend_rows(...) */
    /* NULL: attends to all keys and writes to out. Else attends to the keys of one length only, and
     * writes the state for attend_join: (n_queries * group, sw_attend_state_floats(...)). */
    float *state;
    int64_t length; /* index of that length; unused without state */
};

/* The first key that `query` sees. */
static inline int64_t sw_first_key(int64_t query, int64_t window)
{
    if (window < 0)
        return query - query % -window;
    return window && query >= window ? query - window + 1 : 0;
}

/* The first length of which `query` sees a key; the last one is that of its last key. */
static inline int64_t sw_first_length(int64_t query, int64_t window)
{
    return sw_first_key(query, window) / SW_KEY_LENGTH;
}

/* Floats of one row's state: its sums, largest score and sum of shares, padded for vectors. */
static inline int64_t sw_attend_state_floats(int value_dim)
{
    return (value_dim + 15) / 16 * 16 + 16;
}

/* Scratch floats of one thread. */
#define SW_THREAD_FLOATS (SW_PRODUCT_ROWS * SW_PANEL + 1024)
/* Dimensions of values that are taken out of keys at once. */
#define SW_VALUE_SLICE 128
/* Query rows (heads x positions) that a tile can have at this head size, at least 1; value_dim: as
 * of struct sw_attend_tile. */
int sw_attend_rows(int head_dim, int value_dim);

struct sw_kernels {
    enum sw_isa isa;
    const struct sw_cpu_format *formats; /* (SW_FORMAT_COUNT) */
    void (*norm)(enum sw_norm kind, float eps, const float *x, int64_t dim, const float *weight,
                 const float *bias, float *y);
    /* y = act(x) (* up, unless NULL) */
    void (*activate)(enum sw_activation kind, const float *x, const float *up, int64_t dim,
                     float *y);
    void (*attend)(const struct sw_attend_tile *t);
    /* out (value_dim) of one row from the states of all lengths it sees, `step` floats apart, in
     * order; they are overwritten. sink: the row's, or NULL. */
    void (*attend_join)(int value_dim, int64_t n_states, int64_t step, float *states,
                        const float *sink, float *out);
    /* Rotates the heads of one row in place. cos_sin: (2, rotary_dim / 2) */
    void (*rope)(int rotary_dim, bool interleaved, const float *cos_sin, int n_heads, float *x,
                 int64_t head);
    /* y += weight * x */
    void (*add_scaled)(const float *x, float weight, int64_t dim, float *y);
    /* For measurements: reads memory (a multiple of 256 bytes). */
    float (*read_memory)(const void *p, size_t bytes);
};

extern const struct sw_kernels sw_kernels_portable, sw_kernels_avx2, sw_kernels_avx512,
    sw_kernels_avx512bf16;
const struct sw_kernels *sw_kernels_for(enum sw_isa isa);

/* packing.c: the packed forms, alike on every instruction set. */

/* Puts rows [row0, row0 + n) x all columns of a source into the packed matrix. */
struct sw_pack {
    enum sw_format_id format;
    int64_t rows, cols; /* of the whole matrix */
    void *data;
    const char *src; /* element (0, 0) of the source's rows */
    enum sw_dtype src_dtype;
    int64_t row0, n_rows, row_stride, col_stride;
    const struct sw_format *src_blocks; /* NULL, or as of struct sw_values */
};
/* Packs the rows that lie in panel `panel`. */
void sw_pack_panel(const struct sw_pack *p, int64_t panel);
/* Bytes from the start of the matrix to a panel. */
size_t sw_panel_offset(enum sw_format_id format, int64_t cols, int64_t panel);
/* The number of rows of a panel, padding included. */
int sw_panel_width(int64_t rows, int64_t panel);
/* Row `row` of a packed matrix as f32. out: (cols) */
void sw_unpack_row(enum sw_format_id format, const void *data, int64_t rows, int64_t cols,
                   int64_t row, float *out);

/*
 * KV of a head: blocks of SW_KEY_BLOCK keys, in each K as (head_dim, keys) and V as (keys,
 * head_dim); in bf16 as pairs, K (head_dim / 2, keys, 2) and V (keys / 2, head_dim, 2). head_dim is
 * rounded up to even for the size of a block. v NULL: blocks have K alone.
 */
void sw_kv_put(enum sw_dtype format, int head_dim, char *head, int64_t position, const float *k,
               const float *v);
#endif

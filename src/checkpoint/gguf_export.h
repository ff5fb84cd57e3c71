/*
 * A model as a GGUF file: which keys, which tensors of which format, and of what each is made. Of a
 * folder as llama.cpp's converter does it, of a GGUF file as its quantizer does: keys are copied.
 * Reads headers and tokenizers only.
 */
#ifndef SW_CHECKPOINT_GGUF_EXPORT_H
#define SW_CHECKPOINT_GGUF_EXPORT_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "model/weight_choice.h"
#include "tensor/tensors.h"

struct sw_model;

/* How rows of a source become rows of the file. */
enum sw_row_order {
    SW_ROWS_KEPT,
    SW_ROWS_NEIGHBOURS, /* of each head: row i and row i + half of the head side by side */
    SW_ROWS_STACKED,    /* q, k, v of each head become all q, all k, all v */
    SW_ROWS_TRANSPOSED, /* the source is (cols, rows) */
};

/* How what is made of a row lies in the file. */
enum sw_export_layout {
    SW_EXPORT_BLOCKS,         /* as the format has it */
    SW_EXPORT_BYTES,          /* the source as it is */
    SW_EXPORT_FOUR_BIT,       /* bitsandbytes': pairs of codes, and elsewhere each block's scale */
    SW_EXPORT_ROWS_AND_ABSMAX /* bitsandbytes': rows of int8, and elsewhere each row's absmax */
};

struct sw_export_tensor {
    const char *name;
    const struct sw_format *format;
    enum sw_export_layout layout;
    int rank;
    int64_t shape[4];               /* (rank), in C order; of GGUF files only */
    int64_t rows, cols;             /* of all sources together; a vector has columns of 1 */
    const struct sw_tensor **parts; /* (n_parts), rows / n_parts of each one behind the other */
    int n_parts;
    const void *literal; /* (bytes) where no file has it, and n_parts is 0; else NULL */
    enum sw_row_order order;
    int64_t head_rows;      /* of one head, for the orders that need it */
    uint64_t offset, bytes; /* in the file */
    uint64_t scales;        /* offset of what lies elsewhere */
    /* Where scales are quantized once more when all of a tensor are known: offsets of the scales of
     * bytes, and of a text of state_bytes that begins with `state_text` and ends with their offset,
     * a brace and spaces. */
    uint64_t nested, state; /* nested 0: they are not */
    size_t state_bytes;
    const char *state_text; /* NULL: they are not */
};

/* A whole file. */
struct sw_export_plan {
    struct sw_export_tensor *tensors; /* (n_tensors), in the order of the file */
    size_t n_tensors;
    struct sw_strbuf header; /* the file's first bytes, whole */
    uint64_t size;           /* bytes of the file */
    struct sw_arena arena;
};

/*
 * Plans the file for the model at `path`. `tensors`: its directory, which must outlive *out.
 * SW_EUSAGE: what is asked does not go with the model. SW_EMODEL: a family or a property of the
 * model that GGUF cannot say, a tokenizer that llama.cpp does not know, a missing tensor. The
 * caller frees *out, also after a failure.
 */
enum sw_status sw_gguf_export_make(const char *path, const struct sw_model *model,
                                   const struct sw_tensors *tensors,
                                   const struct sw_weight_choice *choice,
                                   struct sw_export_plan *out);
void sw_export_plan_free(struct sw_export_plan *e);

/* The row of the file that row `row` of the sources becomes. */
int64_t sw_export_row(const struct sw_export_tensor *tensor, int64_t row);

#endif

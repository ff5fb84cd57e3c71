/*
 * The tensor directory: the tensors of a checkpoint and the offsets of their bytes. Readers of
 * weight files fill it. It never has tensor data.
 */
#ifndef SW_TENSOR_TENSORS_H
#define SW_TENSOR_TENSORS_H

#include "base/status.h"
#include "tensor/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_MAX_RANK 8

struct sw_format;
struct sw_made_form;

/*
 * A matrix whose rows lie in no file as they are: they are made of parts, ranges of bytes (packed
 * elements, scales, tables). How is known to its form alone (checkpoint/adapter.h).
 */
#define SW_MADE_PARTS 6
struct sw_made {
    const struct sw_made_form *form;
    int n_parts;
    struct sw_made_part {
        int file; /* index into sw_tensors.files */
        uint64_t offset, bytes;
        uint64_t row_bytes; /* row i is made of the bytes from i * row_bytes; 0: of any */
    } parts[SW_MADE_PARTS];
    int64_t whole[6]; /* what else the form wants to know: sizes of groups, kinds */
    float real[2];
};

struct sw_tensor {
    const char *name;               /* owned by the directory */
    enum sw_dtype dtype;            /* of its elements */
    const struct sw_format *blocks; /* NULL; else its rows are packed in this format's blocks, in C
                                       order, and `dtype` is SW_F32, which they are decoded to */
    int rank;
    int64_t shape[SW_MAX_RANK];
    int64_t stride[SW_MAX_RANK]; /* in elements; C order, but torch files may have others */
    int file;                    /* index into sw_tensors.files */
    uint64_t offset;             /* of element [0, …, 0] in that file, in bytes, any alignment */
    uint64_t bytes;              /* of the values, not of the strided span */
    uint32_t made;   /* 0: its bytes lie in the file; else 1 + an index into sw_tensors.made, and
                        `file` and `offset` are of its first part */
    uint32_t twin;   /* 0; else 1 + an index into sw_tensors.items: the same matrix in blocks
                        that need something behind them, by which alone they can be read: the
                        order of their columns, sorted by group, or a table */
    uint64_t behind; /* of the twin: a digest of what lies behind it; 0: nothing */
};

struct sw_tensor_file {
    char *path;
    uint64_t size; /* bytes, as found when the header was read */
};

struct sw_tensors {
    struct sw_tensor *items; /* (count), in the order added */
    size_t count, capacity;
    struct sw_tensor_file *files; /* (n_files) */
    int n_files;
    struct sw_made *made; /* (n_made) */
    size_t n_made;
    uint32_t *slots; /* hash table of item index + 1; (n_slots), a power of two */
    size_t n_slots;
};

/* Adds a file of `size` bytes; *index is its index in files. */
enum sw_status sw_tensors_add_file(struct sw_tensors *tensors, const char *path, uint64_t size,
                                   int *index);
/*
 * Adds a copy of a tensor and its name. The caller sets every field but `bytes`, which is computed
 * here. SW_EMODEL: a duplicate name, a negative or overflowing shape, rows that are not whole
 * blocks, or bytes that do not lie inside the file.
 */
enum sw_status sw_tensors_add(struct sw_tensors *tensors, const struct sw_tensor *tensor);
/*
 * Adds a matrix of `rows` rows and `cols` columns that is made of `made`, which is copied; it takes
 * the place of a tensor of that name. Its rows are blocks of the format `blocks`, the last of a row
 * filled up, and then the row's scale where the format has one; NULL: f32. SW_EMODEL: sizes that
 * overflow, or parts that do not lie inside their files.
 */
enum sw_status sw_tensors_add_made(struct sw_tensors *tensors, const char *name,
                                   const struct sw_format *blocks, int64_t rows, int64_t cols,
                                   const struct sw_made *made);
/* How a tensor is made; NULL: it lies in the file. */
static inline const struct sw_made *sw_tensor_made(const struct sw_tensors *tensors,
                                                   const struct sw_tensor *tensor)
{
    return tensor->made ? &tensors->made[tensor->made - 1] : NULL;
}
/* NULL: no such tensor. */
const struct sw_tensor *sw_tensors_find(const struct sw_tensors *tensors, const char *name);
int64_t sw_tensor_elements(const struct sw_tensor *tensor);
bool sw_tensor_is_contiguous(const struct sw_tensor *tensor);
/* Writes "bf16 [4096, 11008]" to `out`, for messages; returns `out`. */
const char *sw_tensor_describe(const struct sw_tensor *tensor, char *out, size_t cap);
void sw_tensors_free(struct sw_tensors *tensors);

#endif

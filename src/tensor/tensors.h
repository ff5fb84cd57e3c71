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
/* NULL: no such tensor. */
const struct sw_tensor *sw_tensors_find(const struct sw_tensors *tensors, const char *name);
int64_t sw_tensor_elements(const struct sw_tensor *tensor);
bool sw_tensor_is_contiguous(const struct sw_tensor *tensor);
/* Writes "bf16 [4096, 11008]" to `out`, for messages; returns `out`. */
const char *sw_tensor_describe(const struct sw_tensor *tensor, char *out, size_t cap);
void sw_tensors_free(struct sw_tensors *tensors);

#endif

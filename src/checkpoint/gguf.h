/*
 * GGUF: keys with typed values, then the tensors' names, shapes and types, then their data. Version
 * 2 and 3, little-endian. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 *
 * This is the container alone. What the keys of a family mean is not known here.
 */
#ifndef SW_CHECKPOINT_GGUF_H
#define SW_CHECKPOINT_GGUF_H

#include "base/arena.h"
#include "base/status.h"
#include "checkpoint/source.h"
#include "tensor/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ggml's own limits. */
#define SW_GGUF_MAX_RANK 4
#define SW_GGUF_NAME_MAX 63 /* bytes of a tensor's name */

/* Values as in files. */
enum sw_gguf_kind {
    SW_GGUF_U8,
    SW_GGUF_I8,
    SW_GGUF_U16,
    SW_GGUF_I16,
    SW_GGUF_U32,
    SW_GGUF_I32,
    SW_GGUF_F32,
    SW_GGUF_BOOL,
    SW_GGUF_STRING,
    SW_GGUF_ARRAY, /* of a file's value only; struct sw_gguf_value has the elements' kind */
    SW_GGUF_U64,
    SW_GGUF_I64,
    SW_GGUF_F64,
    SW_GGUF_KINDS
};

/* Any bytes, with a NUL behind them. */
struct sw_gguf_string {
    const char *bytes;
    size_t length;
};

struct sw_gguf_value {
    const char *key;
    enum sw_gguf_kind kind; /* of each element; never SW_GGUF_ARRAY */
    bool is_array;
    uint64_t count;   /* elements; 1 where it is no array */
    const void *data; /* (count) elements side by side; struct sw_gguf_string for strings */
};

struct sw_gguf_tensor {
    const char *name;
    enum sw_dtype dtype;            /* as in struct sw_tensor */
    const struct sw_format *blocks; /* as in struct sw_tensor */
    int rank;
    int64_t shape[SW_GGUF_MAX_RANK]; /* in C order: the last dimension is the row (files have the
                                        opposite order) */
    uint64_t offset, bytes;          /* where its data is in the file */
};

/* A header. Everything lies in `arena`. */
struct sw_gguf {
    uint32_t version;
    const struct sw_gguf_value *values; /* (n_values), in the file's order */
    size_t n_values;
    const struct sw_gguf_tensor *tensors; /* (n_tensors), in the file's order */
    size_t n_tensors;
    const struct sw_gguf_value **by_key; /* (n_values) the values, sorted */
    struct sw_arena arena;
};

bool sw_gguf_is(const void *first, size_t n);
/*
 * Reads the header of a file; no tensor data. The caller frees *out by sw_gguf_free; on failure it
 * is empty. SW_EMODEL: another version, big-endian, a key twice, a value or tensor that
 * does not lie inside the file, a type that is not known here; the message names the path, and the
 * key or tensor. Memory: at most about eight times the bytes of the header.
 */
enum sw_status sw_gguf_read(const struct sw_source *source, struct sw_gguf *out);
void sw_gguf_free(struct sw_gguf *gguf);

/* Bytes of an element of this kind; 0: strings and arrays. */
unsigned sw_gguf_kind_bytes(enum sw_gguf_kind kind);
/* ggml's number of an element type. False: it has none. */
bool sw_gguf_type_of(enum sw_dtype dtype, uint32_t *type);

/* NULL: there is no such key. */
const struct sw_gguf_value *sw_gguf_find(const struct sw_gguf *gguf, const char *key);

/*
 * Element i of a value. Writers disagree on the widths of numbers, so any kind of whole number will
 * do for an integer, and any number for a float. False: the value is NULL, has no such element, or
 * is of another kind or range; *out is unchanged.
 */
bool sw_gguf_integer(const struct sw_gguf_value *value, uint64_t i, int64_t *out);
bool sw_gguf_float(const struct sw_gguf_value *value, uint64_t i, double *out);
bool sw_gguf_bool(const struct sw_gguf_value *value, uint64_t i, bool *out);
bool sw_gguf_text(const struct sw_gguf_value *value, uint64_t i, struct sw_gguf_string *out);

#endif

/*
 * The pickles of torch files, read by a stack machine that knows no code: an opcode or a global
 * name that state dicts do not need is refused or becomes an opaque value. Nothing recurses, and
 * memory is bounded: SW_PICKLE_MEMORY bytes for each byte read, and 1 MiB.
 */
#ifndef SW_FORMAT_TORCH_PICKLE_H
#define SW_FORMAT_TORCH_PICKLE_H

#include "base/arena.h"
#include "base/status.h"
#include "tensor/tensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More than any state dict's names and shapes need. */
#define SW_PICKLE_BYTES_MAX ((size_t)64 << 20)
/* A state dict takes 5 to 10: what is asked for in vain beyond this is refused. */
#define SW_PICKLE_MEMORY 24

enum sw_pickle_kind {
    SW_PICKLE_UNSET, /* never the kind of a value on the stack */
    SW_PICKLE_NONE,
    SW_PICKLE_BOOL,
    SW_PICKLE_INT,
    SW_PICKLE_STRING,
    SW_PICKLE_TUPLE,
    SW_PICKLE_LIST,
    SW_PICKLE_DICT, /* items are key, value, key, value, … */
    SW_PICKLE_GLOBAL,
    SW_PICKLE_STORAGE,
    SW_PICKLE_TENSOR,
    SW_PICKLE_OPAQUE /* anything a tensor does not need */
};

struct sw_pickle_value {
    enum sw_pickle_kind kind;
    uint32_t length; /* of a string */
    union {
        int64_t integer;           /* and bool */
        const char *text;          /* of a string: inside the parsed bytes, not NUL-terminated */
        struct sw_pickle_seq *seq; /* tuple, list, dict */
        const struct sw_torch_global *global;
        const struct sw_torch_storage *storage;
        const struct sw_torch_tensor *tensor;
    } as;
};

struct sw_pickle_seq {
    struct sw_pickle_seq *next; /* of those whose items are to be freed: lists and dicts */
    struct sw_pickle_value *items;
    uint32_t count, capacity;
    int has_tensors; /* of a dict, once asked: 1 no, 2 yes */
};

struct sw_torch_storage {
    const struct sw_torch_storage *next; /* of the same pickle */
    const char *key;                     /* not NUL-terminated */
    size_t key_length;
    enum sw_dtype dtype;  /* SW_U8 when untyped */
    int64_t numel;        /* of the whole storage, elements of dtype */
    int64_t view, n_view; /* the part a legacy view may use; else 0 and numel */
};

struct sw_torch_tensor {
    const struct sw_torch_storage *storage;
    const char *defect; /* not NULL: why it cannot be read; the rest is not set then */
    enum sw_dtype dtype;
    int rank;
    int64_t offset; /* elements of dtype from the storage's view */
    int64_t shape[SW_MAX_RANK], stride[SW_MAX_RANK];
};

struct sw_pickle {
    struct sw_pickle_value top;
    size_t used;    /* bytes, up to and with STOP */
    bool truncated; /* after SW_EMODEL: the bytes ended before STOP */
    size_t copied;  /* values copied from one container to another; bounded */
    const struct sw_torch_storage *storages;
    struct sw_pickle_seq *seqs;
    struct sw_arena arena;
    size_t taken, most; /* bytes of memory, and how many may be */
};

/*
 * Reads one pickle from the beginning of `bytes`, which must outlive `out`. Free `out` after a
 * failure too. SW_EMODEL: an opcode outside the list, a stack underflow, …, with the position.
 */
enum sw_status sw_pickle_parse(const void *bytes, size_t length, struct sw_pickle *out);
void sw_pickle_free(struct sw_pickle *pickle);

/* Counts memory that is about to be taken. SW_EMODEL: it is more than a state dict needs. */
enum sw_status sw_pickle_afford(struct sw_pickle *pickle, size_t bytes);
/* Memory that lives as long as the pickle, zeroed. */
enum sw_status sw_pickle_alloc(struct sw_pickle *pickle, size_t size, void **out);
/* Room for `wanted` values; the caller frees *items. */
enum sw_status sw_pickle_grow(struct sw_pickle *pickle, struct sw_pickle_value **items,
                              uint32_t *capacity, size_t wanted);
/* A new empty list or dict, and more of its items. */
enum sw_status sw_pickle_new_seq(struct sw_pickle *pickle, enum sw_pickle_kind kind,
                                 struct sw_pickle_value *out);
enum sw_status sw_pickle_append(struct sw_pickle *pickle, struct sw_pickle_seq *seq,
                                const struct sw_pickle_value *items, size_t n);
enum sw_status sw_pickle_new_tuple(struct sw_pickle *pickle, const struct sw_pickle_value *items,
                                   size_t n, struct sw_pickle_value *out);

#endif

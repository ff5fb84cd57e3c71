/*
 * Reads the pickles of torch files by a stack machine that runs no code: an opcode that state dicts
 * do not need is refused, and a global name that they do not need becomes an opaque value. Nothing
 * recurses, and memory is limited to SW_PICKLE_MEMORY bytes for each byte read, plus 1 MiB.
 */
#ifndef SW_CHECKPOINT_TORCH_PICKLE_H
#define SW_CHECKPOINT_TORCH_PICKLE_H

#include "base/arena.h"
#include "base/status.h"
#include "tensor/tensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest pickle that is read: more than any state dict's names and shapes need. */
#define SW_PICKLE_BYTES_MAX ((size_t)64 << 20)
/* Bytes of memory for each byte of a pickle; a state dict needs 5 to 10. */
#define SW_PICKLE_MEMORY 24

enum sw_pickle_kind {
    SW_PICKLE_UNSET, /* never the kind of a value on the stack */
    SW_PICKLE_NONE,
    SW_PICKLE_BOOL,
    SW_PICKLE_INT,
    SW_PICKLE_STRING,
    SW_PICKLE_TUPLE,
    SW_PICKLE_LIST,
    SW_PICKLE_DICT, /* items alternate: key, value, key, value */
    SW_PICKLE_GLOBAL,
    SW_PICKLE_STORAGE,
    SW_PICKLE_TENSOR,
    SW_PICKLE_OPAQUE /* anything a tensor does not need */
};

struct sw_pickle_value {
    enum sw_pickle_kind kind;
    uint32_t length; /* of a string */
    union {
        int64_t integer;           /* of INT and BOOL */
        const char *text;          /* of STRING: (length), in the parsed bytes, no NUL at its end */
        struct sw_pickle_seq *seq; /* of TUPLE, LIST and DICT */
        const struct sw_torch_global *global;
        const struct sw_torch_storage *storage;
        const struct sw_torch_tensor *tensor;
    } as;
};

struct sw_pickle_seq {
    struct sw_pickle_seq *next;    /* in the list of those whose items are freed: lists and dicts */
    struct sw_pickle_value *items; /* (count) */
    uint32_t count, capacity;
    int has_tensors; /* of a dict: 0 not known yet, 1 no, 2 yes */
};

struct sw_torch_storage {
    const struct sw_torch_storage *next; /* in the list of the pickle's storages */
    const char *key;                     /* (key_length), no NUL at its end */
    size_t key_length;
    enum sw_dtype dtype; /* SW_U8 when untyped */
    int64_t numel;       /* elements of the whole storage */
    int64_t view;        /* first element of a legacy view; else 0 */
    int64_t n_view;      /* elements of a legacy view; else numel */
};

struct sw_torch_tensor {
    const struct sw_torch_storage *storage;
    /* Why the tensor cannot be read; the fields below are not set then. NULL: it can be. */
    const char *defect;
    enum sw_dtype dtype;
    int rank;
    int64_t offset; /* elements of dtype from the beginning of the storage's view */
    int64_t shape[SW_MAX_RANK], stride[SW_MAX_RANK];
};

struct sw_pickle {
    struct sw_pickle_value top;
    size_t used;    /* bytes of the pickle, with its STOP */
    bool truncated; /* after SW_EMODEL: the bytes ended before STOP */
    size_t copied;  /* values copied between containers; torch_objects.c limits it */
    const struct sw_torch_storage *storages; /* list of all storages */
    struct sw_pickle_seq *seqs;              /* list of all lists and dicts */
    struct sw_arena arena;
    size_t taken; /* bytes of memory in use */
    size_t most;  /* limit of `taken` */
};

/*
 * Reads one pickle from the beginning of `bytes`, which must outlive `out`. The caller frees `out`,
 * also after a failure. SW_EMODEL, with the position: an opcode that is refused, a stack underflow,
 * too much memory, missing bytes.
 */
enum sw_status sw_pickle_parse(const void *bytes, size_t length, struct sw_pickle *out);
void sw_pickle_free(struct sw_pickle *pickle);

/* Whether a value is the string `text`. */
bool sw_pickle_is_text(const struct sw_pickle_value *value, const char *text);

/* Counts memory before it is allocated. SW_EMODEL: it is more than a state dict needs. */
enum sw_status sw_pickle_afford(struct sw_pickle *pickle, size_t bytes);
/* Allocates zeroed memory that is freed with the pickle. */
enum sw_status sw_pickle_alloc(struct sw_pickle *pickle, size_t size, void **out);
/* Makes room for `wanted` values in *items, which the caller frees, also after a failure. */
enum sw_status sw_pickle_grow(struct sw_pickle *pickle, struct sw_pickle_value **items,
                              uint32_t *capacity, size_t wanted);
/* Makes an empty list or dict. */
enum sw_status sw_pickle_new_seq(struct sw_pickle *pickle, enum sw_pickle_kind kind,
                                 struct sw_pickle_value *out);
/* Appends n items to a list or dict. */
enum sw_status sw_pickle_append(struct sw_pickle *pickle, struct sw_pickle_seq *seq,
                                const struct sw_pickle_value *items, size_t n);
/* Makes a tuple of n items. */
enum sw_status sw_pickle_new_tuple(struct sw_pickle *pickle, const struct sw_pickle_value *items,
                                   size_t n, struct sw_pickle_value *out);

#endif

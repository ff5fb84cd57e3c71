/*
 * Adapters: what published checkpoints with quantized matrices hold, one file an adapter. In such a
 * folder a matrix "P.weight" is several tensors (packed elements, scales, tables), which
 * config.json tells how to read. An adapter puts a made matrix (struct sw_made) into the tensor
 * directory in their place, under the name that the family's own checkpoints have; its form makes
 * rows of it when they are read. So models, plans and loaders see a matrix in blocks, as in a GGUF
 * file.
 */
#ifndef SW_CHECKPOINT_ADAPTER_H
#define SW_CHECKPOINT_ADAPTER_H

#include "base/json.h"
#include "tensor/format.h"
#include "tensor/tensors.h"

#include <stdbool.h>

/* ---- forms: how rows are made of parts */

struct sw_made_rows {
    const struct sw_tensor *tensor; /* what is made: its name, shape and format */
    const struct sw_made *made;
    /* (n_parts) where a part has row_bytes, at the bytes of row `row0` (NULL for `prepare`); else
     * at its first byte. Any alignment. */
    const void *const *parts;
    const void *state; /* what `prepare` made; NULL: nothing */
    int64_t row0, n_rows;
};

struct sw_made_form {
    /* Once for a matrix, when all parts without row_bytes are in memory: checks them, and may make
     * a *state of them, which is freed with free(). SW_EMODEL, naming the tensor. NULL: neither. */
    enum sw_status (*prepare)(const struct sw_made_rows *rows, void **state);
    /* Writes the rows as sw_tensors_add_made says, one behind the other. Called by several threads
     * at once. The blocks' decoded values are those of the library that wrote the file, bit for
     * bit. */
    void (*make)(const struct sw_made_rows *rows, void *out);
};

/* ---- adapters */

struct sw_adapting {
    const struct sw_adapter *adapter;
    const json_t *config; /* config.json's quantization_config, or what stands for it */
    struct sw_tensors *tensors;
};

struct sw_adapter {
    const char *name;            /* for messages: "bitsandbytes" */
    const char *const *methods;  /* values of quant_method; NULL at the end */
    const char *const *suffixes; /* ends of tensors that matrices are found by: ".weight"; NULL at
                                  * the end */
    bool (*claims)(const json_t *config); /* of a config without quant_method: whether it is of this
                                           * adapter; NULL: never */
    /* Refuses what the config says and is not supported (SW_EMODEL). NULL: anything will do. */
    enum sw_status (*check)(const json_t *config);
    /*
     * For each tensor "STEM" + a suffix of the above, in the directory's order: adds the matrix by
     * sw_adapting_add, or leaves the tensor as it is. SW_EMODEL: a part is missing or has another
     * shape; the message names tensor, expected and actual. `tensor` is a copy.
     */
    enum sw_status (*matrix)(struct sw_adapting *a, const struct sw_tensor *tensor,
                             const char *stem);
    /* What linear matrices are in, where there is nothing but the config; NULL: not known. */
    const struct sw_format *(*format)(const json_t *config);
    bool experts_only; /* of models with experts, only these are in it */
};

/* A line here and one in the table of adapter.c each. */
extern const struct sw_adapter sw_adapter_bitsandbytes;
extern const struct sw_adapter sw_adapter_gptq, sw_adapter_awq, sw_adapter_compressed;
extern const struct sw_adapter sw_adapter_fp8;
extern const struct sw_adapter sw_adapter_mxfp4;

/*
 * What the config of the model `path` (a folder, or its config.json) says about quantized matrices.
 * *adapter and *config are NULL where it says nothing; the caller frees *config by json_decref.
 * SW_EMODEL: a method that no adapter has (the message lists those that are known).
 */
enum sw_status sw_adapter_find(const char *path, const struct sw_adapter **adapter,
                               json_t **config);
/* The same of a config in memory, or SW_EMODEL; `config` may be any JSON. */
enum sw_status sw_adapter_of(const json_t *config, const struct sw_adapter **adapter);
/* Puts the matrices into the directory. */
enum sw_status sw_adapter_apply(const struct sw_adapter *adapter, const json_t *config,
                                struct sw_tensors *tensors);

/* ---- for adapters: each failure names the tensor, what was expected and what there is */

#define SW_ADAPTING_NAME_MAX 512

/* The tensor "STEM" + suffix; NULL: there is none. */
const struct sw_tensor *sw_adapting_find(const struct sw_adapting *a, const char *stem,
                                         const char *suffix);
/* The same, or SW_EMODEL: `whose` needs it. */
enum sw_status sw_adapting_need(const struct sw_adapting *a, const struct sw_tensor *whose,
                                const char *stem, const char *suffix, const struct sw_tensor **out);
/* SW_EMODEL unless the tensor is contiguous, of this element type (SW_OTHER: any) and shape; dims
 * of 1 at the end of the tensor's do not matter. */
enum sw_status sw_adapting_check(const struct sw_adapting *a, const struct sw_tensor *tensor,
                                 enum sw_dtype dtype, int rank, const int64_t *shape);
/* Reads a small tensor: all its bytes, n of them. */
enum sw_status sw_adapting_read(const struct sw_adapting *a, const struct sw_tensor *tensor,
                                void *out, size_t n);
/* Adds the next part: bytes of each row, or 0: it is read whole. */
void sw_made_add(struct sw_made *made, const struct sw_tensor *tensor, uint64_t row_bytes);
/* Adds the matrix "STEM.weight", as sw_tensors_add_made. */
enum sw_status sw_adapting_add(struct sw_adapting *a, const char *stem,
                               const struct sw_format *blocks, int64_t rows, int64_t cols,
                               const struct sw_made *made);
/* Adds the twin (sw_tensor.twin) of a matrix that was added so. behind: a digest of what lies
 * behind it. */
enum sw_status sw_adapting_add_twin(struct sw_adapting *a, const char *stem,
                                    const struct sw_format *blocks, int64_t rows, int64_t cols,
                                    const struct sw_made *made, uint64_t behind);
/* Of n words; never 0. */
uint64_t sw_made_digest(const void *words, size_t n);
/* Reads a part: all its bytes. */
enum sw_status sw_made_read_part(const struct sw_tensors *tensors, const struct sw_made_part *part,
                                 void *out);

#endif

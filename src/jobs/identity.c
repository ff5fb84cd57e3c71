/* Owns digests that identify a model by what its files hold. */
#include "jobs/identity.h"

#include "base/file.h"
#include "base/hash.h"
#include "tensor/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX (256u << 20) /* bytes of a text file that count */
#define WHOLE_MAX (8u << 20)
#define PIECES 64
#define PIECE (64u << 10)
#define TENSORS_MAX 4096
#define TENSOR_PIECE 4096
#define FORMER_TAIL (64u << 10)

static const uint64_t known_key[2] = {0x5370696c6c776179, 0x6d6f64656c};
static const uint64_t sample_key[2] = {0x5370696c6c776179, 0x706c616365};

/* The text files that answers depend on. Version 1 used those with `former`. A `late` one joined
 * when there were jobs already: their digests have nothing of it where it is absent. */
static const struct {
    const char *name;
    bool former, late;
} texts[] = {{"config.json", true, false},
             {"tokenizer.json", true, false},
             {"tokenizer.model", true, false},
             {"vocab.json", true, false},
             {"merges.txt", true, false},
             {"tokenizer_config.json", true, false},
             {"chat_template.jinja", true, false},
             {"generation_config.json", true, false},
             {"special_tokens_map.json", false, false},
             {"added_tokens.json", false, false},
             {"chat_template.json", false, false},
             {"additional_chat_templates/tool_use.jinja", false, false},
             {"spiece.model", false, true}};
#define N_TEXTS (sizeof texts / sizeof texts[0])

static void identity_add_number(struct sw_hash *hash, uint64_t number)
{
    sw_hash_add(hash, &number, sizeof number);
}

static enum sw_status identity_add_range(struct sw_hash *hash, int fd, const char *path,
                                         uint64_t offset, uint64_t n)
{
    char block[16384];
    while (n > 0) {
        const size_t part = n < sizeof block ? (size_t)n : sizeof block;
        SW_TRY(sw_file_read_at(fd, path, offset, block, part));
        sw_hash_add(hash, block, part);
        offset += part;
        n -= part;
    }
    return SW_OK;
}

/* A number below `limit` that follows from `size` and `index`. */
static uint64_t sample_offset(uint64_t size, uint64_t index, uint64_t limit)
{
    const uint64_t seed[2] = {size, index};
    return limit ? sw_hash_of(sample_key, seed, sizeof seed).low % limit : 0;
}

static enum sw_status identity_add_pieces(struct sw_hash *hash, int fd, const char *path,
                                          uint64_t size)
{
    if (size <= WHOLE_MAX)
        return identity_add_range(hash, fd, path, 0, size);
    const uint64_t part = (size - 2 * PIECE) / (PIECES - 2); /* of the file, a piece in each */
    SW_TRY(identity_add_range(hash, fd, path, 0, PIECE));
    for (uint64_t i = 0; i < PIECES - 2; i++)
        SW_TRY(identity_add_range(hash, fd, path,
                                  PIECE + i * part + sample_offset(size, i, part - PIECE), PIECE));
    return identity_add_range(hash, fd, path, size - PIECE, PIECE);
}

/* `model`/name; a model that is one file is its config.json. NULL: no memory. The caller frees. */
static char *identity_text_path(const char *model, bool is_file, const char *name)
{
    return is_file ? strdup(model) : sw_path_join(model, name);
}

/* Bytes before the weights of a model that is one file; TEXT_MAX where it has no weights, as a
 * config.json. */
static uint64_t identity_header_bytes(const struct sw_tensors *t)
{
    uint64_t bytes = TEXT_MAX;
    for (size_t i = 0; i < t->count; i++)
        if (t->items[i].file == 0 && t->items[i].offset < bytes)
            bytes = t->items[i].offset;
    return bytes;
}

/* The text files of a folder; of a model that is one file, what is before its weights. */
static enum sw_status identity_add_texts(struct sw_hash *hash, const char *model,
                                         enum sw_file_kind kind, const struct sw_tensors *t)
{
    const uint64_t most = kind == SW_FILE_REGULAR ? identity_header_bytes(t) : TEXT_MAX;
    for (size_t i = 0; i < N_TEXTS; i++) {
        uint64_t size = 0;
        int fd = -1;
        char *path = identity_text_path(model, kind == SW_FILE_REGULAR, texts[i].name);
        enum sw_status status = path ? sw_file_open_optional(path, &fd, &size)
                                     : sw_fail(SW_ENOMEM, "%s: no memory for a path", model);
        if (fd >= 0 || !texts[i].late)
            identity_add_number(hash, fd < 0 ? 0 : size + 1);
        if (fd >= 0) {
            status = identity_add_range(hash, fd, path, 0, size < most ? size : most);
            close(fd);
        }
        free(path);
        SW_TRY(status);
        if (kind == SW_FILE_REGULAR)
            break;
    }
    return SW_OK;
}

static void identity_add_directory(struct sw_hash *hash, const struct sw_tensors *t)
{
    identity_add_number(hash, t->count);
    for (size_t i = 0; i < t->count; i++) {
        const struct sw_tensor *tensor = &t->items[i];
        sw_hash_add(hash, tensor->name, strlen(tensor->name) + 1);
        identity_add_number(hash, (uint64_t)tensor->dtype);
        if (tensor->blocks)
            sw_hash_add(hash, tensor->blocks->name, strlen(tensor->blocks->name) + 1);
        identity_add_number(hash, (uint64_t)tensor->file);
        identity_add_number(hash, tensor->offset);
        identity_add_number(hash, (uint64_t)tensor->rank);
        for (int k = 0; k < tensor->rank; k++) {
            identity_add_number(hash, (uint64_t)tensor->shape[k]);
            identity_add_number(hash, (uint64_t)tensor->stride[k]);
        }
    }
}

/* Every `step`th tensor of the file, some of its bytes. */
static enum sw_status identity_add_tensors(struct sw_hash *hash, int fd, uint64_t size,
                                           const struct sw_tensors *t, int file, size_t step)
{
    for (size_t i = 0; i < t->count; i += step) {
        const struct sw_tensor *tensor = &t->items[i];
        if (tensor->file != file || tensor->offset >= size)
            continue;
        /* a tensor whose values are repeated by its strides has more bytes than the file */
        const uint64_t left = size - tensor->offset;
        const uint64_t bytes = tensor->bytes < left ? tensor->bytes : left;
        const uint64_t n = bytes < TENSOR_PIECE ? bytes : TENSOR_PIECE;
        SW_TRY(identity_add_range(hash, fd, t->files[file].path,
                                  tensor->offset + sample_offset(bytes, i, bytes - n + 1), n));
    }
    return SW_OK;
}

static enum sw_status identity_add_weights(struct sw_hash *hash, const struct sw_tensors *t)
{
    const size_t step = (t->count + TENSORS_MAX - 1) / TENSORS_MAX;
    identity_add_directory(hash, t);
    for (int i = 0; i < t->n_files; i++) {
        const char *path = t->files[i].path;
        uint64_t size;
        int fd;
        SW_TRY(sw_file_open(path, &fd, &size));
        identity_add_number(hash, size);
        enum sw_status status = identity_add_pieces(hash, fd, path, size);
        if (status == SW_OK && size > WHOLE_MAX)
            status = identity_add_tensors(hash, fd, size, t, i, step);
        close(fd);
        SW_TRY(status);
    }
    return SW_OK;
}

static enum sw_status identity_digest_hashes(const struct sw_tensors *t, char digest[33])
{
    struct sw_hash hash;
    digest[0] = '\0';
    sw_hash_begin(&hash, known_key);
    for (int i = 0; i < t->n_files; i++) {
        char text[65];
        SW_TRY(sw_identity_hub_hash(t->files[i].path, text));
        if (!text[0])
            return SW_OK;
        sw_hash_add(&hash, text, 64);
    }
    if (t->n_files > 0)
        sw_digest_text(sw_hash_end(&hash), digest);
    return SW_OK;
}

enum sw_status sw_identity_make(const char *model, const struct sw_tensors *tensors,
                                struct sw_identity *out)
{
    struct sw_hash hash;
    enum sw_file_kind kind;
    SW_TRY(sw_file_find(model, &kind));
    out->version = kind == SW_FILE_REGULAR && tensors->n_files > 0 ? SW_IDENTITY_VERSION_FILE
                                                                   : SW_IDENTITY_VERSION;
    sw_hash_begin(&hash, known_key);
    SW_TRY(identity_add_texts(&hash, model, kind, tensors));
    SW_TRY(identity_add_weights(&hash, tensors));
    sw_digest_text(sw_hash_end(&hash), out->digest);
    return identity_digest_hashes(tensors, out->hashes);
}

/* Adds the last (for FORMER_TAIL) or first `tail` bytes of a file, and the offset of their end. */
static enum sw_status identity_add_former(struct sw_hash *hash, const char *path, uint64_t tail)
{
    uint64_t size;
    int fd;
    SW_TRY(sw_file_open_optional(path, &fd, &size));
    if (fd < 0)
        return SW_OK;
    const uint64_t n = size < tail ? size : tail;
    const uint64_t begin = tail == FORMER_TAIL ? size - n : 0, end = begin + n;
    const enum sw_status status = identity_add_range(hash, fd, path, begin, n);
    close(fd);
    sw_hash_add(hash, &end, sizeof end);
    return status;
}

enum sw_status sw_identity_former(const char *model, const struct sw_tensors *tensors,
                                  char digest[33])
{
    struct sw_hash hash;
    sw_hash_begin(&hash, known_key);
    for (size_t i = 0; i < N_TEXTS; i++) {
        char *path = sw_path_join(model, texts[i].name);
        const enum sw_status status = !texts[i].former ? SW_OK
                                      : path           ? identity_add_former(&hash, path, TEXT_MAX)
                                                       : sw_fail(SW_ENOMEM, "no memory for a path");
        free(path);
        SW_TRY(status);
    }
    for (int i = 0; i < tensors->n_files; i++)
        SW_TRY(identity_add_former(&hash, tensors->files[i].path, FORMER_TAIL));
    sw_digest_text(sw_hash_end(&hash), digest);
    return SW_OK;
}

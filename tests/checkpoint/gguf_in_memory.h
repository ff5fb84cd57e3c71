/* Writes GGUF files into memory, for tests, and reads their headers. */
#ifndef SW_TESTS_GGUF_IN_MEMORY_H
#define SW_TESTS_GGUF_IN_MEMORY_H

#include "checkpoint/gguf.h"
#include "helpers.h"

struct gguf_file {
    uint8_t bytes[4096];
    size_t n;
};

static inline void add_bytes(struct gguf_file *f, const void *bytes, size_t n)
{
    if (f->n + n > sizeof f->bytes)
        abort();
    memcpy(f->bytes + f->n, bytes, n);
    f->n += n;
}

static inline void add_number(struct gguf_file *f, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        add_bytes(f, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

static inline void add_text(struct gguf_file *f, const char *text)
{
    add_number(f, strlen(text), 8);
    add_bytes(f, text, strlen(text));
}

static inline struct gguf_file begin_file(uint32_t version, uint64_t n_tensors, uint64_t n_values)
{
    struct gguf_file f = {.n = 0};
    add_bytes(&f, "GGUF", 4);
    add_number(&f, version, 4);
    add_number(&f, n_tensors, 8);
    add_number(&f, n_values, 8);
    return f;
}

static inline void add_value(struct gguf_file *f, const char *key, enum sw_gguf_kind kind,
                             uint64_t bits, int size)
{
    add_text(f, key);
    add_number(f, kind, 4);
    add_number(f, bits, size);
}

static inline void add_array(struct gguf_file *f, const char *key, enum sw_gguf_kind kind,
                             uint64_t count)
{
    add_text(f, key);
    add_number(f, SW_GGUF_ARRAY, 4);
    add_number(f, kind, 4);
    add_number(f, count, 8);
}

/* dims: (rank) as in files, the row's length first */
static inline void add_tensor(struct gguf_file *f, const char *name, int rank, const uint64_t *dims,
                              uint32_t type, uint64_t offset)
{
    add_text(f, name);
    add_number(f, (uint64_t)rank, 4);
    for (int i = 0; i < rank; i++)
        add_number(f, dims[i], 8);
    add_number(f, type, 4);
    add_number(f, offset, 8);
}

static inline void add_data(struct gguf_file *f, size_t alignment, size_t n)
{
    while (f->n % alignment != 0)
        add_number(f, 0, 1);
    for (size_t i = 0; i < n; i++)
        add_number(f, i, 1);
}

static inline enum sw_status read_file(const struct gguf_file *f, struct sw_gguf *out)
{
    uint8_t *exact = malloc(f->n + 1); /* so that a sanitizer sees reads behind the end */
    if (!exact)
        abort();
    memcpy(exact, f->bytes, f->n);
    const struct sw_source source = sw_source_of_memory("a/b.gguf", exact, f->n);
    const enum sw_status status = sw_gguf_read(&source, out);
    free(exact);
    return status;
}

#endif

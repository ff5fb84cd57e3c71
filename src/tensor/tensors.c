/* Owns the tensor directory. */
#include "tensor/tensors.h"

#include "base/checked.h"
#include "tensor/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t hash_of(const char *name)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a */
    for (const char *c = name; *c; c++)
        h = (h ^ (unsigned char)*c) * 1099511628211u;
    return (size_t)(h ^ (h >> 29));
}

enum sw_status sw_tensors_add_file(struct sw_tensors *t, const char *path, uint64_t size,
                                   int *index)
{
    struct sw_tensor_file *files = realloc(t->files, ((size_t)t->n_files + 1) * sizeof *files);
    if (!files)
        return sw_fail(SW_ENOMEM, "no memory for the list of weight files");
    t->files = files;
    char *copy = strdup(path);
    if (!copy)
        return sw_fail(SW_ENOMEM, "no memory for the list of weight files");
    t->files[t->n_files] = (struct sw_tensor_file){copy, size};
    *index = t->n_files++;
    return SW_OK;
}

static void tensors_insert(struct sw_tensors *t, size_t item)
{
    size_t slot = hash_of(t->items[item].name) & (t->n_slots - 1);
    while (t->slots[slot])
        slot = (slot + 1) & (t->n_slots - 1);
    t->slots[slot] = (uint32_t)item + 1;
}

static enum sw_status tensors_grow(struct sw_tensors *t)
{
    if (t->count < t->capacity)
        return SW_OK;
    const size_t capacity = t->capacity ? 2 * t->capacity : 256;
    if (capacity >= UINT32_MAX / 4)
        return sw_fail(SW_EMODEL, "more than a billion tensors");
    struct sw_tensor *items = realloc(t->items, capacity * sizeof *items);
    if (!items)
        return sw_fail(SW_ENOMEM, "no memory for a directory of %zu tensors", capacity);
    t->items = items;
    uint32_t *slots = calloc(2 * capacity, sizeof *slots);
    if (!slots)
        return sw_fail(SW_ENOMEM, "no memory for a directory of %zu tensors", capacity);
    free(t->slots);
    t->slots = slots;
    t->n_slots = 2 * capacity;
    t->capacity = capacity;
    for (size_t i = 0; i < t->count; i++)
        tensors_insert(t, i);
    return SW_OK;
}

/* Of a tensor of blocks. False: rows of no whole blocks. */
static bool block_bytes(const struct sw_tensor *tensor, uint64_t *bytes)
{
    const struct sw_format *f = tensor->blocks;
    const int64_t row = tensor->rank > 0 ? tensor->shape[tensor->rank - 1] : 1;
    uint64_t n = 1;
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->shape[i] < 0 || !sw_mul_u64(n, (uint64_t)tensor->shape[i], &n))
            return false;
    return row % f->block_len == 0 && n <= INT64_MAX && sw_tensor_is_contiguous(tensor) &&
           sw_mul_u64(n / (uint64_t)f->block_len, f->block_bytes, bytes);
}

/* Bytes from the first to the last element that the strides reach. False: overflow. */
static bool span_bytes(const struct sw_tensor *tensor, uint64_t *values, uint64_t *span)
{
    const unsigned bits = sw_dtype_info(tensor->dtype)->bits;
    uint64_t n = 1, last = 0;
    if (tensor->blocks) {
        const bool whole = block_bytes(tensor, values);
        *span = whole ? *values : 0;
        return whole;
    }
    for (int i = 0; i < tensor->rank; i++)
        if (tensor->shape[i] < 0 || !sw_mul_u64(n, (uint64_t)tensor->shape[i], &n))
            return false;
    for (int i = 0; i < tensor->rank && n > 0; i++) {
        uint64_t step;
        if (tensor->shape[i] == 1)
            continue;
        if (tensor->stride[i] < 0 ||
            !sw_mul_u64((uint64_t)tensor->shape[i] - 1, (uint64_t)tensor->stride[i], &step) ||
            !sw_add_u64(last, step, &last))
            return false;
    }
    if (!sw_mul_u64(n, bits, values) || !sw_mul_u64(n ? last + 1 : 0, bits, span) || n > INT64_MAX)
        return false;
    *values /= 8;
    *span /= 8;
    return true;
}

enum sw_status sw_tensors_add(struct sw_tensors *t, const struct sw_tensor *tensor)
{
    uint64_t values, span, end;
    if (!span_bytes(tensor, &values, &span) || !sw_add_u64(tensor->offset, span, &end))
        return sw_fail(SW_EMODEL, "tensor '%s': its shape overflows, or is not one of whole blocks",
                       tensor->name);
    if (end > t->files[tensor->file].size)
        return sw_fail(SW_EMODEL,
                       "%s: tensor '%s' ends at byte %llu, but the file has %llu bytes; it is "
                       "truncated, copy it again",
                       t->files[tensor->file].path, tensor->name, (unsigned long long)end,
                       (unsigned long long)t->files[tensor->file].size);
    if (sw_tensors_find(t, tensor->name))
        return sw_fail(SW_EMODEL, "%s: tensor '%s' occurs twice", t->files[tensor->file].path,
                       tensor->name);
    SW_TRY(tensors_grow(t));
    char *name = strdup(tensor->name);
    if (!name)
        return sw_fail(SW_ENOMEM, "no memory for a tensor's name");
    t->items[t->count] = *tensor;
    t->items[t->count].name = name;
    t->items[t->count].bytes = values;
    tensors_insert(t, t->count++);
    return SW_OK;
}

static enum sw_status check_parts(const struct sw_tensors *t, const char *name,
                                  const struct sw_made *made)
{
    for (int i = 0; i < made->n_parts; i++) {
        const struct sw_made_part *part = &made->parts[i];
        const struct sw_tensor_file *file = &t->files[part->file];
        if (part->offset > file->size || part->bytes > file->size - part->offset)
            return sw_fail(SW_EMODEL, "%s: a part of matrix '%s' does not lie inside the file",
                           file->path, name);
    }
    return SW_OK;
}

/* Room for one more; the array doubles. */
static bool tensors_grow_made(struct sw_tensors *t)
{
    if (t->n_made & (t->n_made - 1))
        return true;
    struct sw_made *made = realloc(t->made, (t->n_made ? 2 * t->n_made : 1) * sizeof *made);
    t->made = made ? made : t->made;
    return made != NULL;
}

/* Where a tensor of that name is, or a new one, still without a name; NULL: no memory. */
static struct sw_tensor *tensors_place(struct sw_tensors *t, const char *name)
{
    const struct sw_tensor *old = sw_tensors_find(t, name);
    if (old)
        return &t->items[old - t->items];
    char *copy = tensors_grow(t) == SW_OK ? strdup(name) : NULL;
    if (!copy)
        return NULL;
    t->items[t->count].name = copy;
    tensors_insert(t, t->count);
    return &t->items[t->count++];
}

enum sw_status sw_tensors_add_made(struct sw_tensors *t, const char *name,
                                   const struct sw_format *blocks, int64_t rows, int64_t cols,
                                   const struct sw_made *made)
{
    uint64_t bytes;
    if (rows < 1 || cols < 1 || cols > INT64_MAX / 64 ||
        !sw_mul_u64((uint64_t)rows, (uint64_t)sw_values_step(SW_F32, blocks, cols), &bytes) ||
        bytes > INT64_MAX)
        return sw_fail(SW_EMODEL, "matrix '%s': its shape [%lld, %lld] overflows", name,
                       (long long)rows, (long long)cols);
    SW_TRY(check_parts(t, name, made));
    struct sw_tensor *to = tensors_grow_made(t) ? tensors_place(t, name) : NULL;
    if (!to)
        return sw_fail(SW_ENOMEM, "no memory for the directory of tensors");
    t->made[t->n_made++] = *made;
    *to = (struct sw_tensor){.name = to->name,
                             .dtype = SW_F32,
                             .blocks = blocks,
                             .rank = 2,
                             .shape = {rows, cols},
                             .stride = {cols, 1},
                             .file = made->parts[0].file,
                             .offset = made->parts[0].offset,
                             .bytes = bytes,
                             .made = (uint32_t)t->n_made};
    return SW_OK;
}

const struct sw_tensor *sw_tensors_find(const struct sw_tensors *t, const char *name)
{
    if (t->n_slots == 0)
        return NULL;
    for (size_t slot = hash_of(name) & (t->n_slots - 1); t->slots[slot];
         slot = (slot + 1) & (t->n_slots - 1)) {
        const struct sw_tensor *item = &t->items[t->slots[slot] - 1];
        if (strcmp(item->name, name) == 0)
            return item;
    }
    return NULL;
}

int64_t sw_tensor_elements(const struct sw_tensor *tensor)
{
    int64_t n = 1;
    for (int i = 0; i < tensor->rank; i++)
        n *= tensor->shape[i];
    return n;
}

bool sw_tensor_is_contiguous(const struct sw_tensor *tensor)
{
    int64_t expected = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && tensor->stride[i] != expected)
            return false;
        expected *= tensor->shape[i];
    }
    return true;
}

const char *sw_tensor_describe(const struct sw_tensor *tensor, char *out, size_t cap)
{
    size_t used = (size_t)snprintf(out, cap, "%s [",
                                   tensor->blocks ? tensor->blocks->name
                                                  : sw_dtype_info(tensor->dtype)->name);
    for (int i = 0; i < tensor->rank && used < cap; i++)
        used += (size_t)snprintf(out + used, cap - used, i ? ", %lld" : "%lld",
                                 (long long)tensor->shape[i]);
    if (used < cap)
        snprintf(out + used, cap - used, "]");
    return out;
}

void sw_tensors_free(struct sw_tensors *t)
{
    for (size_t i = 0; i < t->count; i++)
        free((char *)(uintptr_t)t->items[i].name);
    for (int i = 0; i < t->n_files; i++)
        free(t->files[i].path);
    free(t->items);
    free(t->files);
    free(t->made);
    free(t->slots);
    *t = (struct sw_tensors){0};
}

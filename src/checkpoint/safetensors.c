/* Owns the reading of safetensors headers. The writer is in safetensors_writer.c. */
#include "checkpoint/safetensors.h"

#include "base/checked.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* Element types that are legal in a file but have no row in the dtype table. */
static const struct {
    const char *name;
    unsigned bits;
} other_types[] = {{"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
                   {"F4", 4},      {"F6_E2M3", 6},     {"F6_E3M2", 6}};

/* Where a tensor lies in the buffer after the header. */
struct extent {
    uint64_t begin, end;
    const char *name;
};

static bool find_dtype(const char *name, enum sw_dtype *dtype, unsigned *bits)
{
    for (int i = 0; i < SW_OTHER; i++) {
        const struct sw_dtype_info *info = sw_dtype_info((enum sw_dtype)i);
        if (strcmp(info->safetensors, name) == 0) {
            *dtype = (enum sw_dtype)i;
            *bits = info->bits;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof other_types / sizeof other_types[0]; i++)
        if (strcmp(other_types[i].name, name) == 0) {
            *dtype = SW_OTHER;
            *bits = other_types[i].bits;
            return true;
        }
    return false;
}

static bool json_to_u64(const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/* Fills rank and shape; *n_bits is the size that the shape and the type give. */
static enum sw_status parse_shape(const json_t *shape, unsigned bits, struct sw_tensor *tensor,
                                  uint64_t *n_bits)
{
    if (!json_is_array(shape))
        return sw_fail(SW_EMODEL, "no list \"shape\"");
    if (json_array_size(shape) > SW_MAX_RANK)
        return sw_fail(SW_EMODEL, "%zu dimensions, at most %d can be read", json_array_size(shape),
                       SW_MAX_RANK);
    tensor->rank = (int)json_array_size(shape);
    uint64_t total = bits;
    for (int i = 0; i < tensor->rank; i++) {
        uint64_t size;
        if (!json_to_u64(json_array_get(shape, (size_t)i), &size))
            return sw_fail(SW_EMODEL, "dimension %d of the shape is not a whole number >= 0", i);
        if (!sw_mul_u64(total, size, &total))
            return sw_fail(SW_EMODEL, "the product of its shape overflows");
        tensor->shape[i] = (int64_t)size;
    }
    *n_bits = total;
    return SW_OK;
}

static void set_c_strides(struct sw_tensor *tensor)
{
    int64_t stride = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        tensor->stride[i] = stride;
        /* Only a tensor without elements can overflow here; its strides do not matter. */
        if (__builtin_mul_overflow(stride, tensor->shape[i], &stride))
            stride = 0;
    }
}

static enum sw_status parse_tensor(const json_t *entry, uint64_t data_size,
                                   struct sw_tensor *tensor, struct extent *extent)
{
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    unsigned bits;
    uint64_t n_bits = 0;
    if (!type)
        return sw_fail(SW_EMODEL, "no text \"dtype\"");
    if (!find_dtype(type, &tensor->dtype, &bits))
        return sw_fail(SW_EMODEL, "its dtype \"%.40s\" is not one of safetensors'", type);
    SW_TRY(parse_shape(json_object_get(entry, "shape"), bits, tensor, &n_bits));
    if (json_array_size(offsets) != 2 || !json_to_u64(json_array_get(offsets, 0), &extent->begin) ||
        !json_to_u64(json_array_get(offsets, 1), &extent->end) || extent->end < extent->begin)
        return sw_fail(SW_EMODEL, "\"data_offsets\" is not [begin, end]");
    if (extent->end > data_size)
        return sw_fail(SW_EMODEL,
                       "ends at byte %llu after the header, but the file has %llu there; it is "
                       "truncated, copy it again",
                       (unsigned long long)extent->end, (unsigned long long)data_size);
    if (n_bits % 8 != 0 || n_bits / 8 != extent->end - extent->begin)
        return sw_fail(SW_EMODEL, "its shape and dtype give %llu bits, its data_offsets %llu bytes",
                       (unsigned long long)n_bits,
                       (unsigned long long)(extent->end - extent->begin));
    if (bits % 8 != 0) {
        tensor->rank = 1;
        tensor->shape[0] = (int64_t)(n_bits / 8);
    }
    set_c_strides(tensor);
    return SW_OK;
}

static int compare_extents(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Checks that the tensors fill the file: no gap, no overlap, nothing left over. */
static enum sw_status check_tiling(struct extent *extents, size_t n, uint64_t data_size)
{
    if (n > 0)
        qsort(extents, n, sizeof *extents, compare_extents);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (extents[i].begin != at)
            return sw_fail(SW_EMODEL,
                           "tensor '%s' begins at byte %llu after the header, %llu is "
                           "next: tensors overlap or leave a gap",
                           extents[i].name, (unsigned long long)extents[i].begin,
                           (unsigned long long)at);
        at = extents[i].end;
    }
    if (at != data_size)
        return sw_fail(SW_EMODEL, "its tensors end %llu bytes after the header, the file %llu: %s",
                       (unsigned long long)at, (unsigned long long)data_size,
                       at > data_size ? "it is truncated, copy it again" : "it is damaged");
    return SW_OK;
}

/* The members of a header while they are read. */
struct header_parser {
    uint64_t data_start, data_size;
    int file;
    struct sw_tensors *out;
    struct extent *extents; /* (n) */
    size_t n, capacity;
    bool has_metadata;
};

static enum sw_status extents_grow(struct header_parser *r)
{
    const size_t capacity = r->capacity ? r->capacity + r->capacity / 2 : 64;
    if (r->n < r->capacity)
        return SW_OK;
    struct extent *grown = realloc(r->extents, capacity * sizeof *grown);
    if (!grown)
        return sw_fail(SW_ENOMEM, "no memory for its %zu tensors", r->n);
    r->extents = grown;
    r->capacity = capacity;
    return SW_OK;
}

/* Reads one member of the header. Only one member's value is in memory at a time. */
static enum sw_status parse_member(void *context, const char *name, const json_t *entry)
{
    struct header_parser *r = context;
    if (strcmp(name, "__metadata__") == 0) {
        if (r->has_metadata)
            return sw_fail(SW_EMODEL, "a duplicate of __metadata__");
        r->has_metadata = true;
        return SW_OK;
    }
    SW_TRY(extents_grow(r));
    struct sw_tensor tensor = {.name = name, .file = r->file};
    struct extent *extent = &r->extents[r->n];
    const struct sw_tensor *other = sw_tensors_find(r->out, name);
    const enum sw_status status =
        other && other->file == r->file
            ? sw_fail(SW_EMODEL, "there is a duplicate of it in the header")
            : parse_tensor(entry, r->data_size, &tensor, extent);
    if (status != SW_OK) {
        sw_error_context("tensor '%s'", name);
        return status;
    }
    tensor.offset = r->data_start + extent->begin;
    SW_TRY(sw_tensors_add(r->out, &tensor));
    extent->name = r->out->items[r->out->count - 1].name;
    r->n++;
    return SW_OK;
}

static enum sw_status read_header_length(const uint8_t *first, uint64_t file_size, uint64_t *n)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | first[i];
    if (length > SW_SAFETENSORS_HEADER_MAX)
        return sw_fail(SW_EMODEL,
                       "says its header has %llu bytes, at most %u are legal: not a "
                       "safetensors file, or damaged",
                       (unsigned long long)length, SW_SAFETENSORS_HEADER_MAX);
    if (length > file_size - 8)
        return sw_fail(SW_EMODEL,
                       "says its header has %llu bytes, but the file has %llu: it is truncated, "
                       "copy it again",
                       (unsigned long long)length, (unsigned long long)file_size);
    *n = length;
    return SW_OK;
}

static enum sw_status safetensors_parse(const uint8_t *bytes, size_t length, uint64_t file_size,
                                        int file, struct sw_tensors *out)
{
    uint64_t n = 0;
    if (length < 8)
        return sw_fail(SW_EMODEL, "has %zu bytes, a safetensors file at least 8; it is truncated",
                       length);
    SW_TRY(read_header_length(bytes, file_size, &n));
    if (length - 8 < n)
        return sw_fail(SW_EMODEL, "its header of %llu bytes is not all there",
                       (unsigned long long)n);
    if (n == 0 || bytes[8] != '{')
        return sw_fail(SW_EMODEL, "its header does not begin with '{'");
    struct header_parser r = {
        .data_start = 8 + n, .data_size = file_size - 8 - n, .file = file, .out = out};
    bool took;
    enum sw_status status =
        sw_json_each((const char *)bytes + 8, (size_t)n, SW_JSON_HEADER, parse_member, &r, &took);
    if (status != SW_OK && !took)
        sw_error_context("its header");
    if (status == SW_OK)
        status = check_tiling(r.extents, r.n, r.data_size);
    free(r.extents);
    return status;
}

enum sw_status sw_safetensors_parse(const void *bytes, size_t length, uint64_t file_size, int file,
                                    struct sw_tensors *out)
{
    const enum sw_status status = safetensors_parse(bytes, length, file_size, file, out);
    if (status != SW_OK)
        sw_error_context("%s", out->files[file].path);
    return status;
}

enum sw_status sw_safetensors_read(const struct sw_source *source, int file, struct sw_tensors *out)
{
    /* Most headers fit the first read; on a network file system each read is a round trip. */
    size_t length = source->size < (64 << 10) ? (size_t)source->size : (size_t)64 << 10;
    uint64_t n = 0;
    void *bytes = NULL;
    SW_TRY(sw_source_read_new(source, 0, length, &bytes));
    if (length >= 8 && read_header_length(bytes, source->size, &n) == SW_OK && 8 + n > length) {
        free(bytes);
        length = (size_t)(8 + n);
        SW_TRY(sw_source_read_new(source, 0, length, &bytes));
    }
    const enum sw_status status = sw_safetensors_parse(bytes, length, source->size, file, out);
    free(bytes);
    return status;
}

/* Owns the reading of GGUF headers. Looking keys up in one is in gguf_values.c. */
#include "checkpoint/gguf.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

/* What a value and a tensor take in a file at least: a name, its kind or shape, something behind
 * it. Counts are held against these before memory is taken. */
#define VALUE_BYTES_MIN 13
#define TENSOR_BYTES_MIN 24
#define DEFAULT_ALIGNMENT 32
#define WINDOW (64u << 10)

/* ggml's numbers of types that are no blocks. */
static const struct {
    uint32_t type;
    enum sw_dtype dtype;
} gguf_elements[] = {{0, SW_F32}, {1, SW_F16},  {30, SW_BF16}, {28, SW_F64},
                     {24, SW_I8}, {25, SW_I16}, {26, SW_I32},  {27, SW_I64}};

/* Bytes of a value of each kind; 0: it has none of its own. */
static const unsigned char kind_bytes[SW_GGUF_KINDS] = {
    [SW_GGUF_U8] = 1,  [SW_GGUF_I8] = 1,  [SW_GGUF_U16] = 2, [SW_GGUF_I16] = 2,
    [SW_GGUF_U32] = 4, [SW_GGUF_I32] = 4, [SW_GGUF_F32] = 4, [SW_GGUF_BOOL] = 1,
    [SW_GGUF_U64] = 8, [SW_GGUF_I64] = 8, [SW_GGUF_F64] = 8,
};

unsigned sw_gguf_kind_bytes(enum sw_gguf_kind kind)
{
    return kind_bytes[kind];
}

bool sw_gguf_type_of(enum sw_dtype dtype, uint32_t *type)
{
    for (size_t i = 0; i < sizeof gguf_elements / sizeof gguf_elements[0]; i++)
        if (gguf_elements[i].dtype == dtype) {
            *type = gguf_elements[i].type;
            return true;
        }
    return false;
}

/* A header while it is read, front to back. */
struct gguf_reading {
    const struct sw_source *source;
    struct sw_gguf *out;
    uint64_t at;  /* next byte of the source */
    char *window; /* (WINDOW): bytes [begin, end) of the source */
    uint64_t begin, end;
};

static uint64_t gguf_left(const struct gguf_reading *r)
{
    return r->source->size - r->at;
}

static enum sw_status gguf_take(struct gguf_reading *r, uint64_t bytes, void **out)
{
    *out = sw_arena_take(&r->out->arena, (size_t)bytes);
    return *out ? SW_OK
                : sw_fail(SW_ENOMEM, "no memory for %llu bytes of its header",
                          (unsigned long long)bytes);
}

/* The next n bytes. Small ones come out of a window, because there are hundreds of thousands. */
static enum sw_status gguf_bytes(struct gguf_reading *r, void *out, uint64_t n)
{
    if (n > gguf_left(r))
        return sw_fail(SW_EMODEL,
                       "%llu bytes at byte %llu are needed, but the file has %llu: it is truncated "
                       "or damaged, copy it again",
                       (unsigned long long)n, (unsigned long long)r->at,
                       (unsigned long long)r->source->size);
    if (n > WINDOW) {
        SW_TRY(sw_source_read(r->source, r->at, out, (size_t)n));
    } else if (n > 0) {
        if (r->at < r->begin || r->at + n > r->end) {
            const uint64_t left = gguf_left(r), take = left < WINDOW ? left : WINDOW;
            SW_TRY(sw_source_read(r->source, r->at, r->window, (size_t)take));
            r->begin = r->at;
            r->end = r->at + take;
        }
        memcpy(out, r->window + (r->at - r->begin), (size_t)n);
    }
    r->at += n;
    return SW_OK;
}

static enum sw_status gguf_u32(struct gguf_reading *r, uint32_t *out)
{
    uint8_t b[4];
    SW_TRY(gguf_bytes(r, b, sizeof b));
    *out = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return SW_OK;
}

static enum sw_status gguf_u64(struct gguf_reading *r, uint64_t *out)
{
    uint32_t low, high;
    SW_TRY(gguf_u32(r, &low));
    SW_TRY(gguf_u32(r, &high));
    *out = (uint64_t)high << 32 | low;
    return SW_OK;
}

static enum sw_status gguf_text(struct gguf_reading *r, struct sw_gguf_string *out)
{
    uint64_t length;
    void *bytes;
    SW_TRY(gguf_u64(r, &length));
    if (length > gguf_left(r))
        return sw_fail(SW_EMODEL,
                       "a text at byte %llu says that it has %llu bytes, but %llu are left: the "
                       "file is truncated or damaged, copy it again",
                       (unsigned long long)r->at, (unsigned long long)length,
                       (unsigned long long)gguf_left(r));
    SW_TRY(gguf_take(r, length + 1, &bytes));
    SW_TRY(gguf_bytes(r, bytes, length));
    *out = (struct sw_gguf_string){bytes, (size_t)length};
    return SW_OK;
}

/* A key or a name: a C string, so it has no NUL. */
static enum sw_status gguf_name(struct gguf_reading *r, const char **out)
{
    struct sw_gguf_string text;
    SW_TRY(gguf_text(r, &text));
    if (text.length == 0 || strlen(text.bytes) != text.length)
        return sw_fail(SW_EMODEL, "a name before byte %llu is %s", (unsigned long long)r->at,
                       text.length == 0 ? "empty" : "cut by a NUL");
    *out = text.bytes;
    return SW_OK;
}

/* ---- values */

static enum sw_status gguf_kind(struct gguf_reading *r, enum sw_gguf_kind *out)
{
    uint32_t kind;
    SW_TRY(gguf_u32(r, &kind));
    if (kind >= SW_GGUF_KINDS)
        return sw_fail(SW_EMODEL, "a value of kind %u, which is none of GGUF's 0 to %d", kind,
                       SW_GGUF_KINDS - 1);
    *out = (enum sw_gguf_kind)kind;
    return SW_OK;
}

static enum sw_status gguf_strings(struct gguf_reading *r, struct sw_gguf_value *value)
{
    void *taken;
    if (value->count > gguf_left(r) / 8)
        return sw_fail(SW_EMODEL, "%llu texts, which cannot be in the %llu bytes that are left",
                       (unsigned long long)value->count, (unsigned long long)gguf_left(r));
    SW_TRY(gguf_take(r, value->count * sizeof(struct sw_gguf_string), &taken));
    struct sw_gguf_string *strings = taken;
    for (uint64_t i = 0; i < value->count; i++)
        SW_TRY(gguf_text(r, strings + i));
    value->data = strings;
    return SW_OK;
}

static enum sw_status gguf_numbers(struct gguf_reading *r, struct sw_gguf_value *value)
{
    const unsigned size = kind_bytes[value->kind];
    void *data;
    if (value->count > gguf_left(r) / size)
        return sw_fail(SW_EMODEL, "%llu elements of %u bytes, but %llu bytes are left",
                       (unsigned long long)value->count, size, (unsigned long long)gguf_left(r));
    SW_TRY(gguf_take(r, value->count * size, &data));
    SW_TRY(gguf_bytes(r, data, value->count * size));
    value->data = data;
    return SW_OK;
}

static enum sw_status gguf_value(struct gguf_reading *r, struct sw_gguf_value *value)
{
    SW_TRY(gguf_kind(r, &value->kind));
    value->count = 1;
    value->is_array = value->kind == SW_GGUF_ARRAY;
    if (value->is_array) {
        SW_TRY(gguf_kind(r, &value->kind));
        SW_TRY(gguf_u64(r, &value->count));
        if (value->kind == SW_GGUF_ARRAY)
            return sw_fail(SW_EMODEL, "an array of arrays, which ggml does not have either");
    }
    return value->kind == SW_GGUF_STRING ? gguf_strings(r, value) : gguf_numbers(r, value);
}

static enum sw_status gguf_values(struct gguf_reading *r, uint64_t n)
{
    void *taken;
    if (n > gguf_left(r) / VALUE_BYTES_MIN)
        return sw_fail(SW_EMODEL, "says it has %llu keys; its %llu bytes have no room for them",
                       (unsigned long long)n, (unsigned long long)r->source->size);
    SW_TRY(gguf_take(r, n * sizeof(struct sw_gguf_value), &taken));
    struct sw_gguf_value *values = taken;
    r->out->values = values;
    for (; r->out->n_values < n; r->out->n_values++) {
        struct sw_gguf_value *value = values + r->out->n_values;
        SW_TRY(gguf_name(r, &value->key));
        const enum sw_status status = gguf_value(r, value);
        if (status != SW_OK) {
            sw_error_context("key '%.200s'", value->key);
            return status;
        }
    }
    return SW_OK;
}

/* ---- tensors */

static enum sw_status gguf_shape(struct gguf_reading *r, struct sw_gguf_tensor *tensor)
{
    uint32_t rank;
    uint64_t elements = 1;
    SW_TRY(gguf_u32(r, &rank));
    if (rank > SW_GGUF_MAX_RANK)
        return sw_fail(SW_EMODEL, "%u dimensions, at most %d are legal", rank, SW_GGUF_MAX_RANK);
    tensor->rank = (int)rank;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        uint64_t size;
        SW_TRY(gguf_u64(r, &size));
        if (size == 0 || size > INT64_MAX || !sw_mul_u64(elements, size, &elements))
            return sw_fail(SW_EMODEL, "a dimension of %llu elements", (unsigned long long)size);
        tensor->shape[i] = (int64_t)size;
    }
    tensor->bytes = elements; /* until the type is known */
    return SW_OK;
}

/* False: ggml has types that we do not know. */
static bool gguf_set_type(uint32_t type, struct sw_gguf_tensor *tensor)
{
    for (size_t i = 0; i < sizeof gguf_elements / sizeof gguf_elements[0]; i++)
        if (gguf_elements[i].type == type) {
            tensor->dtype = gguf_elements[i].dtype;
            return true;
        }
    tensor->dtype = SW_F32;
    tensor->blocks = sw_format_of_ggml(type);
    return tensor->blocks != NULL;
}

static enum sw_status gguf_type(struct gguf_reading *r, struct sw_gguf_tensor *tensor)
{
    uint32_t type;
    SW_TRY(gguf_u32(r, &type));
    if (!gguf_set_type(type, tensor))
        return sw_fail(SW_EMODEL,
                       "its type is number %u of ggml's, which is not read; get the model in "
                       "another quantization",
                       type);
    const struct sw_format *blocks = tensor->blocks;
    const int64_t row = tensor->rank > 0 ? tensor->shape[tensor->rank - 1] : 1;
    const unsigned len = blocks ? (unsigned)blocks->block_len : 1;
    const unsigned bytes = blocks ? blocks->block_bytes : sw_dtype_info(tensor->dtype)->bits / 8;
    if (row % len != 0)
        return sw_fail(SW_EMODEL,
                       "its rows have %lld elements, which are no whole blocks of %u (%s)",
                       (long long)row, len, blocks->name);
    if (!sw_mul_u64(tensor->bytes / len, bytes, &tensor->bytes))
        return sw_fail(SW_EMODEL, "the product of its shape overflows");
    return SW_OK;
}

static enum sw_status gguf_tensor(struct gguf_reading *r, struct sw_gguf_tensor *tensor)
{
    SW_TRY(gguf_shape(r, tensor));
    SW_TRY(gguf_type(r, tensor));
    return gguf_u64(r, &tensor->offset);
}

static enum sw_status gguf_tensors(struct gguf_reading *r, uint64_t n,
                                   struct sw_gguf_tensor *tensors)
{
    for (; r->out->n_tensors < n; r->out->n_tensors++) {
        struct sw_gguf_tensor *tensor = tensors + r->out->n_tensors;
        SW_TRY(gguf_name(r, &tensor->name));
        const enum sw_status status =
            strlen(tensor->name) > SW_GGUF_NAME_MAX
                ? sw_fail(SW_EMODEL, "its name has more than %d bytes", SW_GGUF_NAME_MAX)
                : gguf_tensor(r, tensor);
        if (status != SW_OK) {
            sw_error_context("tensor '%.200s'", tensor->name);
            return status;
        }
    }
    return SW_OK;
}

static enum sw_status gguf_alignment(const struct sw_gguf *gguf, uint64_t *out)
{
    const struct sw_gguf_value *value = sw_gguf_find(gguf, "general.alignment");
    int64_t alignment = DEFAULT_ALIGNMENT;
    if (value && (value->is_array || !sw_gguf_integer(value, 0, &alignment) || alignment <= 0 ||
                  (alignment & (alignment - 1)) != 0))
        return sw_fail(SW_EMODEL, "general.alignment is not a power of two");
    *out = (uint64_t)alignment;
    return SW_OK;
}

/* Makes offsets count from the file's first byte. `at`: where the header ends. */
static enum sw_status gguf_locate(const struct gguf_reading *r, struct sw_gguf_tensor *tensors,
                                  uint64_t alignment)
{
    const uint64_t size = r->source->size, start = (r->at + alignment - 1) & ~(alignment - 1);
    for (size_t i = 0; i < r->out->n_tensors; i++) {
        struct sw_gguf_tensor *t = tensors + i;
        uint64_t end;
        if (t->offset % alignment != 0)
            return sw_fail(SW_EMODEL, "tensor '%s': its offset %llu is not a multiple of %llu",
                           t->name, (unsigned long long)t->offset, (unsigned long long)alignment);
        if (!sw_add_u64(start, t->offset, &t->offset) || !sw_add_u64(t->offset, t->bytes, &end) ||
            end > size)
            return sw_fail(SW_EMODEL,
                           "tensor '%s': its %llu bytes at byte %llu are not all in the file, "
                           "which has %llu: it is truncated, copy it again",
                           t->name, (unsigned long long)t->bytes, (unsigned long long)t->offset,
                           (unsigned long long)size);
    }
    return SW_OK;
}

/* ---- order */

static int gguf_by_key(const void *a, const void *b)
{
    const struct sw_gguf_value *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static enum sw_status gguf_sort_values(struct gguf_reading *r)
{
    struct sw_gguf *g = r->out;
    void *taken;
    SW_TRY(gguf_take(r, g->n_values * sizeof *g->by_key, &taken));
    g->by_key = taken;
    for (size_t i = 0; i < g->n_values; i++)
        g->by_key[i] = g->values + i;
    qsort(g->by_key, g->n_values, sizeof *g->by_key, gguf_by_key);
    for (size_t i = 1; i < g->n_values; i++)
        if (gguf_by_key(g->by_key + i - 1, g->by_key + i) == 0)
            return sw_fail(SW_EMODEL, "key '%.200s' is there twice", g->by_key[i]->key);
    return SW_OK;
}

/* ---- */

static enum sw_status gguf_check_version(const struct gguf_reading *r)
{
    const uint32_t version = r->out->version;
    if (version != 0 && (version & 0xffff) == 0)
        return sw_fail(SW_EMODEL, "is a big-endian GGUF file; get the usual, little-endian one");
    if (version != 2 && version != 3)
        return sw_fail(SW_EMODEL, "is GGUF version %u; 2 and 3 are read", version);
    return SW_OK;
}

static enum sw_status gguf_header(struct gguf_reading *r)
{
    uint32_t magic;
    uint64_t n_tensors, n_values, alignment;
    void *taken;
    SW_TRY(gguf_u32(r, &magic));
    if (magic != 0x46554747u) /* "GGUF" */
        return sw_fail(SW_EMODEL, "does not begin with GGUF");
    SW_TRY(gguf_u32(r, &r->out->version));
    SW_TRY(gguf_check_version(r));
    SW_TRY(gguf_u64(r, &n_tensors));
    SW_TRY(gguf_u64(r, &n_values));
    SW_TRY(gguf_values(r, n_values));
    SW_TRY(gguf_sort_values(r));
    SW_TRY(gguf_alignment(r->out, &alignment));
    if (n_tensors > gguf_left(r) / TENSOR_BYTES_MIN)
        return sw_fail(SW_EMODEL, "says it has %llu tensors; its %llu bytes have no room for them",
                       (unsigned long long)n_tensors, (unsigned long long)r->source->size);
    SW_TRY(gguf_take(r, n_tensors * sizeof(struct sw_gguf_tensor), &taken));
    r->out->tensors = taken;
    SW_TRY(gguf_tensors(r, n_tensors, taken));
    return gguf_locate(r, taken, alignment);
}

bool sw_gguf_is(const void *first, size_t n)
{
    return n >= 4 && memcmp(first, "GGUF", 4) == 0;
}

enum sw_status sw_gguf_read(const struct sw_source *source, struct sw_gguf *out)
{
    *out = (struct sw_gguf){.arena.limit = SIZE_MAX / 2};
    struct gguf_reading r = {.source = source, .out = out, .window = malloc(WINDOW)};
    enum sw_status status =
        r.window ? gguf_header(&r) : sw_fail(SW_ENOMEM, "no memory to read its header");
    free(r.window);
    if (status != SW_OK) {
        sw_error_context("%s", source->path);
        sw_gguf_free(out);
    }
    return status;
}

void sw_gguf_free(struct sw_gguf *gguf)
{
    sw_arena_free(&gguf->arena);
    *gguf = (struct sw_gguf){0};
}

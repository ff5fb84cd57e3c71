/* Owns looking up keys of a GGUF header, and reading values whatever their width. */
#include "checkpoint/gguf.h"

#include <stdlib.h>
#include <string.h>

static int gguf_compare_key(const void *key, const void *item)
{
    const struct sw_gguf_value *const *value = item;
    return strcmp(key, (*value)->key);
}

const struct sw_gguf_value *sw_gguf_find(const struct sw_gguf *gguf, const char *key)
{
    const struct sw_gguf_value **found =
        gguf->n_values
            ? bsearch(key, gguf->by_key, gguf->n_values, sizeof *gguf->by_key, gguf_compare_key)
            : NULL;
    return found ? *found : NULL;
}

/* Element i of `size` bytes. */
static uint64_t gguf_bits(const struct sw_gguf_value *value, uint64_t i, size_t size)
{
    uint64_t bits = 0;
    const unsigned char *at = (const unsigned char *)value->data + i * size;
    for (size_t b = size; b-- > 0;)
        bits = bits << 8 | at[b];
    return bits;
}

/* Bytes of a whole number of each kind, negative: it is signed; 0: the kind is none. */
static const signed char integer_bytes[SW_GGUF_KINDS] = {
    [SW_GGUF_U8] = 1,  [SW_GGUF_I8] = -1,  [SW_GGUF_U16] = 2, [SW_GGUF_I16] = -2,
    [SW_GGUF_U32] = 4, [SW_GGUF_I32] = -4, [SW_GGUF_U64] = 8, [SW_GGUF_I64] = -8,
};

bool sw_gguf_integer(const struct sw_gguf_value *value, uint64_t i, int64_t *out)
{
    const int signed_bytes = value ? integer_bytes[value->kind] : 0;
    if (signed_bytes == 0 || i >= value->count)
        return false;
    const bool is_signed = signed_bytes < 0;
    const unsigned size = (unsigned)abs(signed_bytes), unused = 64 - 8 * size;
    const uint64_t bits = gguf_bits(value, i, size) << unused;
    if (!is_signed && size == 8 && bits > INT64_MAX)
        return false;
    /* gcc and clang shift copies of the sign in. */
    *out = is_signed ? (int64_t)bits >> unused : (int64_t)(bits >> unused);
    return true;
}

bool sw_gguf_float(const struct sw_gguf_value *value, uint64_t i, double *out)
{
    int64_t integer;
    if (!value || i >= value->count)
        return false;
    if (value->kind == SW_GGUF_F32) {
        const uint32_t bits = (uint32_t)gguf_bits(value, i, 4);
        float number;
        memcpy(&number, &bits, sizeof number);
        *out = (double)number;
        return true;
    }
    if (value->kind == SW_GGUF_F64) {
        const uint64_t bits = gguf_bits(value, i, 8);
        memcpy(out, &bits, sizeof *out);
        return true;
    }
    if (!sw_gguf_integer(value, i, &integer))
        return false;
    *out = (double)integer;
    return true;
}

bool sw_gguf_bool(const struct sw_gguf_value *value, uint64_t i, bool *out)
{
    if (!value || i >= value->count || value->kind != SW_GGUF_BOOL)
        return false;
    *out = gguf_bits(value, i, 1) != 0;
    return true;
}

bool sw_gguf_text(const struct sw_gguf_value *value, uint64_t i, struct sw_gguf_string *out)
{
    if (!value || i >= value->count || value->kind != SW_GGUF_STRING)
        return false;
    *out = ((const struct sw_gguf_string *)value->data)[i];
    return true;
}

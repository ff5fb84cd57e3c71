/* Owns adding the tensors of a parsed pickle to the tensor directory. */
#include "base/checked.h"
#include "checkpoint/torch_objects.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Stored in the dict, because one dict may occur many times. */
static bool has_tensors(const struct sw_pickle_value *value)
{
    if (value->kind != SW_PICKLE_DICT)
        return false;
    struct sw_pickle_seq *dict = value->as.seq;
    if (dict->has_tensors == 0) {
        dict->has_tensors = 1;
        for (size_t i = 1; i < dict->count && dict->has_tensors == 1; i += 2)
            if (dict->items[i].kind == SW_PICKLE_TENSOR)
                dict->has_tensors = 2;
    }
    return dict->has_tensors == 2;
}

/* Finds the dict with the tensors: the top, one under a usual name, or the only one. */
static enum sw_status find_state(const struct sw_pickle_value *top,
                                 const struct sw_pickle_value **out)
{
    static const char *const usual[] = {"state_dict", "model", "module"};
    *out = top;
    if (has_tensors(top))
        return SW_OK;
    if (top->kind != SW_PICKLE_DICT)
        return sw_fail(SW_EMODEL, "its pickle is not a dict of tensors (a whole module, perhaps; "
                                  "only state dicts are read)");
    const struct sw_pickle_seq *dict = top->as.seq;
    for (size_t u = 0; u < sizeof usual / sizeof usual[0]; u++)
        for (size_t i = 0; i < dict->count; i += 2)
            if (sw_pickle_is_text(&dict->items[i], usual[u]) && has_tensors(&dict->items[i + 1])) {
                *out = &dict->items[i + 1];
                return SW_OK;
            }
    size_t found = 0;
    for (size_t i = 0; i < dict->count; i += 2)
        if (has_tensors(&dict->items[i + 1])) {
            *out = &dict->items[i + 1];
            found++;
        }
    if (found == 1)
        return SW_OK;
    return sw_fail(SW_EMODEL, "its pickle holds %s",
                   found ? "several dicts of tensors, none named state_dict, model or module"
                         : "no tensors");
}

/* A NUL-terminated copy, checked to be UTF-8; the caller frees it. */
static enum sw_status copy_tensor_name(const struct sw_pickle_value *key, char **out)
{
    if (key->kind != SW_PICKLE_STRING)
        return sw_fail(SW_EMODEL, "a tensor's name is not a text");
    const char *text = key->as.text;
    const size_t length = key->length;
    if (length > 4096 || memchr(text, '\0', length))
        return sw_fail(SW_EMODEL, "a tensor's name is longer than 4096 bytes, or has NULs in it");
    json_t *checked = json_stringn(text, length);
    if (!checked)
        return sw_fail(SW_EMODEL, "a tensor's name is not UTF-8");
    json_decref(checked);
    *out = strndup(text, length);
    return *out ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a tensor's name");
}

/* Bytes from the beginning of the storage to the end of the tensor's last element. */
static bool tensor_extent(const struct sw_torch_tensor *t, uint64_t bytes_each, uint64_t view,
                          uint64_t *begin, uint64_t *end)
{
    uint64_t last = 0, step;
    bool empty = false;
    for (int i = 0; i < t->rank; i++)
        empty = empty || t->shape[i] == 0;
    for (int i = 0; i < t->rank && !empty; i++)
        if (t->shape[i] > 1 &&
            (!sw_mul_u64((uint64_t)t->shape[i] - 1, (uint64_t)t->stride[i], &step) ||
             !sw_add_u64(last, step, &last)))
            return false;
    if (!empty && !sw_add_u64(last, 1, &last))
        return false;
    return sw_mul_u64((uint64_t)t->offset, bytes_each, begin) && sw_add_u64(*begin, view, begin) &&
           sw_mul_u64(last, bytes_each, &last) && sw_add_u64(*begin, last, end);
}

static enum sw_status state_add_tensor(const struct sw_torch_tensor *from, const char *name,
                                       int file, sw_torch_locate *locate, void *context,
                                       struct sw_tensors *out)
{
    if (from->defect)
        return sw_fail(SW_EMODEL, "%s", from->defect);
    const struct sw_torch_storage *storage = from->storage;
    const uint64_t item = sw_dtype_info(storage->dtype)->bits / 8;
    const uint64_t each = sw_dtype_info(from->dtype)->bits / 8;
    uint64_t offset, bytes, numel_bytes, begin, end, limit;
    /* numel * item also bounds view and n_view, which are parts of numel. */
    if (!sw_mul_u64((uint64_t)storage->numel, item, &numel_bytes) ||
        !tensor_extent(from, each, (uint64_t)storage->view * item, &begin, &end))
        return sw_fail(SW_EMODEL, "its offset and strides overflow");
    limit = (uint64_t)(storage->view + storage->n_view) * item;
    if (end > limit)
        return sw_fail(SW_EMODEL, "reaches byte %llu of its storage, which has %llu",
                       (unsigned long long)end, (unsigned long long)limit);
    SW_TRY(locate(context, storage, &offset, &bytes));
    if (bytes < numel_bytes)
        return sw_fail(SW_EMODEL, "its storage '%.*s' has %llu bytes, the pickle says %llu",
                       (int)(storage->key_length < 100 ? storage->key_length : 100), storage->key,
                       (unsigned long long)bytes, (unsigned long long)numel_bytes);
    struct sw_tensor tensor = {.name = name, .dtype = from->dtype, .rank = from->rank};
    tensor.file = file;
    memcpy(tensor.shape, from->shape, sizeof tensor.shape);
    memcpy(tensor.stride, from->stride, sizeof tensor.stride);
    if (!sw_add_u64(offset, begin, &tensor.offset))
        return sw_fail(SW_EMODEL, "its offset in the file overflows");
    return sw_tensors_add(out, &tensor);
}

enum sw_status sw_torch_add_state(const struct sw_pickle_value *top, int file,
                                  sw_torch_locate *locate, void *context, struct sw_tensors *out)
{
    const struct sw_pickle_value *state;
    SW_TRY(find_state(top, &state));
    const struct sw_pickle_seq *dict = state->as.seq;
    for (size_t i = 0; i + 1 < dict->count; i += 2) {
        char *name;
        if (dict->items[i + 1].kind != SW_PICKLE_TENSOR)
            continue;
        SW_TRY(copy_tensor_name(&dict->items[i], &name));
        const enum sw_status status =
            state_add_tensor(dict->items[i + 1].as.tensor, name, file, locate, context, out);
        if (status != SW_OK)
            sw_error_context("tensor '%s'", name);
        free(name);
        if (status != SW_OK)
            return status;
    }
    return SW_OK;
}

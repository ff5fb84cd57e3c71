/* Owns the table of adapters, finding a model's, and what adapters have in common. */
#include "checkpoint/adapter.h"

#include "base/file.h"
#include "checkpoint/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADAPTER_CONFIG_LIMIT (16u << 20)

static const struct sw_adapter *const adapters[] = {
    &sw_adapter_bitsandbytes, &sw_adapter_fp8, &sw_adapter_mxfp4,
    &sw_adapter_gptq,         &sw_adapter_awq, &sw_adapter_compressed,
};
#define N_ADAPTERS (sizeof adapters / sizeof adapters[0])

/* ---- finding a model's adapter */

/* Bytes of `name` before `suffix`; 0: it does not end so. */
static size_t adapter_stem(const char *name, const char *suffix)
{
    const size_t n = strlen(name), end = strlen(suffix);
    return n > end && strcmp(name + n - end, suffix) == 0 ? n - end : 0;
}

static bool adapter_has_method(const struct sw_adapter *adapter, const char *method)
{
    for (const char *const *name = adapter->methods; *name; name++)
        if (strcmp(*name, method) == 0)
            return true;
    return false;
}

static enum sw_status adapter_unknown(const char *method)
{
    char known[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < N_ADAPTERS; i++)
        for (const char *const *name = adapters[i]->methods; *name && used < sizeof known; name++)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
                                     *name);
    return sw_fail(SW_EMODEL,
                   "the checkpoint is quantized by %s%.100s%s, which is not supported; known are: "
                   "%s; or use the 16-bit one",
                   method ? "'" : "a method that is not named", method ? method : "",
                   method ? "'" : "", known);
}

enum sw_status sw_adapter_of(const json_t *config, const struct sw_adapter **adapter)
{
    const char *method = json_string_value(json_object_get(config, "quant_method"));
    *adapter = NULL;
    for (size_t i = 0; i < N_ADAPTERS; i++) {
        const struct sw_adapter *a = adapters[i];
        if (method ? !adapter_has_method(a, method) : !a->claims || !a->claims(config))
            continue;
        if (a->check)
            SW_TRY(a->check(config));
        *adapter = a;
        return SW_OK;
    }
    return adapter_unknown(method);
}

/* config.json of a folder, or `path` itself where that is a JSON file; NULL: there is none. */
static enum sw_status adapter_read_root(const char *path, bool is_folder, json_t **root)
{
    char *bytes = NULL;
    size_t length;
    *root = NULL;
    if (is_folder)
        return sw_json_read_file_in(path, "config.json", ADAPTER_CONFIG_LIMIT, SW_JSON_MODEL, root);
    if (adapter_stem(path, ".json") == 0)
        return SW_OK;
    SW_TRY(sw_file_read_optional(path, ADAPTER_CONFIG_LIMIT, &bytes, &length));
    const enum sw_status status = bytes ? sw_json_read(bytes, length, SW_JSON_MODEL, root) : SW_OK;
    free(bytes);
    return status;
}

/* The member of config.json, or the file beside it, that says how matrices are quantized; NULL:
 * none does. `where` is for messages. */
static enum sw_status adapter_read_config(const char *path, json_t **config, char where[512])
{
    static const char *const members[] = {"quantization_config", "compression_config"};
    static const char *const files[] = {"quantize_config.json", "quant_config.json"};
    enum sw_file_kind kind;
    json_t *root;
    *config = NULL;
    SW_TRY(sw_file_find(path, &kind));
    const bool is_folder = kind == SW_FILE_DIRECTORY;
    SW_TRY(adapter_read_root(path, is_folder, &root));
    for (size_t i = 0; i < 2 && !*config; i++) {
        json_t *member = json_object_get(root, members[i]);
        *config = member && !json_is_null(member) ? json_incref(member) : NULL;
    }
    json_decref(root);
    snprintf(where, 512, is_folder ? "%.400s/config.json" : "%.400s", path);
    for (size_t i = 0; i < 2 && !*config && is_folder; i++) {
        SW_TRY(sw_json_read_file_in(path, files[i], ADAPTER_CONFIG_LIMIT, SW_JSON_MODEL, config));
        snprintf(where, 512, "%.400s/%s", path, files[i]);
    }
    return SW_OK;
}

enum sw_status sw_adapter_find(const char *path, const struct sw_adapter **adapter, json_t **config)
{
    char where[512];
    *adapter = NULL;
    SW_TRY(adapter_read_config(path, config, where));
    if (!*config)
        return SW_OK;
    const enum sw_status status = sw_adapter_of(*config, adapter);
    if (status != SW_OK) {
        json_decref(*config);
        *config = NULL;
        sw_error_context("%s", where);
    }
    return status;
}

/* ---- the directory */

enum sw_status sw_adapter_apply(const struct sw_adapter *adapter, const json_t *config,
                                struct sw_tensors *tensors)
{
    struct sw_adapting a = {adapter, config, tensors};
    const size_t count = tensors->count; /* matrices are added behind */
    for (size_t i = 0; i < count; i++)
        for (const char *const *suffix = adapter->suffixes; *suffix; suffix++) {
            const struct sw_tensor tensor = tensors->items[i];
            char stem[SW_ADAPTING_NAME_MAX];
            const size_t n = adapter_stem(tensor.name, *suffix);
            if (n == 0 || n >= sizeof stem || tensor.made)
                continue;
            memcpy(stem, tensor.name, n);
            stem[n] = '\0';
            const enum sw_status status = adapter->matrix(&a, &tensor, stem);
            if (status != SW_OK) {
                sw_error_context("%s", tensors->files[tensor.file].path);
                return status;
            }
        }
    return SW_OK;
}

const struct sw_tensor *sw_adapting_find(const struct sw_adapting *a, const char *stem,
                                         const char *suffix)
{
    char name[2 * SW_ADAPTING_NAME_MAX];
    snprintf(name, sizeof name, "%s%s", stem, suffix);
    return sw_tensors_find(a->tensors, name);
}

enum sw_status sw_adapting_need(const struct sw_adapting *a, const struct sw_tensor *whose,
                                const char *stem, const char *suffix, const struct sw_tensor **out)
{
    char actual[160];
    *out = sw_adapting_find(a, stem, suffix);
    if (*out)
        return SW_OK;
    return sw_fail(SW_EMODEL,
                   "tensor '%s' is %s, quantized by %s, but '%s%s', which belongs to it, is "
                   "missing; get the checkpoint again",
                   whose->name, sw_tensor_describe(whose, actual, sizeof actual), a->adapter->name,
                   stem, suffix);
}

enum sw_status sw_adapting_check(const struct sw_adapting *a, const struct sw_tensor *tensor,
                                 enum sw_dtype dtype, int rank, const int64_t *shape)
{
    struct sw_tensor expected = {.dtype = dtype == SW_OTHER ? tensor->dtype : dtype, .rank = rank};
    char want[160], have[160];
    bool same = tensor->dtype == expected.dtype && tensor->rank >= rank && !tensor->made &&
                sw_tensor_is_contiguous(tensor);
    for (int i = 0; i < rank; i++)
        expected.shape[i] = shape[i];
    for (int i = 0; i < tensor->rank && same; i++)
        same = tensor->shape[i] == (i < rank ? shape[i] : 1);
    if (same)
        return SW_OK;
    return sw_fail(SW_EMODEL, "tensor '%s' (%s) is %s, expected %s", tensor->name, a->adapter->name,
                   sw_tensor_describe(tensor, have, sizeof have),
                   sw_tensor_describe(&expected, want, sizeof want));
}

enum sw_status sw_adapting_read(const struct sw_adapting *a, const struct sw_tensor *tensor,
                                void *out, size_t n)
{
    if (tensor->bytes != n || tensor->made || !sw_tensor_is_contiguous(tensor))
        return sw_fail(SW_EMODEL, "tensor '%s' has %llu bytes, expected %zu", tensor->name,
                       (unsigned long long)tensor->bytes, n);
    const struct sw_made_part all = {tensor->file, tensor->offset, n, 0};
    return sw_made_read_part(a->tensors, &all, out);
}

enum sw_status sw_made_read_part(const struct sw_tensors *tensors, const struct sw_made_part *part,
                                 void *out)
{
    struct sw_source source;
    SW_TRY(sw_source_open(tensors->files[part->file].path, &source));
    const enum sw_status status = sw_source_read(&source, part->offset, out, (size_t)part->bytes);
    sw_source_close(&source);
    return status;
}

/* FNV-1a. */
uint64_t sw_made_digest(const void *words, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, (const char *)words + i * sizeof word, sizeof word);
        hash = (hash ^ word) * 0x100000001b3u;
    }
    return hash ? hash : 1;
}

void sw_made_add(struct sw_made *made, const struct sw_tensor *tensor, uint64_t row_bytes)
{
    made->parts[made->n_parts++] =
        (struct sw_made_part){tensor->file, tensor->offset, tensor->bytes, row_bytes};
}

enum sw_status sw_adapting_add(struct sw_adapting *a, const char *stem,
                               const struct sw_format *blocks, int64_t rows, int64_t cols,
                               const struct sw_made *made)
{
    char name[2 * SW_ADAPTING_NAME_MAX];
    snprintf(name, sizeof name, "%s.weight", stem);
    return sw_tensors_add_made(a->tensors, name, blocks, rows, cols, made);
}

enum sw_status sw_adapting_add_twin(struct sw_adapting *a, const char *stem,
                                    const struct sw_format *blocks, int64_t rows, int64_t cols,
                                    const struct sw_made *made, uint64_t behind)
{
    char name[SW_ADAPTING_NAME_MAX + 8];
    snprintf(name, sizeof name, "%s.twin", stem);
    SW_TRY(sw_adapting_add(a, name, blocks, rows, cols, made));
    struct sw_tensor *items = a->tensors->items;
    const struct sw_tensor *plain = sw_adapting_find(a, stem, ".weight");
    const struct sw_tensor *twin = sw_adapting_find(a, name, ".weight");
    items[twin - items].behind = behind;
    items[plain - items].twin = (uint32_t)(twin - items) + 1;
    return SW_OK;
}

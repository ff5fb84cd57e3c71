/* Owns the allow-list of pickle globals, and how their arguments become storages and tensors. */
#include "checkpoint/torch_objects.h"

#include <string.h>

#define COPIED_MAX (1 << 20)

enum role {
    ROLE_DICT,            /* an empty dict, or one of a list of pairs */
    ROLE_TENSOR_V2,       /* (storage, offset, shape, stride, …) */
    ROLE_TENSOR_V3,       /* the same over an untyped storage, dtype is the seventh */
    ROLE_FIRST,           /* the first argument: a parameter is its tensor, a Size its tuple */
    ROLE_STORAGE,         /* a storage class with its dtype */
    ROLE_UNTYPED_STORAGE, /* one that counts bytes */
    ROLE_DTYPE,
    ROLE_OPAQUE
};

struct sw_torch_global {
    const char *module, *name;
    enum role role;
    enum sw_dtype dtype;
};

static const struct sw_torch_global globals[] = {
    {"collections", "OrderedDict", ROLE_DICT, SW_OTHER},
    {"torch._utils", "_rebuild_tensor", ROLE_TENSOR_V2, SW_OTHER},
    {"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR_V2, SW_OTHER},
    {"torch._utils", "_rebuild_tensor_v3", ROLE_TENSOR_V3, SW_OTHER},
    {"torch._utils", "_rebuild_parameter", ROLE_FIRST, SW_OTHER},
    {"torch._utils", "_rebuild_parameter_with_state", ROLE_FIRST, SW_OTHER},
    {"torch.nn.parameter", "Parameter", ROLE_FIRST, SW_OTHER},
    {"torch", "Size", ROLE_FIRST, SW_OTHER},
    {"torch", "FloatStorage", ROLE_STORAGE, SW_F32},
    {"torch", "HalfStorage", ROLE_STORAGE, SW_F16},
    {"torch", "BFloat16Storage", ROLE_STORAGE, SW_BF16},
    {"torch", "DoubleStorage", ROLE_STORAGE, SW_F64},
    {"torch", "LongStorage", ROLE_STORAGE, SW_I64},
    {"torch", "IntStorage", ROLE_STORAGE, SW_I32},
    {"torch", "ShortStorage", ROLE_STORAGE, SW_I16},
    {"torch", "CharStorage", ROLE_STORAGE, SW_I8},
    {"torch", "ByteStorage", ROLE_STORAGE, SW_U8},
    {"torch", "BoolStorage", ROLE_STORAGE, SW_BOOL},
    {"torch", "ComplexFloatStorage", ROLE_STORAGE, SW_C64},
    {"torch", "UntypedStorage", ROLE_UNTYPED_STORAGE, SW_U8},
    {"torch.storage", "UntypedStorage", ROLE_UNTYPED_STORAGE, SW_U8},
    {"torch.storage", "_UntypedStorage", ROLE_UNTYPED_STORAGE, SW_U8},
    {"torch.storage", "TypedStorage", ROLE_OPAQUE, SW_OTHER},
    {"torch", "float32", ROLE_DTYPE, SW_F32},
    {"torch", "float16", ROLE_DTYPE, SW_F16},
    {"torch", "bfloat16", ROLE_DTYPE, SW_BF16},
    {"torch", "float64", ROLE_DTYPE, SW_F64},
    {"torch", "int64", ROLE_DTYPE, SW_I64},
    {"torch", "int32", ROLE_DTYPE, SW_I32},
    {"torch", "int16", ROLE_DTYPE, SW_I16},
    {"torch", "int8", ROLE_DTYPE, SW_I8},
    {"torch", "uint8", ROLE_DTYPE, SW_U8},
    {"torch", "uint16", ROLE_DTYPE, SW_U16},
    {"torch", "uint32", ROLE_DTYPE, SW_U32},
    {"torch", "uint64", ROLE_DTYPE, SW_U64},
    {"torch", "bool", ROLE_DTYPE, SW_BOOL},
    {"torch", "complex64", ROLE_DTYPE, SW_C64},
    {"torch", "float8_e4m3fn", ROLE_DTYPE, SW_F8_E4M3},
    {"torch", "float8_e5m2", ROLE_DTYPE, SW_F8_E5M2},
    {"torch", "device", ROLE_OPAQUE, SW_OTHER},
    {"_codecs", "encode", ROLE_OPAQUE, SW_OTHER},
};

static const struct sw_pickle_value opaque_value = {.kind = SW_PICKLE_OPAQUE};

static bool is_name(const char *text, size_t n, const char *expected)
{
    return strlen(expected) == n && memcmp(text, expected, n) == 0;
}

struct sw_pickle_value sw_torch_global(const char *module, size_t n_module, const char *name,
                                       size_t n_name)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++)
        if (is_name(module, n_module, globals[i].module) && is_name(name, n_name, globals[i].name))
            return (struct sw_pickle_value){.kind = SW_PICKLE_GLOBAL, .as.global = &globals[i]};
    return opaque_value;
}

static bool has_role(const struct sw_pickle_value *value, enum role role)
{
    return value->kind == SW_PICKLE_GLOBAL && value->as.global->role == role;
}

static bool is_seq(const struct sw_pickle_value *value)
{
    return value->kind == SW_PICKLE_TUPLE || value->kind == SW_PICKLE_LIST;
}

/* ---- tensors ---- */

static bool read_sizes(const struct sw_pickle_value *value, int rank, int64_t *out)
{
    if (!is_seq(value) || value->as.seq->count != (size_t)rank)
        return false;
    for (int i = 0; i < rank; i++) {
        const struct sw_pickle_value *item = &value->as.seq->items[i];
        if (item->kind != SW_PICKLE_INT || item->as.integer < 0)
            return false;
        out[i] = item->as.integer;
    }
    return true;
}

/* NULL, or what is wrong with the arguments. */
static const char *fill_tensor(const struct sw_pickle_seq *a, enum role role,
                               struct sw_torch_tensor *tensor)
{
    if (a->count < (role == ROLE_TENSOR_V3 ? 7 : 4))
        return "it is rebuilt from too few arguments";
    if (a->items[0].kind != SW_PICKLE_STORAGE)
        return "it has no storage";
    tensor->storage = a->items[0].as.storage;
    tensor->dtype = tensor->storage->dtype;
    if (role == ROLE_TENSOR_V3) {
        if (!has_role(&a->items[6], ROLE_DTYPE))
            return "its dtype is not one that is known";
        tensor->dtype = a->items[6].as.global->dtype;
    }
    if (!is_seq(&a->items[2]) || a->items[2].as.seq->count > SW_MAX_RANK)
        return "it has more than 8 dimensions";
    tensor->rank = (int)a->items[2].as.seq->count;
    if (a->items[1].kind != SW_PICKLE_INT || a->items[1].as.integer < 0 ||
        !read_sizes(&a->items[2], tensor->rank, tensor->shape) ||
        !read_sizes(&a->items[3], tensor->rank, tensor->stride))
        return "its offset, shape or strides are not whole numbers >= 0";
    tensor->offset = a->items[1].as.integer;
    return NULL;
}

static enum sw_status new_tensor(struct sw_pickle *pickle, const struct sw_pickle_seq *arguments,
                                 enum role role, struct sw_pickle_value *out)
{
    void *memory = NULL;
    SW_TRY(sw_pickle_alloc(pickle, sizeof(struct sw_torch_tensor), &memory));
    struct sw_torch_tensor *tensor = memory;
    tensor->defect = fill_tensor(arguments, role, tensor);
    *out = (struct sw_pickle_value){.kind = SW_PICKLE_TENSOR, .as.tensor = tensor};
    return SW_OK;
}

/* OrderedDict(), or Python 2's OrderedDict([[key, value], …]). */
static enum sw_status new_dict(struct sw_pickle *pickle, const struct sw_pickle_seq *arguments,
                               struct sw_pickle_value *out)
{
    SW_TRY(sw_pickle_new_seq(pickle, SW_PICKLE_DICT, out));
    if (arguments->count == 0 || !is_seq(&arguments->items[0]))
        return SW_OK;
    const struct sw_pickle_seq *pairs = arguments->items[0].as.seq;
    /* A remembered list can be used again and again for a few bytes each. */
    pickle->copied += pairs->count;
    if (pickle->copied > COPIED_MAX)
        return sw_fail(SW_EMODEL, "makes dicts of more than %d pairs", COPIED_MAX);
    for (size_t i = 0; i < pairs->count; i++) {
        const struct sw_pickle_value *pair = &pairs->items[i];
        if (!is_seq(pair) || pair->as.seq->count != 2)
            return sw_fail(SW_EMODEL, "makes a dict of something other than pairs");
        SW_TRY(sw_pickle_append(pickle, out->as.seq, pair->as.seq->items, 2));
    }
    return SW_OK;
}

enum sw_status sw_torch_reduce(struct sw_pickle *pickle, const struct sw_pickle_value *callable,
                               const struct sw_pickle_value *arguments, struct sw_pickle_value *out)
{
    *out = opaque_value;
    if (callable->kind != SW_PICKLE_GLOBAL || arguments->kind != SW_PICKLE_TUPLE)
        return SW_OK;
    const struct sw_pickle_seq *a = arguments->as.seq;
    const enum role role = callable->as.global->role;
    if (role == ROLE_DICT)
        return new_dict(pickle, a, out);
    if (role == ROLE_TENSOR_V2 || role == ROLE_TENSOR_V3)
        return new_tensor(pickle, a, role, out);
    if (role == ROLE_FIRST && a->count > 0)
        *out = a->items[0];
    return SW_OK;
}

/* ---- storages ---- */

/* None, or ('key', first element, elements): what older files call a view of a storage. */
static bool set_view(const struct sw_pickle_value *view, struct sw_torch_storage *storage)
{
    storage->n_view = storage->numel;
    if (view->kind == SW_PICKLE_NONE)
        return true;
    int64_t range[2];
    if (view->kind != SW_PICKLE_TUPLE || view->as.seq->count != 3)
        return false;
    for (int i = 0; i < 2; i++) {
        const struct sw_pickle_value *item = &view->as.seq->items[i + 1];
        if (item->kind != SW_PICKLE_INT || item->as.integer < 0)
            return false;
        range[i] = item->as.integer;
    }
    storage->view = range[0];
    storage->n_view = range[1];
    return range[0] <= storage->numel && range[1] <= storage->numel - range[0];
}

enum sw_status sw_torch_persistent(struct sw_pickle *pickle, const struct sw_pickle_value *id,
                                   struct sw_pickle_value *out)
{
    const struct sw_pickle_value none = {.kind = SW_PICKLE_NONE};
    *out = opaque_value;
    if (id->kind != SW_PICKLE_TUPLE || id->as.seq->count < 5)
        return SW_OK;
    const struct sw_pickle_value *item = id->as.seq->items;
    if (!sw_pickle_is_text(&item[0], "storage"))
        return SW_OK;
    if (!has_role(&item[1], ROLE_STORAGE) && !has_role(&item[1], ROLE_UNTYPED_STORAGE))
        return SW_OK;
    if (item[2].kind != SW_PICKLE_STRING || item[4].kind != SW_PICKLE_INT || item[4].as.integer < 0)
        return sw_fail(SW_EMODEL, "names a storage without a key or a size");
    void *memory = NULL;
    SW_TRY(sw_pickle_alloc(pickle, sizeof(struct sw_torch_storage), &memory));
    struct sw_torch_storage *storage = memory;
    storage->key = item[2].as.text;
    storage->key_length = item[2].length;
    storage->dtype = item[1].as.global->dtype;
    storage->numel = item[4].as.integer;
    if (!set_view(id->as.seq->count > 5 ? &item[5] : &none, storage))
        return sw_fail(SW_EMODEL, "names a view outside its storage");
    storage->next = pickle->storages;
    pickle->storages = storage;
    *out = (struct sw_pickle_value){.kind = SW_PICKLE_STORAGE, .as.storage = storage};
    return SW_OK;
}

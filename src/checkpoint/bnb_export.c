/* Owns which tensors a folder of bitsandbytes has. */
#include "checkpoint/bnb_export.h"

#include "base/json.h"
#include "checkpoint/open_model.h"
#include "checkpoint/safetensors.h"
#include "model/model.h"
#include "tensor/dynamic_code.h"
#include "tensor/format_nf4.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX ((size_t)16 << 20)
#define MOST_PARTS 6 /* tensors that a matrix becomes */

/* How a format is called there, and its table. */
static const struct bnb_kind {
    const struct sw_format *format, *made; /* asked for; what rows are made in */
    const char *quant_type;                /* NULL: LLM.int8() */
    const float *values;                   /* (16) */
} bnb_kinds[] = {
    {&sw_format_nf4, &sw_format_nf4, "nf4", sw_nf4_values},
    {&sw_format_fp4, &sw_format_fp4, "fp4", sw_fp4_values},
    {&sw_format_int8, &sw_format_int8, NULL, NULL},
    {&sw_format_nf4_nested, &sw_format_nf4, "nf4", sw_nf4_values},
    {&sw_format_fp4_nested, &sw_format_fp4, "fp4", sw_fp4_values},
};

static bool bnb_is_nested(const struct bnb_kind *kind)
{
    return kind->format != kind->made;
}

static const struct bnb_kind *bnb_kind_of(const struct sw_format *format)
{
    for (size_t i = 0; i < sizeof bnb_kinds / sizeof bnb_kinds[0]; i++)
        if (bnb_kinds[i].format == format)
            return bnb_kinds + i;
    return NULL;
}

const char *sw_bnb_format_name(int i)
{
    const int n = (int)(sizeof bnb_kinds / sizeof bnb_kinds[0]);
    return i >= 0 && i < n ? bnb_kinds[i].format->name : NULL;
}

bool sw_bnb_has_format(const struct sw_format *format)
{
    return bnb_kind_of(format) != NULL;
}

/* What a tensor of the file is of an export tensor. */
enum bnb_role { BNB_DATA, BNB_SCALES, BNB_NESTED, BNB_STATE };
struct bnb_item {
    struct sw_safetensors_spec spec;
    size_t made_of; /* index of the export tensor */
    enum bnb_role role;
    size_t order;
};

struct bnb_exporting {
    const struct sw_model *model;
    const struct sw_tensors *tensors;
    const struct bnb_kind *kind;
    unsigned char *linear; /* (tensors->count) whether it is a linear matrix of a layer */
    struct sw_export_plan *out;
    struct bnb_item *items; /* (n_items) */
    size_t n_items;
};

static enum sw_status bnb_no_memory(void)
{
    return sw_fail(SW_ENOMEM, "no memory for the list of tensors");
}

/* "NAME" + suffix, in the arena. */
static const char *bnb_name(struct bnb_exporting *e, const char *name, size_t n, const char *suffix)
{
    const size_t length = n + strlen(suffix) + 1;
    char *copy = sw_arena_take(&e->out->arena, length);
    if (copy)
        snprintf(copy, length, "%.*s%s", (int)n, name, suffix);
    return copy;
}

/* A tensor of the file that is a part of the export tensor `made_of`. */
static void bnb_add_item(struct bnb_exporting *e, size_t made_of, const char *name,
                         enum sw_dtype dtype, int rank, const int64_t *shape, enum bnb_role role)
{
    struct bnb_item *item = &e->items[e->n_items];
    *item = (struct bnb_item){.spec = {.name = name, .dtype = dtype, .rank = rank},
                              .made_of = made_of,
                              .role = role,
                              .order = e->n_items};
    for (int i = 0; i < rank; i++)
        item->spec.shape[i] = shape[i];
    e->n_items++;
}

static struct sw_export_tensor *bnb_add_tensor(struct bnb_exporting *e,
                                               const struct sw_tensor *from)
{
    struct sw_export_tensor *t = &e->out->tensors[e->out->n_tensors++];
    *t = (struct sw_export_tensor){.rows = 1, .cols = sw_tensor_elements(from), .n_parts = 1};
    t->parts = sw_arena_take(&e->out->arena, sizeof(struct sw_tensor *));
    if (t->parts)
        t->parts[0] = from;
    return t->parts ? t : NULL;
}

/* Bytes that are known already. */
static enum sw_status bnb_add_literal(struct bnb_exporting *e, const char *name,
                                      enum sw_dtype dtype, int rank, int64_t n, const void *bytes)
{
    const size_t size = (size_t)n * sw_dtype_info(dtype)->bits / 8;
    void *copy = sw_arena_take(&e->out->arena, size);
    if (!name || !copy)
        return bnb_no_memory();
    memcpy(copy, bytes, size);
    e->out->tensors[e->out->n_tensors++] = (struct sw_export_tensor){
        .name = name, .format = NULL, .rows = n, .cols = 1, .literal = copy, .bytes = size};
    bnb_add_item(e, e->out->n_tensors - 1, name, dtype, rank, &n, BNB_DATA);
    return SW_OK;
}

/* ---- matrices */

#define STATE_ROOM 512
#define OFFSET_ROOM 24 /* bytes of a text for an offset, "}" and spaces */

/* The description of a matrix; of nested scales what comes before their offset. */
static int bnb_state_text(const struct bnb_exporting *e, const struct sw_tensor *from,
                          char text[STATE_ROOM])
{
    const char *dtype = from->dtype == SW_BF16  ? "bfloat16"
                        : from->dtype == SW_F16 ? "float16"
                                                : "float32";
    char nested[128] = "}";
    if (bnb_is_nested(e->kind))
        snprintf(nested, sizeof nested,
                 ", \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", \"nested_offset\": ",
                 SW_BNB_NESTED);
    return snprintf(
        text, STATE_ROOM,
        "{\"quant_type\": \"%s\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": [%lld, %lld]%s",
        e->kind->quant_type, SW_NF4_LEN, dtype, (long long)from->shape[0],
        (long long)from->shape[1], nested);
}

/* What is known of it before; nested: the text's rest, written when the matrix is. */
static enum sw_status bnb_add_state(struct bnb_exporting *e, const struct sw_tensor *from,
                                    size_t matrix)
{
    char text[STATE_ROOM], suffix[64];
    const int n = bnb_state_text(e, from, text);
    snprintf(suffix, sizeof suffix, ".quant_state.bitsandbytes__%s", e->kind->quant_type);
    const size_t length = strlen(from->name);
    const char *name = bnb_name(e, from->name, length, suffix);
    SW_TRY(bnb_add_literal(e, bnb_name(e, from->name, length, ".quant_map"), SW_F32, 1, 16,
                           e->kind->values));
    if (!bnb_is_nested(e->kind))
        return bnb_add_literal(e, name, SW_U8, 1, n, text);
    SW_TRY(bnb_add_literal(e, bnb_name(e, from->name, length, ".nested_quant_map"), SW_F32, 1,
                           SW_DYNAMIC_MAP_LEN, sw_dynamic_map));
    struct sw_export_tensor *t = &e->out->tensors[matrix];
    const int64_t bytes = n + OFFSET_ROOM;
    t->state_text = bnb_name(e, text, (size_t)n, "");
    t->state_bytes = (size_t)bytes;
    if (!name || !t->state_text)
        return bnb_no_memory();
    bnb_add_item(e, matrix, name, SW_U8, 1, &bytes, BNB_STATE);
    return SW_OK;
}

/* Blocks of four bits: codes [rows · cols / 2, 1], a scale for each block, which may be a byte, and
 * then a scale for each SW_BNB_NESTED of these. */
static enum sw_status bnb_add_four_bit(struct bnb_exporting *e, const struct sw_tensor *from)
{
    const int64_t n = sw_tensor_elements(from), codes[] = {n / 2, 1}, blocks = n / SW_NF4_LEN;
    const int64_t groups = (blocks + SW_BNB_NESTED - 1) / SW_BNB_NESTED;
    const bool nested = bnb_is_nested(e->kind);
    const size_t length = strlen(from->name), matrix = e->out->n_tensors;
    if (from->shape[1] % SW_NF4_LEN != 0)
        return sw_fail(SW_EMODEL,
                       "tensor '%s' has rows of %lld elements, which are no whole blocks of %d",
                       from->name, (long long)from->shape[1], SW_NF4_LEN);
    struct sw_export_tensor *t = bnb_add_tensor(e, from);
    const char *scales = bnb_name(e, from->name, length, ".absmax"),
               *of_scales = bnb_name(e, from->name, length, ".nested_absmax");
    if (!t || !scales || !of_scales)
        return bnb_no_memory();
    t->rows = from->shape[0];
    t->cols = from->shape[1];
    t->layout = SW_EXPORT_FOUR_BIT;
    t->format = e->kind->made;
    bnb_add_item(e, matrix, from->name, SW_U8, 2, codes, BNB_DATA);
    bnb_add_item(e, matrix, scales, nested ? SW_U8 : SW_F32, 1, &blocks, BNB_SCALES);
    if (nested)
        bnb_add_item(e, matrix, of_scales, SW_F32, 1, &groups, BNB_NESTED);
    return bnb_add_state(e, from, matrix);
}

/* Rows of int8, and what their 127 stands for. */
static enum sw_status bnb_add_rows(struct bnb_exporting *e, const struct sw_tensor *from)
{
    static const uint8_t by_row = 0;
    const size_t stem = strlen(from->name) - strlen(".weight"), matrix = e->out->n_tensors;
    struct sw_export_tensor *t = bnb_add_tensor(e, from);
    const char *scales = bnb_name(e, from->name, stem, ".SCB");
    if (!t || !scales)
        return bnb_no_memory();
    t->rows = from->shape[0];
    t->cols = from->shape[1];
    t->layout = SW_EXPORT_ROWS_AND_ABSMAX;
    t->format = e->kind->made;
    bnb_add_item(e, matrix, from->name, SW_I8, 2, from->shape, BNB_DATA);
    bnb_add_item(e, matrix, scales, SW_F32, 1, from->shape, BNB_SCALES);
    return bnb_add_literal(e, bnb_name(e, from->name, stem, ".weight_format"), SW_U8, 0, 1,
                           &by_row);
}

static enum sw_status bnb_add_matrix(struct bnb_exporting *e, const struct sw_tensor *from)
{
    static const char end[] = ".weight";
    const size_t n = strlen(from->name);
    if (n < sizeof end || strcmp(from->name + n - (sizeof end - 1), end) != 0 || from->blocks)
        return sw_fail(SW_EMODEL, "tensor '%s' is no matrix that can be quantized", from->name);
    return e->kind->quant_type ? bnb_add_four_bit(e, from) : bnb_add_rows(e, from);
}

/* ---- the file */

static enum sw_status bnb_find_linear(struct bnb_exporting *e)
{
    const struct sw_model *m = e->model;
    const size_t n = m->first_weight[m->dims.n_layers + 1];
    if (m->dims.n_experts > 0 || m->arch->conv1d)
        return sw_fail(SW_EMODEL, "%s: transformers and bitsandbytes load no such %s",
                       m->arch->title, m->dims.n_experts > 0 ? "experts" : "transposed matrices");
    for (size_t i = 0; i < n; i++)
        for (int s = 0; s < m->weights[i].n_sources && m->weights[i].is_linear; s++) {
            const struct sw_tensor *tensor;
            SW_TRY(sw_model_find(m, e->tensors, &m->weights[i], s, &tensor));
            e->linear[tensor - e->tensors->items] = 1;
        }
    return SW_OK;
}

static enum sw_status bnb_add_all(struct bnb_exporting *e)
{
    for (size_t i = 0; i < e->tensors->count; i++) {
        const struct sw_tensor *from = &e->tensors->items[i];
        if (e->linear[i]) {
            SW_TRY(bnb_add_matrix(e, from));
            continue;
        }
        if (from->blocks || from->dtype == SW_OTHER)
            return sw_fail(SW_EMODEL, "tensor '%s' is of a type that cannot be copied", from->name);
        struct sw_export_tensor *t = bnb_add_tensor(e, from);
        if (!t)
            return bnb_no_memory();
        t->layout = SW_EXPORT_BYTES;
        bnb_add_item(e, e->out->n_tensors - 1, from->name, from->dtype, from->rank, from->shape,
                     BNB_DATA);
    }
    return SW_OK;
}

/* Wide elements first, so that all are aligned. */
static int bnb_by_width(const void *a, const void *b)
{
    const struct bnb_item *x = a, *y = b;
    const unsigned p = sw_dtype_info(x->spec.dtype)->bits, q = sw_dtype_info(y->spec.dtype)->bits;
    return p != q ? (p > q ? -1 : 1) : x->order < y->order ? -1 : x->order > y->order;
}

static enum sw_status bnb_lay_out(struct bnb_exporting *e)
{
    struct sw_export_plan *out = e->out;
    struct sw_safetensors_spec *specs = calloc(e->n_items, sizeof *specs);
    uint64_t at = 0;
    if (!specs)
        return bnb_no_memory();
    qsort(e->items, e->n_items, sizeof *e->items, bnb_by_width);
    for (size_t i = 0; i < e->n_items; i++)
        specs[i] = e->items[i].spec;
    const enum sw_status status =
        sw_safetensors_header(specs, e->n_items, &out->header, &out->size);
    free(specs);
    SW_TRY(status);
    at = out->header.length;
    out->size += at;
    for (size_t i = 0; i < e->n_items; i++) {
        const struct sw_safetensors_spec *spec = &e->items[i].spec;
        struct sw_export_tensor *t = &out->tensors[e->items[i].made_of];
        uint64_t bytes = sw_dtype_info(spec->dtype)->bits / 8;
        for (int d = 0; d < spec->rank; d++)
            bytes *= (uint64_t)spec->shape[d];
        uint64_t *const offsets[] = {[BNB_DATA] = &t->offset,
                                     [BNB_SCALES] = &t->scales,
                                     [BNB_NESTED] = &t->nested,
                                     [BNB_STATE] = &t->state};
        *offsets[e->items[i].role] = at;
        t->bytes += t->literal ? 0 : bytes;
        t->name = e->items[i].role == BNB_DATA ? spec->name : t->name;
        at += bytes;
    }
    return SW_OK;
}

static enum sw_status bnb_check(const char *path, const struct sw_weight_choice *choice,
                                const struct bnb_kind **kind)
{
    bool gguf;
    json_t *config;
    *kind = choice->all && !choice->mix ? bnb_kind_of(choice->all) : NULL;
    if (!*kind || choice->words)
        return sw_fail(
            SW_EUSAGE,
            "a folder takes one format of bitsandbytes, %s, %s, %s, %s or %s, and no roles",
            bnb_kinds[0].format->name, bnb_kinds[1].format->name, bnb_kinds[2].format->name,
            bnb_kinds[3].format->name, bnb_kinds[4].format->name);
    SW_TRY(sw_open_is_gguf(path, &gguf));
    if (gguf)
        return sw_fail(SW_EMODEL, "%s: of a GGUF file only a GGUF file can be made", path);
    SW_TRY(sw_json_read_file_in(path, "config.json", CONFIG_MAX, SW_JSON_MODEL, &config));
    const bool is_quantized = json_object_get(config, "quantization_config") != NULL;
    json_decref(config);
    return is_quantized
               ? sw_fail(SW_EMODEL, "%s: its config.json says it is quantized already", path)
               : SW_OK;
}

enum sw_status sw_bnb_export_make(const char *path, const struct sw_model *model,
                                  const struct sw_tensors *tensors,
                                  const struct sw_weight_choice *choice, struct sw_export_plan *out)
{
    const struct bnb_kind *kind;
    *out = (struct sw_export_plan){.arena.limit = SIZE_MAX / 2};
    SW_TRY(bnb_check(path, choice, &kind));
    out->tensors = calloc(tensors->count * MOST_PARTS + 1, sizeof *out->tensors);
    struct bnb_exporting e = {.model = model,
                              .tensors = tensors,
                              .kind = kind,
                              .linear = calloc(tensors->count + 1, 1),
                              .items = calloc(tensors->count * MOST_PARTS + 1, sizeof *e.items),
                              .out = out};
    enum sw_status status = out->tensors && e.linear && e.items ? SW_OK : bnb_no_memory();
    if (status == SW_OK)
        status = bnb_find_linear(&e);
    if (status == SW_OK)
        status = bnb_add_all(&e);
    if (status == SW_OK)
        status = bnb_lay_out(&e);
    free(e.linear);
    free(e.items);
    return status;
}

/* ---- rows */

void sw_bnb_row_bytes(const struct sw_export_tensor *t, size_t *codes, size_t *scales)
{
    const size_t cols = (size_t)t->cols;
    *codes = t->layout == SW_EXPORT_FOUR_BIT          ? cols / 2
             : t->layout == SW_EXPORT_ROWS_AND_ABSMAX ? cols
                                                      : 0;
    *scales = t->layout == SW_EXPORT_FOUR_BIT          ? cols / SW_NF4_LEN * sizeof(float)
              : t->layout == SW_EXPORT_ROWS_AND_ABSMAX ? sizeof(float)
                                                       : 0;
}

static float bnb_absmax(const struct sw_values *row)
{
    float values[256], most = 0;
    for (int64_t first = 0; first < row->n; first += 256) {
        const int64_t n = row->n - first < 256 ? row->n - first : 256;
        sw_values_to_f32(row, first, n, values);
        for (int64_t i = 0; i < n; i++)
            most = fabsf(values[i]) > most ? fabsf(values[i]) : most;
    }
    return most;
}

void sw_bnb_split_row(const struct sw_export_tensor *t, const struct sw_values *row,
                      const void *blocks, void *codes, void *scales)
{
    const uint8_t *from = blocks;
    uint8_t *to = codes;
    char *scale = scales;
    if (t->layout == SW_EXPORT_ROWS_AND_ABSMAX) {
        const float absmax = bnb_absmax(row);
        memcpy(codes, blocks, (size_t)row->n);
        memcpy(scales, &absmax, sizeof absmax);
        return;
    }
    for (int64_t first = 0; first < row->n; first += SW_NF4_LEN) {
        memcpy(scale, from, sizeof(float));
        scale += sizeof(float);
        from += sizeof(float);
        for (int half = 0; half < SW_NF4_LEN / 2; half += 16, from += 16, to += 16)
            sw_nf4_to_pairs(from, to);
    }
}

void sw_bnb_nest(const float *scales, int64_t n, uint8_t *codes, float *nested, float *offset)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += isfinite(scales[i]) ? (double)scales[i] : 0;
    *offset = (float)(sum / (double)n);
    for (int64_t first = 0; first < n; first += SW_BNB_NESTED, nested++) {
        const int64_t end = first + SW_BNB_NESTED < n ? first + SW_BNB_NESTED : n;
        float most = 0;
        for (int64_t i = first; i < end; i++) {
            const float apart = fabsf(scales[i] - *offset);
            most = apart <= most ? most : apart; /* NaN stays */
        }
        *nested = isfinite(most) ? most : NAN;
        for (int64_t i = first; i < end; i++)
            codes[i] =
                *nested > 0 ? sw_dynamic_code((scales[i] - *offset) / *nested) : SW_DYNAMIC_ZERO;
    }
}

/* ---- config.json */

static json_t *bnb_section(const struct sw_model *model, const struct bnb_kind *kind)
{
    const bool four = kind->quant_type != NULL;
    const char *compute = model->dtype == SW_BF16  ? "bfloat16"
                          : model->dtype == SW_F16 ? "float16"
                                                   : "float32";
    return json_pack("{s:b, s:b, s:s, s:s, s:s, s:b, s:b, s:b, s:f, s:s}", "load_in_4bit", four,
                     "load_in_8bit", !four, "bnb_4bit_quant_type", four ? kind->quant_type : "fp4",
                     "bnb_4bit_compute_dtype", compute, "bnb_4bit_quant_storage", "uint8",
                     "bnb_4bit_use_double_quant", bnb_is_nested(kind), "llm_int8_has_fp16_weight",
                     0, "llm_int8_enable_fp32_cpu_offload", 0, "llm_int8_threshold",
                     (double)SW_INT8_OUTLIER, "quant_method", "bitsandbytes");
}

enum sw_status sw_bnb_export_config(const char *path, const struct sw_model *model,
                                    const struct sw_weight_choice *choice, struct sw_strbuf *text)
{
    json_t *config;
    SW_TRY(sw_json_read_file_in(path, "config.json", CONFIG_MAX, SW_JSON_MODEL, &config));
    char *dump = NULL;
    if (config && json_object_set_new(config, "quantization_config",
                                      bnb_section(model, bnb_kind_of(choice->all))) == 0)
        dump = json_dumps(config, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(config);
    if (!dump)
        return sw_fail(SW_ENOMEM, "no memory for a config.json");
    sw_strbuf_puts(text, dump);
    sw_strbuf_puts(text, "\n");
    free(dump);
    return text->failed ? sw_fail(SW_ENOMEM, "no memory for a config.json") : SW_OK;
}

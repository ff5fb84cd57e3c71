/*
 * Writes a checkpoint of made-up weights for any config.json of a supported family, as one or more
 * safetensors files: the numbers of `--weights-from random`, so that tests and benchmarks can have
 * a file of any family and size. Matrices are stored in FORMAT, vectors as f32.
 */
#include "base/file.h"
#include "base/units.h"
#include "checkpoint/safetensors.h"
#include "engine/stage_weights.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK_ELEMENTS (1 << 20)

/* One tensor to be written: a source of a weight. */
struct item {
    const struct sw_weight_spec *spec;
    char name[SW_TENSOR_NAME_MAX];
    int source, shard;
    uint64_t bytes;
};

struct job {
    struct sw_model *model;
    const char *dir;
    enum sw_dtype format;
    int n_shards;
    struct item *items;
    size_t n, capacity;
};

static enum sw_dtype dtype_of(const struct job *job, const struct item *item)
{
    return item->spec->is_matrix ? job->format : SW_F32;
}

static bool listed(const struct job *job, const char *name)
{
    for (size_t i = 0; i < job->n; i++)
        if (strcmp(job->items[i].name, name) == 0)
            return true;
    return false;
}

/* Rows and columns of the numbers. Of a tensor that several weights are parts of they are its own.
 */
static int64_t rows_of(const struct item *item)
{
    const struct sw_weight_source *source = &item->spec->sources[item->source];
    return source->of ? source->of : source->rows;
}

static int64_t cols_of(const struct item *item)
{
    const struct sw_weight_source *source = &item->spec->sources[item->source];
    return item->spec->is_flat                ? 1
           : source->of && source->transposed ? source->rows
                                              : item->spec->cols;
}

static enum sw_status list_part(struct job *job, int layer)
{
    const struct sw_weight_spec *specs;
    const size_t count = sw_model_weights(job->model, layer, &specs);
    for (size_t w = 0; w < count; w++)
        for (int s = 0; s < specs[w].n_sources; s++) {
            char name[SW_TENSOR_NAME_MAX];
            sw_weight_tensor_name(job->model, &specs[w], s, name);
            if ((layer == SW_GLOBAL || specs[w].sources[s].of) && listed(job, name))
                continue; /* a tied head, or of a tensor that another weight has a part of, too */
            if (job->n == job->capacity) {
                job->capacity = job->capacity ? 2 * job->capacity : 64;
                struct item *more = realloc(job->items, job->capacity * sizeof *more);
                if (!more)
                    return sw_fail(SW_ENOMEM, "no memory for the list of tensors");
                job->items = more;
            }
            struct item *item = &job->items[job->n++];
            *item = (struct item){.spec = &specs[w], .source = s};
            memcpy(item->name, name, sizeof name);
            item->bytes = (uint64_t)rows_of(item) * (uint64_t)cols_of(item) *
                          sw_dtype_info(dtype_of(job, item))->bits / 8;
        }
    return SW_OK;
}

/* Shards of about equal size, whole tensors each. */
static uint64_t assign_shards(struct job *job)
{
    uint64_t total = 0, before = 0;
    for (size_t i = 0; i < job->n; i++)
        total += job->items[i].bytes;
    for (size_t i = 0; i < job->n; i++) {
        const double at = (double)before / (double)(total ? total : 1);
        job->items[i].shard = (int)(at * job->n_shards);
        before += job->items[i].bytes;
    }
    return total;
}

static const char *shard_name(const struct job *job, int shard, char *out, size_t cap)
{
    if (job->n_shards == 1)
        snprintf(out, cap, "model.safetensors");
    else
        snprintf(out, cap, "model-%05d-of-%05d.safetensors", shard + 1, job->n_shards);
    return out;
}

static void convert(enum sw_dtype dtype, const float *from, int64_t n, void *to)
{
    uint16_t *half = to;
    if (dtype == SW_F32)
        memcpy(to, from, (size_t)n * sizeof *from);
    for (int64_t i = 0; i < n && dtype == SW_F16; i++)
        half[i] = sw_f32_to_f16(from[i]);
    for (int64_t i = 0; i < n && dtype == SW_BF16; i++)
        half[i] = sw_f32_to_bf16(from[i]);
}

static enum sw_status write_item(const struct job *job, const struct item *item,
                                 struct sw_safetensors_writer *writer)
{
    const struct sw_weight_source *source = &item->spec->sources[item->source];
    const bool turns = source->transposed && !source->of;
    const int64_t rows = rows_of(item), cols = cols_of(item), n = rows * cols;
    const enum sw_dtype dtype = dtype_of(job, item);
    const size_t element = sw_dtype_info(dtype)->bits / 8;
    const int64_t step = turns ? n : n < CHUNK_ELEMENTS ? n : CHUNK_ELEMENTS;
    float *values = malloc((size_t)step * sizeof *values);
    float *turned = turns ? malloc((size_t)step * sizeof *turned) : values;
    void *stored = malloc((size_t)step * element);
    enum sw_status status = SW_OK;
    if (!values || !turned || !stored)
        status = sw_fail(SW_ENOMEM, "no memory for tensor '%s'", item->name);
    for (int64_t at = 0; at < n && status == SW_OK; at += step) {
        const int64_t now = n - at < step ? n - at : step;
        sw_weights_random(job->model, item->spec, item->source, at, now, values);
        for (int64_t r = 0; r < rows && turns; r++)
            for (int64_t c = 0; c < cols; c++)
                turned[c * rows + r] = values[r * cols + c];
        convert(dtype, turned, now, stored);
        status = sw_safetensors_writer_write(writer, stored, (size_t)now * element);
    }
    if (turned != values)
        free(turned);
    free(values);
    free(stored);
    return status;
}

static enum sw_status write_shard(const struct job *job, int shard)
{
    char name[64], path[4096];
    size_t n = 0;
    struct sw_safetensors_writer *writer;
    struct sw_safetensors_spec *specs = calloc(job->n, sizeof *specs);
    if (!specs)
        return sw_fail(SW_ENOMEM, "no memory for the list of tensors");
    for (size_t i = 0; i < job->n; i++) {
        const struct item *item = &job->items[i];
        const struct sw_weight_source *source = &item->spec->sources[item->source];
        const bool turns = source->transposed && !source->of;
        if (item->shard != shard)
            continue;
        const bool is_flat = item->spec->is_flat;
        specs[n] = (struct sw_safetensors_spec){.name = item->name,
                                                .dtype = dtype_of(job, item),
                                                .rank = item->spec->is_matrix || is_flat ? 2 : 1};
        specs[n].shape[0] = is_flat ? item->spec->rows / item->spec->cols
                            : turns ? cols_of(item)
                                    : rows_of(item);
        specs[n++].shape[1] = is_flat ? item->spec->cols : turns ? rows_of(item) : cols_of(item);
    }
    snprintf(path, sizeof path, "%s/%s", job->dir, shard_name(job, shard, name, sizeof name));
    enum sw_status status = sw_safetensors_writer_open(path, specs, n, &writer);
    for (size_t i = 0; i < job->n && status == SW_OK; i++)
        if (job->items[i].shard == shard) {
            status = write_item(job, &job->items[i], writer);
            if (status != SW_OK)
                sw_safetensors_writer_abort(writer);
        }
    free(specs);
    return status == SW_OK ? sw_safetensors_writer_close(writer) : status;
}

static enum sw_status dump(const struct job *job, const char *name, const json_t *root)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", job->dir, name);
    if (json_dump_file(root, path, JSON_INDENT(2)) != 0)
        return sw_fail(SW_EIO, "%s: cannot be written: %s", path, strerror(errno));
    return SW_OK;
}

static enum sw_status write_index(const struct job *job, uint64_t total)
{
    char name[64];
    json_t *map = json_object();
    for (size_t i = 0; i < job->n; i++)
        json_object_set_new(map, job->items[i].name,
                            json_string(shard_name(job, job->items[i].shard, name, sizeof name)));
    json_t *root =
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
    const enum sw_status status = dump(job, "model.safetensors.index.json", root);
    json_decref(root);
    return status;
}

/* The config as it was, with the type that the file has now. */
static enum sw_status write_config(const struct job *job, const char *config)
{
    static const char *const types[] = {
        [SW_F32] = "float32", [SW_F16] = "float16", [SW_BF16] = "bfloat16"};
    char path[4096];
    enum sw_file_kind kind;
    SW_TRY(sw_file_find(config, &kind));
    snprintf(path, sizeof path, kind == SW_FILE_DIRECTORY ? "%s/config.json" : "%s", config);
    json_t *root = json_load_file(path, 0, NULL);
    if (!root)
        return sw_fail(SW_EINPUT, "%s: cannot be read", path);
    const char *key = json_object_get(root, "dtype") ? "dtype" : "torch_dtype";
    json_object_set_new(root, key, json_string(types[job->format]));
    const enum sw_status status = dump(job, "config.json", root);
    json_decref(root);
    return status;
}

static enum sw_status make(struct job *job, const char *config)
{
    SW_TRY(sw_model_open(config, &job->model));
    for (int layer = SW_GLOBAL; layer < job->model->dims.n_layers; layer++)
        SW_TRY(list_part(job, layer));
    if ((size_t)job->n_shards > job->n)
        return sw_fail(SW_EUSAGE, "%zu tensors do not make %d shards", job->n, job->n_shards);
    const uint64_t total = assign_shards(job);
    if (mkdir(job->dir, 0777) != 0 && errno != EEXIST)
        return sw_fail(SW_EIO, "%s: cannot be made: %s", job->dir, strerror(errno));
    for (int shard = 0; shard < job->n_shards; shard++)
        SW_TRY(write_shard(job, shard));
    if (job->n_shards > 1)
        SW_TRY(write_index(job, total));
    SW_TRY(write_config(job, config));
    char size[16];
    printf("%s: %zu tensors, %s, %d file%s\n", job->dir, job->n,
           sw_size_format(total, size, sizeof size), job->n_shards, job->n_shards > 1 ? "s" : "");
    return SW_OK;
}

int main(int argc, char **argv)
{
    struct job job = {.n_shards = argc > 4 ? atoi(argv[4]) : 1};
    if (argc < 4 || argc > 5 || !sw_dtype_by_name(argv[3], &job.format) || job.format > SW_BF16 ||
        job.n_shards < 1) {
        fprintf(stderr, "usage: make_checkpoint CONFIG|MODEL DIRECTORY f32|f16|bf16 [SHARDS]\n");
        return 2;
    }
    job.dir = argv[2];
    const enum sw_status status = make(&job, argv[1]);
    if (status != SW_OK)
        fprintf(stderr, "make_checkpoint: %s\n", sw_error_message());
    sw_model_close(job.model);
    free(job.items);
    return sw_status_exit_code(status);
}

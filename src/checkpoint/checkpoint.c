/* Owns finding the weight files of a model directory and reading all their headers. */
#include "checkpoint/checkpoint.h"

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/source.h"
#include "checkpoint/torch.h"
#include "checkpoint/weight_index.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which they are searched. */
static const struct {
    const char *name;
    bool is_index;
} candidates[] = {{"model.safetensors", false},
                  {"model.safetensors.index.json", true},
                  {"pytorch_model.bin", false},
                  {"pytorch_model.bin.index.json", true}};
#define N_CANDIDATES (sizeof candidates / sizeof candidates[0])

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static enum sw_status fail_wrong_magic(const char *path, const uint8_t *first, size_t n)
{
    char hex[3 * 16 + 1] = "";
    if (n >= 4 && memcmp(first, "GGUF", 4) == 0)
        return sw_fail(SW_EMODEL, "%s: is a GGUF file, which is a model by itself: give its path",
                       path);
    SW_TRY(sw_file_refuse_pointer(path, first, n));
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 3 * i, 4, "%02x ", first[i]);
    return sw_fail(SW_EMODEL,
                   "%s: begins with %s(%zu bytes), expected a safetensors file ('{' at byte 8), a "
                   "torch zip (50 4b 03 04) or a torch stream (80 02 8a 0a); it is damaged or of "
                   "another kind",
                   path, hex, n);
}

static enum sw_status read_header(const struct sw_source *source, int file, struct sw_tensors *out)
{
    uint8_t first[16];
    const size_t n = source->size < sizeof first ? (size_t)source->size : sizeof first;
    if (n == 0)
        return sw_fail(SW_EMODEL, "%s: is empty; copy it again", source->path);
    SW_TRY(sw_source_read(source, 0, first, n));
    if (sw_torch_is_zip(first, n))
        return sw_torch_zip_read(source, file, out);
    if (sw_torch_is_legacy(first, n))
        return sw_torch_legacy_read(source, file, out);
    if (n > 8 && first[8] == '{')
        return sw_safetensors_read(source, file, out);
    return fail_wrong_magic(source->path, first, n);
}

enum sw_status sw_checkpoint_add_file(const char *path, struct sw_tensors *out)
{
    struct sw_source source;
    int file;
    SW_TRY(sw_source_open(path, &source));
    enum sw_status status = sw_tensors_add_file(out, path, source.size, &file);
    if (status == SW_OK)
        status = read_header(&source, file, out);
    sw_source_close(&source);
    return status;
}

struct opening {
    const char *dir, *index_path;
    const struct sw_weight_index *index;
    struct sw_tensors *out;
};

/*
 * Adds a shard's tensors, except copies (of tied weights) which the index assigns to another shard.
 * A tensor that the index does not list is added if it is the first of its name.
 */
static enum sw_status merge_shard(const struct opening *o, const char *shard,
                                  const struct sw_tensors *from)
{
    int file;
    SW_TRY(sw_tensors_add_file(o->out, from->files[0].path, from->files[0].size, &file));
    for (size_t i = 0; i < from->count; i++) {
        struct sw_tensor tensor = from->items[i];
        const char *owner = sw_weight_index_file_of(o->index, tensor.name);
        if (owner ? strcmp(owner, shard) != 0 : sw_tensors_find(o->out, tensor.name) != NULL)
            continue;
        tensor.file = file;
        SW_TRY(sw_tensors_add(o->out, &tensor));
    }
    return SW_OK;
}

static enum sw_status open_shard(const struct opening *o, const char *shard)
{
    struct sw_tensors tensors = {0};
    char *path = sw_path_join(o->dir, shard);
    if (!path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    enum sw_status status = sw_checkpoint_add_file(path, &tensors);
    if (status == SW_OK)
        status = merge_shard(o, shard, &tensors);
    sw_tensors_free(&tensors);
    free(path);
    return status;
}

static enum sw_status check_tensor_present(void *context, const char *tensor, const char *file)
{
    const struct opening *o = context;
    if (!sw_tensors_find(o->out, tensor))
        return sw_fail(SW_EMODEL,
                       "%s/%s: does not hold tensor '%s', but %s says that it does; they are from "
                       "different downloads, get both again",
                       o->dir, file, tensor, o->index_path);
    return SW_OK;
}

/* Counts all missing shards before anything is read. */
static enum sw_status check_shards_exist(const struct opening *o)
{
    const char *first = NULL;
    size_t missing = 0;
    for (size_t i = 0; i < o->index->n_files; i++) {
        enum sw_file_kind kind;
        SW_TRY(sw_file_find_in(o->dir, o->index->files[i], &kind));
        if (kind == SW_FILE_ABSENT && missing++ == 0)
            first = o->index->files[i];
    }
    if (missing > 0)
        return sw_fail(SW_EMODEL,
                       "%s/%s: is missing; %s names %zu files and %zu of them are not there, "
                       "download them",
                       o->dir, first, o->index_path, o->index->n_files, missing);
    return SW_OK;
}

static enum sw_status open_sharded(const char *dir, const char *index_path, struct sw_tensors *out)
{
    struct sw_weight_index index;
    char *bytes;
    size_t length;
    SW_TRY(sw_file_read(index_path, SW_INDEX_BYTES_MAX, &bytes, &length));
    enum sw_status status = sw_weight_index_parse(bytes, length, index_path, &index);
    free(bytes);
    if (status != SW_OK)
        return status;
    struct opening o = {dir, index_path, &index, out};
    status = check_shards_exist(&o);
    for (size_t i = 0; i < index.n_files && status == SW_OK; i++)
        status = open_shard(&o, index.files[i]);
    if (status == SW_OK)
        status = sw_weight_index_each(&index, check_tensor_present, &o);
    sw_weight_index_free(&index);
    return status;
}

/* A file of weights in the directory; name empty: there is none. */
struct found_file {
    char name[256];
    bool is_index;
};

/* "gptq_model-4bit-128g.safetensors", .bin or .pt, or the index of such shards. Sets *is_index. */
static bool is_old_gptq(const char *name, bool *is_index)
{
    *is_index = ends_with(name, ".index.json");
    return strncmp(name, "gptq_model-", 11) == 0 && !strstr(name, "-of-") &&
           (*is_index || ends_with(name, ".safetensors") || ends_with(name, ".bin") ||
            ends_with(name, ".pt"));
}

/* As AutoGPTQ named files at first, by their settings; an index before a file. Several files hold
 * the model with several settings, of which none is the right one. */
static enum sw_status find_old_gptq(const char *dir, struct found_file *found)
{
    char other[256] = "";
    DIR *folder = opendir(dir);
    if (!folder && !sw_file_is_absence(errno))
        return sw_file_fail(dir, "searched for weights", errno);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        bool is_index;
        if (strlen(e->d_name) >= sizeof found->name || !is_old_gptq(e->d_name, &is_index))
            continue;
        if (found->name[0] && found->is_index == is_index)
            strcpy(other, e->d_name);
        if (found->name[0] && found->is_index >= is_index)
            continue;
        other[0] = '\0';
        strcpy(found->name, e->d_name);
        found->is_index = is_index;
    }
    if (folder)
        closedir(folder);
    if (!other[0])
        return SW_OK;
    return sw_fail(SW_EINPUT,
                   "%s: has %s and %s, the same model with different settings: leave one of them",
                   dir, strcmp(found->name, other) < 0 ? found->name : other,
                   strcmp(found->name, other) < 0 ? other : found->name);
}

/* Fails when one cannot be examined or is a dangling link: another must not be used in its place.
 */
static enum sw_status find_weights(const char *dir, struct found_file *found)
{
    *found = (struct found_file){0};
    for (size_t i = 0; i < N_CANDIDATES; i++) {
        enum sw_file_kind kind = SW_FILE_ABSENT;
        SW_TRY(sw_file_find_in(dir, candidates[i].name, &kind));
        if (kind == SW_FILE_ABSENT)
            continue;
        snprintf(found->name, sizeof found->name, "%s", candidates[i].name);
        found->is_index = candidates[i].is_index;
        return SW_OK;
    }
    return find_old_gptq(dir, found);
}

/* Fails with the list of the candidates; names files of formats that are not supported yet. */
static enum sw_status fail_no_weights(const char *dir)
{
    char unread[256] = "";
    DIR *folder = opendir(dir);
    if (!folder && errno == ENOTDIR && ends_with(dir, ".gguf"))
        return sw_fail(SW_EINPUT,
                       "%s: does not begin as GGUF files do; it is damaged, copy it again", dir);
    if (!folder)
        return sw_file_fail(dir, "searched for weights", errno);
    for (struct dirent *e; (e = readdir(folder)) && !unread[0];) {
        if (ends_with(e->d_name, ".gguf"))
            snprintf(unread, sizeof unread, "; %.100s is a model by itself: give its path",
                     e->d_name);
        else if (ends_with(e->d_name, ".pth"))
            snprintf(unread, sizeof unread,
                     "; %.100s has another layout, use the hub's version of the checkpoint",
                     e->d_name);
    }
    closedir(folder);
    return sw_fail(SW_EINPUT, "%s: no weights here: looked for %s, %s, %s and %s%s", dir,
                   candidates[0].name, candidates[1].name, candidates[2].name, candidates[3].name,
                   unread);
}

enum sw_status sw_checkpoint_find(const char *dir, bool *there)
{
    struct found_file found;
    const enum sw_status status = find_weights(dir, &found);
    *there = found.name[0] != '\0';
    return status;
}

enum sw_status sw_checkpoint_open(const char *dir, struct sw_tensors *out)
{
    struct found_file found;
    *out = (struct sw_tensors){0};
    SW_TRY(find_weights(dir, &found));
    if (!found.name[0])
        return fail_no_weights(dir);
    char *path = sw_path_join(dir, found.name);
    if (!path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    const enum sw_status status =
        found.is_index ? open_sharded(dir, path, out) : sw_checkpoint_add_file(path, out);
    if (status != SW_OK)
        sw_tensors_free(out);
    free(path);
    return status;
}

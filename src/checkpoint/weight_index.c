/* Owns the parsing of model.safetensors.index.json and its torch twin. */
#include "checkpoint/weight_index.h"

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

static json_t *weight_map_of(const struct sw_weight_index *index)
{
    return json_object_get(index->root, "weight_map");
}

static enum sw_status check_file_name(const char *name)
{
    if (!name)
        return sw_fail(SW_EMODEL, "its file is not a text");
    if (name[0] == '\0' || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return sw_fail(SW_EMODEL,
                       "its file is \"%.200s\"; expected the plain name of a file in the index's "
                       "directory, not a path that leaves the directory",
                       name);
    return SW_OK;
}

static enum sw_status index_add_file(struct sw_weight_index *index, const char *name)
{
    /* Neighbours in the map mostly share a file, so a search from the end finds it at once. */
    for (size_t i = index->n_files; i-- > 0;)
        if (strcmp(index->files[i], name) == 0)
            return SW_OK;
    if (index->n_files == SW_INDEX_FILES_MAX)
        return sw_fail(SW_EMODEL, "more than %d files are named", SW_INDEX_FILES_MAX);
    index->files[index->n_files++] = name;
    return SW_OK;
}

static enum sw_status index_collect_files(struct sw_weight_index *index)
{
    const char *tensor;
    json_t *file, *map = weight_map_of(index);
    if (!json_is_object(map) || json_object_size(map) == 0)
        return sw_fail(SW_EMODEL, "no object \"weight_map\" with tensors in it");
    const size_t n = json_object_size(map) < SW_INDEX_FILES_MAX ? json_object_size(map)
                                                                : (size_t)SW_INDEX_FILES_MAX;
    index->files = malloc(n * sizeof *index->files);
    if (!index->files)
        return sw_fail(SW_ENOMEM, "no memory for the names of its files");
    json_object_foreach(map, tensor, file)
    {
        enum sw_status status = check_file_name(json_string_value(file));
        if (status == SW_OK)
            status = index_add_file(index, json_string_value(file));
        if (status != SW_OK) {
            sw_error_context("tensor '%s'", tensor);
            return status;
        }
    }
    return SW_OK;
}

enum sw_status sw_weight_index_parse(const char *bytes, size_t length, const char *path,
                                     struct sw_weight_index *out)
{
    enum sw_status status;
    *out = (struct sw_weight_index){0};
    status = sw_json_read(bytes, length, SW_JSON_HEADER, &out->root);
    if (status == SW_OK)
        status = index_collect_files(out);
    else if (status == SW_EMODEL)
        sw_error_context("it is damaged, copy it again");
    if (status != SW_OK) {
        sw_error_context("%s", path);
        sw_weight_index_free(out);
    }
    return status;
}

const char *sw_weight_index_file_of(const struct sw_weight_index *index, const char *tensor)
{
    return json_string_value(json_object_get(weight_map_of(index), tensor));
}

enum sw_status sw_weight_index_each(const struct sw_weight_index *index,
                                    sw_weight_index_visit *visit, void *context)
{
    const char *tensor;
    json_t *file;
    json_object_foreach(weight_map_of(index), tensor, file)
        SW_TRY(visit(context, tensor, json_string_value(file)));
    return SW_OK;
}

void sw_weight_index_free(struct sw_weight_index *index)
{
    json_decref(index->root);
    free(index->files);
    *index = (struct sw_weight_index){0};
}

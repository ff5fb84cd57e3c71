/* Owns finding a model's config.json, and the messages for folders without one. */
#include "base/file.h"
#include "base/json.h"
#include "model/config_keys.h"
#include "model/model.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_LIMIT (16u << 20)

/* A LoRA adapter has its own config, and weights only for what it changes. */
static enum sw_status fail_adapter(const char *dir, const json_t *adapter)
{
    const char *base = json_string_value(json_object_get(adapter, "base_model_name_or_path"));
    return sw_fail(SW_EINPUT,
                   "%s: is an adapter (LoRA, adapter_config.json), not a model; merge it into its "
                   "base%s%.200s (merge_and_unload of peft) and give the folder that this saves",
                   dir, base ? ", " : "", base ? base : "");
}

/* The name of a folder in `dir`/snapshots that has a config.json; false: there is none. */
static bool find_snapshot(const char *dir, char *out, size_t cap)
{
    bool found = false;
    char *snapshots = sw_path_join(dir, "snapshots");
    DIR *folder = snapshots ? opendir(snapshots) : NULL;
    for (struct dirent *e; folder && !found && (e = readdir(folder));) {
        char path[4096];
        enum sw_file_kind kind = SW_FILE_ABSENT;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/config.json", snapshots, e->d_name);
        found = sw_file_find(path, &kind) == SW_OK && kind == SW_FILE_REGULAR;
        snprintf(out, cap, "%s/%s", snapshots, e->d_name);
    }
    sw_error_clear();
    if (folder)
        closedir(folder);
    free(snapshots);
    return found;
}

static enum sw_status fail_no_config(const char *dir)
{
    json_t *adapter;
    char snapshot[4096];
    SW_TRY(sw_json_read_file_in(dir, "adapter_config.json", CONFIG_LIMIT, SW_JSON_MODEL, &adapter));
    if (adapter) {
        (void)fail_adapter(dir, adapter);
        json_decref(adapter);
        return SW_EINPUT;
    }
    if (find_snapshot(dir, snapshot, sizeof snapshot))
        return sw_fail(SW_EINPUT,
                       "%s: is a model's folder in the cache of the hub; the model is in its "
                       "snapshots: give %s",
                       dir, snapshot);
    return sw_fail(SW_EINPUT,
                   "%s: there is no config.json; MODEL is a directory as the hub publishes it",
                   dir);
}

/* ModelOpt states in a file of its own that, and how, the weights are quantized. */
static enum sw_status check_quantization(const char *dir)
{
    json_t *file;
    SW_TRY(sw_json_read_file_in(dir, "hf_quant_config.json", CONFIG_LIMIT, SW_JSON_MODEL, &file));
    if (!file)
        return SW_OK;
    const json_t *how = json_object_get(file, "quantization");
    const char *method = json_string_value(json_object_get(how, "quant_algo"));
    const enum sw_status status = sw_model_quantized(method);
    json_decref(file);
    sw_error_context("%s/hf_quant_config.json", dir);
    return status;
}

static enum sw_status folder_read_config(const char *path, const char *dir, struct sw_model **out)
{
    char *bytes = NULL;
    size_t length = 0;
    enum sw_status status = sw_file_read_optional(path, CONFIG_LIMIT, &bytes, &length);
    if (status == SW_OK && !bytes)
        status = fail_no_config(dir);
    if (status == SW_OK)
        status = sw_model_parse(bytes, length, path, out);
    free(bytes);
    return status;
}

enum sw_status sw_model_open(const char *dir, struct sw_model **out)
{
    enum sw_file_kind kind;
    *out = NULL;
    SW_TRY(sw_file_find(dir, &kind));
    if (kind == SW_FILE_ABSENT)
        return sw_fail(SW_EINPUT,
                       "%s: no such model directory; MODEL is a directory as the hub publishes it",
                       dir);
    const size_t n = strlen(dir);
    const bool is_folder = kind == SW_FILE_DIRECTORY;
    if (!is_folder && (n < 5 || strcmp(dir + n - 5, ".json") != 0))
        return sw_fail(SW_EINPUT,
                       "%s: is not a directory; MODEL is a directory as the hub publishes it, or a "
                       "GGUF file",
                       dir);
    char *path = is_folder ? sw_path_join(dir, "config.json") : strdup(dir);
    if (!path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    enum sw_status status = folder_read_config(path, dir, out);
    if (status == SW_OK && is_folder && (status = check_quantization(dir)) != SW_OK) {
        sw_model_close(*out);
        *out = NULL;
    }
    free(path);
    return status;
}

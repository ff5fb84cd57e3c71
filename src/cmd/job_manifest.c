/* Owns the manifest of a job: the input, the model, the options that answers depend on. */
#include "cmd/jobs.h"
#include "jobs/identity.h"

#include <string.h>

static const char *manifest_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static const char *manifest_dtype_name(enum sw_dtype dtype)
{
    return dtype == SW_OTHER ? "as stored" : sw_dtype_info(dtype)->name;
}

/* {"name", "version", "digest", "hashes"}; `former`: also the digest of version 1. */
static enum sw_status manifest_model(const struct sw_call *call, const struct sw_tensors *tensors,
                                     bool former, json_t **model)
{
    const char *path = call->models[0];
    struct sw_identity identity;
    char text[33];
    SW_TRY(sw_identity_make(path, tensors, &identity));
    if (former)
        SW_TRY(sw_identity_former(path, tensors, text));
    *model =
        json_pack("{s:s, s:i, s:s, s:s}", "name", manifest_base_name(call->arguments[0]), "version",
                  identity.version, "digest", identity.digest, "hashes", identity.hashes);
    if (former && json_object_set_new(*model, "former", json_string(text)) != 0) {
        json_decref(*model);
        *model = NULL;
    }
    return *model ? SW_OK : sw_fail(SW_ENOMEM, "no memory to describe the model");
}

enum sw_status sw_jobs_manifest(const struct sw_call *call, const struct sw_tensors *tensors,
                                const struct sw_job_verb *verb, const struct sw_input_scan *scan,
                                bool former, json_t **manifest)
{
    const struct sw_options *o = &call->options;
    json_t *model;
    SW_TRY(manifest_model(call, tensors, former, &model));
    char weights[SW_CHOICE_TEXT];
    json_t *options =
        json_pack("{s:s, s:s, s:i}", "--weights", sw_weight_choice_text(&o->weights, weights),
                  "--kv", manifest_dtype_name(o->kv), "--context", o->context);
    if (options)
        verb->options(o, verb->owner, options);
    *manifest = json_pack("{s:s, s:{s:s, s:I, s:s}, s:o, s:o}", "verb", verb->name, "input", "path",
                          call->arguments[1], "bytes", (json_int_t)scan->bytes, "digest",
                          scan->digest, "model", model, "options", options);
    return *manifest ? SW_OK : sw_fail(SW_ENOMEM, "no memory to describe the job");
}

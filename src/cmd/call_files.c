/* Owns the check that no file a command line writes is one that it reads or writes elsewhere. */
#include "base/file_set.h"
#include "base/strbuf.h"
#include "cmd/options.h"

#include <string.h>

/* Files that are read may be the same; a file that is written belongs to one option only. */
static enum sw_status call_files_add(const struct sw_call *call, const char *in, const char *out,
                                     const char *manifest, struct sw_file_set *set)
{
    const struct sw_options *o = &call->options;
    for (int i = 0; i < SW_MODELS_MAX && call->models[i]; i++) {
        SW_TRY(sw_file_set_read(set, "MODEL", call->models[i]));
        SW_TRY(sw_file_set_read_folder(set, "MODEL's files", call->models[i]));
    }
    SW_TRY(sw_file_set_read(set, "IN", in));
    SW_TRY(sw_file_set_read(set, "--file", o->file));
    SW_TRY(sw_file_set_read(set, "--cluster", o->cluster));
    SW_TRY(sw_file_set_read(set, "--popularity", o->popularity));
    SW_TRY(sw_file_set_read(set, "--grammar", o->grammar));
    SW_TRY(sw_file_set_read(set, "--json-schema", o->json_schema));
    SW_TRY(sw_file_set_write(set, "OUT", out));
    SW_TRY(sw_file_set_write(set, "OUT.job", manifest));
    const struct {
        const char *what, *path;
    } written[] = {{"--metrics", o->metrics},
                   {"--timeline", o->timeline},
                   {"--routes", o->routes},
                   {"--dump", o->dump},
                   {"--sbatch", o->sbatch && strcmp(o->sbatch, "-") != 0 ? o->sbatch : NULL}};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++)
        SW_TRY(sw_file_set_write(set, written[i].what, written[i].path));
    return SW_OK;
}

enum sw_status sw_call_files(const struct sw_call *call, const char *in, const char *out)
{
    const struct sw_options *o = &call->options;
    struct sw_file_set set = {0};
    struct sw_strbuf manifest = {0};
    if (!out && !o->metrics && !o->timeline && !o->routes && !o->dump && !o->sbatch)
        return SW_OK; /* nothing is written, so MODEL need not be a folder that can be listed */
    if (out)
        sw_strbuf_printf(&manifest, "%s.job", out);
    const enum sw_status status = manifest.failed
                                      ? sw_fail(SW_ENOMEM, "no memory for the path of OUT.job")
                                      : call_files_add(call, in, out, manifest.text, &set);
    sw_strbuf_free(&manifest);
    sw_file_set_free(&set);
    return status;
}

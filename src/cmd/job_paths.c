/* Owns telling whether two files of a job are one. */
#include "cmd/jobs.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Which regular file a path is, or would be once it is made. */
struct place {
    const char *what, *path; /* path NULL: none */
    dev_t device;
    ino_t node;       /* its own; that of its folder when it is not there */
    const char *name; /* in that folder; "" when it is there */
};

static bool find(struct place *p)
{
    struct stat st;
    const char *slash = strrchr(p->path, '/');
    char folder[4096] = ".";
    p->name = "";
    if (stat(p->path, &st) != 0) {
        p->name = slash ? slash + 1 : p->path;
        if (slash)
            snprintf(folder, sizeof folder, "%.*s", (int)(slash - p->path) + 1, p->path);
        if (stat(folder, &st) != 0)
            return false;
    } else if (!S_ISREG(st.st_mode)) {
        return false;
    }
    p->device = st.st_dev;
    p->node = st.st_ino;
    return true;
}

enum sw_status sw_jobs_paths(const struct sw_call *call)
{
    char claim[4096];
    const char *in = call->arguments[1], *out = call->arguments[2];
    struct place places[] = {{.what = "IN", .path = in},
                             {.what = "OUT", .path = out},
                             {.what = "OUT.job", .path = claim},
                             {.what = "--metrics", .path = call->options.metrics},
                             {.what = "--timeline", .path = call->options.timeline}};
    snprintf(claim, sizeof claim, "%s.job", out);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct place *a = &places[i];
        if (a->path && !find(a))
            a->path = NULL;
        for (size_t k = 0; k < i && a->path; k++) {
            const struct place *b = &places[k];
            if (b->path && a->device == b->device && a->node == b->node &&
                strcmp(a->name, b->name) == 0)
                return sw_fail(SW_EUSAGE,
                               "%s and %s: %s and %s are the same file; name another one", b->path,
                               a->path, b->what, a->what);
        }
    }
    if (strcmp(out, "-") == 0)
        return sw_fail(SW_EUSAGE, "the output cannot be standard output: a job that is stopped "
                                  "goes on from it; name a file");
    return SW_OK;
}

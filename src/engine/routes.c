/* Owns the lines of the file of `--routes`, and the counts at its end. */
#include "engine/routes.h"

#include "base/file_write.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sw_routes {
    const struct sw_model *model;
    FILE *file;
    uint64_t *uses; /* (n_layers, n_experts) rows that chose each */
    int failed;     /* errno of the first failure */
};

static void routes_note_failure(struct sw_routes *r)
{
    if (r->failed == 0)
        r->failed = errno ? errno : EIO;
}

static void routes_write_head(struct sw_routes *r)
{
    const struct sw_dims *d = &r->model->dims;
    if (fprintf(r->file, "{\"routes\":1,\"model\":\"%s\",\"experts\":%d,\"used\":%d}\n",
                r->model->arch->model_type, d->n_experts, d->n_experts_used) < 0)
        routes_note_failure(r);
}

enum sw_status sw_routes_open(const char *path, const struct sw_model *model,
                              struct sw_routes **out)
{
    *out = NULL;
    const struct sw_dims *d = &model->dims;
    if (d->n_experts == 0)
        return sw_fail(SW_EUSAGE, "--routes: the model has no experts to choose from");
    struct sw_routes *r = calloc(1, sizeof *r);
    uint64_t *uses = calloc((size_t)d->n_layers * (size_t)d->n_experts, sizeof *uses);
    enum sw_status status = r && uses ? SW_OK : sw_fail(SW_ENOMEM, "no memory for routes");
    FILE *file = NULL;
    if (status == SW_OK) {
        status = sw_file_write_stream(path, SW_WRITE_ANEW, &file);
        if (status != SW_OK)
            sw_error_context("--routes");
    }
    if (status != SW_OK) {
        free(uses);
        free(r);
        return status;
    }
    *r = (struct sw_routes){.model = model, .file = file, .uses = uses};
    routes_write_head(r);
    *out = r;
    return SW_OK;
}

void sw_routes_add(struct sw_routes *r, int64_t step, int layer, const int32_t *chosen, int n_rows)
{
    const int used = r->model->dims.n_experts_used;
    uint64_t *uses = r->uses + (size_t)layer * (size_t)r->model->dims.n_experts;
    if (r->failed)
        return;
    bool good =
        fprintf(r->file, "{\"step\":%lld,\"layer\":%d,\"experts\":[", (long long)step, layer) > 0;
    for (int64_t i = 0; i < (int64_t)n_rows * used && good; i++) {
        const bool first = i % used == 0, last = i % used == used - 1;
        uses[chosen[i]]++;
        good = fprintf(r->file, "%s%s%d%s", i ? "," : "", first ? "[" : "", chosen[i],
                       last ? "]" : "") > 0;
    }
    if (!good || fputs("]}\n", r->file) < 0)
        routes_note_failure(r);
}

void sw_routes_flush(struct sw_routes *r)
{
    if (fflush(r->file) != 0)
        routes_note_failure(r);
}

/* {"layer": 3, "experts": [], "uses": [12, 0, …]} */
static void routes_write_uses(struct sw_routes *r, int layer)
{
    const int n = r->model->dims.n_experts;
    const uint64_t *uses = r->uses + (size_t)layer * (size_t)n;
    bool good = fprintf(r->file, "{\"layer\":%d,\"experts\":[],\"uses\":[", layer) > 0;
    for (int e = 0; e < n && good; e++)
        good = fprintf(r->file, "%s%llu", e ? "," : "", (unsigned long long)uses[e]) > 0;
    if (!good || fputs("]}\n", r->file) < 0)
        routes_note_failure(r);
}

void sw_routes_close(struct sw_routes *r)
{
    if (!r)
        return;
    for (int layer = 0; layer < r->model->dims.n_layers && !r->failed; layer++)
        if (r->model->layer_kinds[layer] & SW_LAYER_ROUTED)
            routes_write_uses(r, layer);
    if (fclose(r->file) != 0)
        routes_note_failure(r);
    if (r->failed)
        sw_log(SW_LOG_WARN, "--routes: not all were written: %s", strerror(r->failed));
    free(r->uses);
    free(r);
}

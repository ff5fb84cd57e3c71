/* Owns counting what a file of routes holds. */
#include "model/popularity.h"

#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum sw_status sw_popularity_init(const struct sw_model *model, struct sw_popularity *out)
{
    const struct sw_dims *d = &model->dims;
    *out = (struct sw_popularity){.n_layers = d->n_layers, .n_experts = d->n_experts};
    if (d->n_experts == 0)
        return sw_fail(SW_EUSAGE, "the model has no experts, which routes are of");
    out->uses = calloc((size_t)d->n_layers * (size_t)d->n_experts, sizeof *out->uses);
    return out->uses ? SW_OK : sw_fail(SW_ENOMEM, "no memory for the uses of experts");
}

void sw_popularity_free(struct sw_popularity *p)
{
    free(p->uses);
    *p = (struct sw_popularity){0};
}

static enum sw_status popularity_head(const struct sw_popularity *p, const json_t *line)
{
    int64_t version, experts;
    if (!sw_json_integer(json_object_get(line, "routes"), 1, 1, &version) ||
        !sw_json_integer(json_object_get(line, "experts"), 1, INT32_MAX, &experts))
        return sw_fail(SW_EINPUT, "expected {\"routes\": 1, \"experts\": N, …}");
    if (experts != p->n_experts)
        return sw_fail(SW_EINPUT,
                       "routes of %lld experts, but the model has %d; give those of the "
                       "same model",
                       (long long)experts, p->n_experts);
    return SW_OK;
}

/* [[3, 5], [5, 0]]: what each row chose */
static enum sw_status popularity_rows(const struct sw_popularity *p, const json_t *rows,
                                      uint64_t *uses)
{
    size_t i, k;
    const json_t *row, *expert;
    json_array_foreach(rows, i, row)
    {
        if (!json_is_array(row))
            return sw_fail(SW_EINPUT, "expected an array of experts for each row");
        json_array_foreach(row, k, expert)
        {
            int64_t e;
            if (!sw_json_integer(expert, 0, p->n_experts - 1, &e))
                return sw_fail(SW_EINPUT, "expected experts from 0 to %d", p->n_experts - 1);
            uses[e]++;
        }
    }
    return SW_OK;
}

/* [12, 0, …]: how often each expert was chosen in all, in place of what was counted so far */
static enum sw_status popularity_uses(const struct sw_popularity *p, const json_t *all,
                                      uint64_t *uses)
{
    if (!json_is_array(all) || json_array_size(all) != (size_t)p->n_experts)
        return sw_fail(SW_EINPUT, "expected the uses of %d experts", p->n_experts);
    for (int e = 0; e < p->n_experts; e++) {
        int64_t n;
        if (!sw_json_integer(json_array_get(all, (size_t)e), 0, INT64_MAX >> 16, &n))
            return sw_fail(SW_EINPUT, "expected the uses of expert %d as a whole number", e);
        uses[e] = (uint64_t)n;
    }
    return SW_OK;
}

static enum sw_status popularity_take(const struct sw_popularity *p, const json_t *line)
{
    int64_t layer;
    const json_t *rows = json_object_get(line, "experts"), *all = json_object_get(line, "uses");
    if (!sw_json_integer(json_object_get(line, "layer"), 0, p->n_layers - 1, &layer))
        return sw_fail(SW_EINPUT, "expected \"layer\" from 0 to %d", p->n_layers - 1);
    if (!json_is_array(rows))
        return sw_fail(SW_EINPUT, "expected \"experts\": [[N, …], …]");
    uint64_t *uses = p->uses + (size_t)layer * (size_t)p->n_experts;
    SW_TRY(popularity_rows(p, rows, uses));
    return all ? popularity_uses(p, all, uses) : SW_OK;
}

enum sw_status sw_popularity_line(struct sw_popularity *p, const char *bytes, size_t n)
{
    json_t *line;
    p->lines++;
    SW_TRY(sw_json_read(bytes, n, SW_JSON_LINE, &line));
    enum sw_status status = SW_OK;
    if (!json_is_object(line))
        status = sw_fail(SW_EINPUT, "expected an object");
    else
        status = p->lines == 1 ? popularity_head(p, line) : popularity_take(p, line);
    json_decref(line);
    return status;
}

static enum sw_status popularity_read_lines(struct sw_popularity *p, FILE *file)
{
    char *text = NULL;
    size_t capacity = 0, n = 1;
    enum sw_status status = SW_OK;
    while (status == SW_OK && n > 0) {
        status = sw_file_line(file, SW_ROUTES_LINE_MAX, &text, &capacity, &n);
        if (status == SW_OK && n > 0 && text[n - 1] != '\n') /* torn off when the run was killed */
            break;
        if (status == SW_OK && n > 0)
            status = sw_popularity_line(p, text, n);
        else if (status == SW_EINPUT)
            p->lines++;
        if (status == SW_EINPUT)
            sw_error_context("line %lld", (long long)p->lines);
    }
    free(text);
    return status;
}

enum sw_status sw_popularity_read(const char *path, const struct sw_model *model,
                                  struct sw_popularity *p)
{
    int fd;
    uint64_t all = 0;
    SW_TRY(sw_popularity_init(model, p));
    SW_TRY(sw_file_open(path, &fd, NULL));
    FILE *file = fdopen(fd, "r");
    if (!file) {
        close(fd);
        return sw_fail(SW_ENOMEM, "%s: no memory to read it", path);
    }
    enum sw_status status = popularity_read_lines(p, file);
    fclose(file);
    for (int i = 0; i < p->n_layers * p->n_experts; i++)
        all += p->uses[i];
    if (status == SW_OK && all == 0)
        status = sw_fail(SW_EINPUT, "no expert was chosen in it");
    if (status != SW_OK)
        sw_error_context("%s", path);
    return status;
}

static int popularity_falls(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

double *sw_popularity_shares(const struct sw_popularity *p)
{
    const size_t n = (size_t)p->n_experts;
    double *shares = calloc(n, sizeof *shares), *of = calloc(n, sizeof *of);
    int layers = 0;
    for (int layer = 0; layer < p->n_layers && shares && of; layer++) {
        double all = 0;
        for (size_t e = 0; e < n; e++)
            all += of[e] = (double)p->uses[(size_t)layer * n + e];
        if (all <= 0)
            continue;
        qsort(of, n, sizeof *of, popularity_falls);
        for (size_t e = 0; e < n; e++)
            shares[e] += of[e] / all;
        layers++;
    }
    for (size_t e = 0; e < n && layers > 0 && shares && of; e++)
        shares[e] /= layers;
    if (!of) {
        free(shares);
        shares = NULL;
    }
    free(of);
    return shares;
}

enum sw_status sw_popularity_learn(const char *path, const struct sw_model *model, double **shares,
                                   uint64_t **uses)
{
    struct sw_popularity popularity;
    *shares = NULL;
    enum sw_status status = sw_popularity_read(path, model, &popularity);
    if (status != SW_OK)
        sw_error_context("--popularity");
    else if (!(*shares = sw_popularity_shares(&popularity)))
        status = sw_fail(SW_ENOMEM, "no memory for the uses of experts");
    if (status == SW_OK && uses) {
        *uses = popularity.uses;
        popularity.uses = NULL;
    }
    sw_popularity_free(&popularity);
    return status;
}

/* Owns the lines of routes: reads and makes them. */
#include "replay/route_lines.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LAYERS 4096
#define MOST_EXPERTS 4096

struct reader {
    const char *name;
    struct route_uses *out;
    int64_t capacity;
    int64_t *seen; /* (n_keys) the line that used a key last */
    bool *routed;  /* (MOST_LAYERS) */
};

static enum sw_status route_wrong(const struct reader *r, const char *expected)
{
    return sw_fail(SW_EINPUT, "%s: line %lld: expected %s", r->name, (long long)r->out->lines,
                   expected);
}

static enum sw_status route_use(struct reader *r, int layer, json_int_t expert)
{
    struct route_uses *out = r->out;
    if (expert < 0 || expert >= out->experts)
        return route_wrong(r, "experts that the first line's number allows");
    const int key = layer * out->experts + (int)expert;
    if (r->seen[key] == out->lines)
        return SW_OK;
    r->seen[key] = out->lines;
    if (out->uses.n == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 4096;
        int *keys = realloc(out->keys, (size_t)r->capacity * sizeof *keys);
        if (!keys)
            return sw_fail(SW_ENOMEM, "no memory for routes");
        out->keys = keys;
    }
    out->keys[out->uses.n++] = key;
    return SW_OK;
}

static enum sw_status route_head(struct reader *r, const json_t *line)
{
    struct route_uses *out = r->out;
    const json_int_t experts = json_integer_value(json_object_get(line, "experts"));
    if (json_integer_value(json_object_get(line, "routes")) != 1 || experts < 1 ||
        experts > MOST_EXPERTS)
        return route_wrong(r, "{\"routes\": 1, \"experts\": N, …}");
    out->experts = (int)experts;
    r->seen = calloc((size_t)(MOST_LAYERS * experts), sizeof *r->seen);
    r->routed = calloc(MOST_LAYERS, sizeof *r->routed);
    return r->seen && r->routed ? SW_OK : sw_fail(SW_ENOMEM, "no memory for routes");
}

static enum sw_status route_line(struct reader *r, const json_t *line)
{
    struct route_uses *out = r->out;
    const json_t *number = json_object_get(line, "layer"), *rows = json_object_get(line, "experts");
    const json_int_t layer = json_integer_value(number);
    if (!json_is_integer(number) || layer < 0 || layer >= MOST_LAYERS || !json_is_array(rows))
        return route_wrong(r, "{\"step\": N, \"layer\": N, \"experts\": [[N, …], …]}");
    if (!r->routed[layer])
        out->routed++;
    r->routed[layer] = true;
    if (layer >= out->layers)
        out->layers = (int)layer + 1;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!json_is_array(row))
            return route_wrong(r, "an array of experts for each row");
        for (size_t k = 0; k < json_array_size(row); k++) {
            if (!json_is_integer(json_array_get(row, k)))
                return route_wrong(r, "numbers of experts");
            SW_TRY(route_use(r, (int)layer, json_integer_value(json_array_get(row, k))));
        }
    }
    return SW_OK;
}

static enum sw_status route_read_all(struct reader *r, FILE *file)
{
    char *text = NULL;
    size_t size = 0;
    enum sw_status status = SW_OK;
    while (status == SW_OK && getline(&text, &size, file) > 0) {
        r->out->lines++;
        json_t *line = json_loads(text, 0, NULL);
        if (!json_is_object(line))
            status = route_wrong(r, "an object");
        else
            status = r->seen ? route_line(r, line) : route_head(r, line);
        json_decref(line);
    }
    free(text);
    if (status == SW_OK && (ferror(file) || !r->seen))
        status = sw_fail(SW_EINPUT, "%s: there are no routes", r->name);
    return status;
}

enum sw_status route_lines_read(FILE *file, const char *name, struct route_uses *out)
{
    struct reader r = {.name = name, .out = out};
    *out = (struct route_uses){.layers = 0};
    enum sw_status status = route_read_all(&r, file);
    free(r.seen);
    free(r.routed);
    SW_TRY(status);
    struct cache_uses *u = &out->uses;
    out->next = malloc((size_t)(u->n > 0 ? u->n : 1) * sizeof *out->next);
    u->n_keys = out->layers > 0 ? out->layers * out->experts : 1;
    if (!out->next || !cache_uses_next(u->n_keys, u->n, out->keys, out->next))
        return sw_fail(SW_ENOMEM, "no memory for routes");
    u->keys = out->keys;
    u->next = out->next;
    return SW_OK;
}

void route_uses_free(struct route_uses *uses)
{
    free(uses->keys);
    free(uses->next);
    *uses = (struct route_uses){.layers = 0};
}

struct maker {
    const struct route_shape *shape;
    uint64_t state;
    double *share; /* (experts) popularity by rank, of a sum of 1 */
    int *order;    /* (layers, experts) the expert of each rank */
    int *row;      /* (layers, used) choices of the row before; -1: there is none */
    FILE *file;
};

static double maker_draw(struct maker *m)
{
    m->state = m->state * 6364136223846793005u + 1442695040888963407u;
    return (double)(m->state >> 11) * 0x1p-53;
}

static void maker_shuffle(struct maker *m)
{
    const int n = m->shape->experts;
    for (int l = 0; l < m->shape->layers; l++) {
        int *order = m->order + (size_t)l * (size_t)n;
        for (int i = 0; i < n; i++)
            order[i] = i;
        for (int i = n - 1; i > 0; i--) {
            const int k = (int)(maker_draw(m) * (i + 1)), was = order[i];
            order[i] = order[k];
            order[k] = was;
        }
    }
}

static bool maker_has(const int *row, int n, int expert)
{
    for (int i = 0; i < n; i++)
        if (row[i] == expert)
            return true;
    return false;
}

static void maker_row(struct maker *m, int layer)
{
    const struct route_shape *s = m->shape;
    int *row = m->row + (size_t)layer * (size_t)s->used;
    const int *order = m->order + (size_t)layer * (size_t)s->experts;
    if (row[0] < 0 || maker_draw(m) >= s->repeat)
        for (int n = 0; n < s->used;) {
            double at = maker_draw(m);
            int rank = 0;
            while (rank + 1 < s->experts && (at -= m->share[rank]) >= 0)
                rank++;
            if (!maker_has(row, n, order[rank]))
                row[n++] = order[rank];
        }
    for (int i = 0; i < s->used; i++)
        fprintf(m->file, "%s%d", i ? "," : "[", row[i]);
    fputs("]", m->file);
}

static void maker_write(struct maker *m)
{
    const struct route_shape *s = m->shape;
    fprintf(m->file, "{\"routes\":1,\"model\":\"made up\",\"experts\":%d,\"used\":%d}\n",
            s->experts, s->used);
    for (int step = 0; step < s->steps; step++) {
        if (step == 0 || (s->shift > 0 && step % s->shift == 0))
            maker_shuffle(m);
        for (int layer = 0; layer < s->layers; layer++) {
            fprintf(m->file, "{\"step\":%d,\"layer\":%d,\"experts\":[", step, layer);
            for (int row = 0; row < s->rows; row++) {
                fputs(row ? "," : "", m->file);
                maker_row(m, layer);
            }
            fputs("]}\n", m->file);
        }
    }
}

enum sw_status route_lines_make(const struct route_shape *s, FILE *file)
{
    if (s->layers < 1 || s->layers > MOST_LAYERS || s->experts < 1 || s->experts > MOST_EXPERTS ||
        s->used < 1 || s->used > s->experts || s->steps < 1 || s->rows < 1)
        return sw_fail(SW_EUSAGE, "routes of %d layers, %d of %d experts, cannot be", s->layers,
                       s->used, s->experts);
    const size_t layers = (size_t)s->layers, experts = (size_t)s->experts;
    struct maker m = {.shape = s,
                      .state = s->seed * 2654435761u + 1,
                      .share = calloc(experts, sizeof *m.share),
                      .order = calloc(layers * experts, sizeof *m.order),
                      .row = calloc(layers * (size_t)s->used, sizeof *m.row),
                      .file = file};
    enum sw_status status = SW_OK;
    if (m.share && m.order && m.row) {
        double sum = 0;
        for (size_t i = 0; i < experts; i++)
            sum += m.share[i] = pow((double)(i + 1), -s->skew);
        for (size_t i = 0; i < experts; i++)
            m.share[i] /= sum;
        memset(m.row, 0xff, layers * (size_t)s->used * sizeof *m.row);
        maker_write(&m);
        if (fflush(file) != 0 || ferror(file))
            status = sw_fail(SW_EIO, "routes cannot be written");
    } else {
        status = sw_fail(SW_ENOMEM, "no memory for routes");
    }
    free(m.share);
    free(m.order);
    free(m.row);
    return status;
}

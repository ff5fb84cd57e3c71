/* Owns the words of `trace`'s --layers and --positions. */
#include "jobs/trace_choice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads the number at *text and moves past it and a comma; false: there is none. */
static bool next_number(const char **text, int64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoll(*text, &end, 10);
    if (end == *text || errno || strchr(" \t+", **text) || (*end && *end != ','))
        return false;
    if (*end == ',' && !end[1])
        return false;
    *text = *end ? end + 1 : end;
    return true;
}

static enum sw_status choice_layers(const char *text, int n_layers, struct sw_trace_choice *out)
{
    const char *at = text;
    if (strcmp(text, "all") == 0)
        memset(out->layers, 1, (size_t)n_layers + 1);
    else if (!*text)
        return sw_fail(SW_EUSAGE, "--layers is empty; write 'all', 'embed' or numbers, as 0,5,-1");
    while (*at && strcmp(text, "all") != 0) {
        int64_t n = -1;
        if (strncmp(at, "embed", 5) == 0 && (!at[5] || (at[5] == ',' && at[6]))) {
            at += at[5] ? 6 : 5;
        } else {
            if (!next_number(&at, &n))
                return sw_fail(SW_EUSAGE,
                               "--layers: '%s' is not 'all', nor a list of 'embed' and numbers, as "
                               "embed,0,-1",
                               text);
            if (n < -n_layers || n >= n_layers)
                return sw_fail(SW_EUSAGE,
                               "--layers: there is no layer %lld; the model has %d, 0 to %d (or "
                               "-1 to -%d, from the end)",
                               (long long)n, n_layers, n_layers - 1, n_layers);
            n += n < 0 ? n_layers : 0;
        }
        out->layers[n + 1] = 1;
    }
    for (int i = 0; i <= n_layers; i++)
        out->n_layers += out->layers[i];
    return SW_OK;
}

static enum sw_status choice_positions(const char *text, struct sw_trace_choice *out)
{
    out->how = strcmp(text, "mean") == 0  ? SW_TRACE_MEAN
               : strcmp(text, "all") == 0 ? SW_TRACE_ALL
                                          : SW_TRACE_LIST;
    if (out->how != SW_TRACE_LIST)
        return SW_OK;
    const char *at = strcmp(text, "last") == 0 ? "-1" : text;
    do {
        if (out->n_positions == SW_TRACE_POSITIONS_MAX)
            return sw_fail(SW_EUSAGE, "--positions: more than %d", SW_TRACE_POSITIONS_MAX);
        if (!next_number(&at, &out->positions[out->n_positions++]))
            return sw_fail(SW_EUSAGE,
                           "--positions: '%s' is not 'last', 'mean' or 'all', nor a list of "
                           "numbers, as 0,5,-1",
                           text);
    } while (*at);
    return SW_OK;
}

enum sw_status sw_trace_choice_make(const char *layers, int n_layers, const char *positions,
                                    struct sw_trace_choice *out)
{
    out->n_layers = out->n_positions = 0;
    out->layers = calloc((size_t)n_layers + 1, 1);
    if (!out->layers)
        return sw_fail(SW_ENOMEM, "no memory for a list of layers");
    if (layers)
        SW_TRY(choice_layers(layers, n_layers, out));
    return choice_positions(positions, out);
}

void sw_trace_choice_free(struct sw_trace_choice *choice)
{
    free(choice->layers);
    choice->layers = NULL;
}

int64_t sw_trace_choice_at(const struct sw_trace_choice *choice, int i, int64_t n)
{
    return choice->positions[i] < 0 ? choice->positions[i] + n : choice->positions[i];
}

enum sw_status sw_trace_choice_count(const struct sw_trace_choice *choice, int64_t n,
                                     int64_t *count)
{
    *count = choice->how == SW_TRACE_MEAN  ? 1
             : choice->how == SW_TRACE_ALL ? n
                                           : choice->n_positions;
    for (int i = 0; i < choice->n_positions; i++) {
        const int64_t at = sw_trace_choice_at(choice, i, n);
        if (at < 0 || at >= n)
            return sw_fail(SW_EINPUT, "has %lld tokens, so it has no position %lld", (long long)n,
                           (long long)choice->positions[i]);
    }
    return SW_OK;
}

int64_t sw_trace_choice_first(const struct sw_trace_choice *choice, int64_t n)
{
    int64_t first = choice->how == SW_TRACE_LIST ? n : 0;
    for (int i = 0; i < choice->n_positions; i++) {
        const int64_t at = sw_trace_choice_at(choice, i, n);
        first = at < first ? at : first;
    }
    return first;
}

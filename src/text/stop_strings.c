/* Owns stop strings: what may be the beginning of one waits in `held`. */
#include "text/stop_strings.h"

#include <stdlib.h>
#include <string.h>

struct sw_stop {
    size_t n;
    int met; /* -1: none yet */
    struct {
        char *text;
        size_t length;
    } strings[SW_STOP_STRINGS_MAX];
    size_t n_held;
    char held[SW_STOP_LENGTH_MAX]; /* a proper beginning of a stop string */
};

enum sw_status sw_stop_create(const char *const *strings, size_t n, struct sw_stop **out)
{
    if (n > SW_STOP_STRINGS_MAX)
        return sw_fail(SW_EINPUT, "%zu stop strings; at most %d are supported", n,
                       SW_STOP_STRINGS_MAX);
    struct sw_stop *stop = calloc(1, sizeof *stop);
    if (!stop)
        return sw_fail(SW_ENOMEM, "no memory for stop strings");
    stop->met = -1;
    for (; stop->n < n; stop->n++) {
        const size_t length = strlen(strings[stop->n]);
        enum sw_status status = SW_OK;
        if (length == 0 || length > SW_STOP_LENGTH_MAX)
            status = sw_fail(SW_EINPUT, "stop string %zu has %zu bytes; 1 to %d are supported",
                             stop->n, length, SW_STOP_LENGTH_MAX);
        else if (!(stop->strings[stop->n].text = strdup(strings[stop->n])))
            status = sw_fail(SW_ENOMEM, "no memory for stop strings");
        if (status != SW_OK) {
            sw_stop_free(stop);
            return status;
        }
        stop->strings[stop->n].length = length;
    }
    *out = stop;
    return SW_OK;
}

void sw_stop_free(struct sw_stop *stop)
{
    if (!stop)
        return;
    for (size_t i = 0; i < stop->n; i++)
        free(stop->strings[i].text);
    free(stop);
}

/* The longest stop string that text[0..n) ends with: -1 when none. */
static int find_complete(const struct sw_stop *stop, const char *text, size_t n)
{
    int longest = -1;
    for (size_t i = 0; i < stop->n; i++) {
        const size_t length = stop->strings[i].length;
        if (length <= n && memcmp(text + n - length, stop->strings[i].text, length) == 0 &&
            (longest < 0 || length > stop->strings[longest].length))
            longest = (int)i;
    }
    return longest;
}

/* Bytes at the end of text[0..n) that could grow into a stop string. */
static size_t held_length(const struct sw_stop *stop, const char *text, size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < stop->n; i++) {
        size_t length = stop->strings[i].length - 1;
        for (length = length < n ? length : n; length > longest; length--)
            if (memcmp(text + n - length, stop->strings[i].text, length) == 0)
                longest = length;
    }
    return longest;
}

bool sw_stop_push(struct sw_stop *stop, const char *text, size_t n, struct sw_strbuf *out)
{
    /* Byte by byte, so that the string that ends first wins however the text was cut. */
    char window[SW_STOP_LENGTH_MAX];
    for (size_t i = 0; i < n && stop->met < 0; i++) {
        if (stop->n == 0) {
            sw_strbuf_append(out, text + i, n - i);
            break;
        }
        memcpy(window, stop->held, stop->n_held);
        window[stop->n_held] = text[i];
        const size_t have = stop->n_held + 1;
        stop->met = find_complete(stop, window, have);
        const size_t keep =
            stop->met >= 0 ? stop->strings[stop->met].length : held_length(stop, window, have);
        sw_strbuf_append(out, window, have - keep);
        stop->n_held = stop->met >= 0 ? 0 : keep;
        memcpy(stop->held, window + have - keep, stop->n_held);
    }
    return stop->met >= 0;
}

void sw_stop_finish(struct sw_stop *stop, struct sw_strbuf *out)
{
    sw_strbuf_append(out, stop->held, stop->n_held);
    stop->n_held = 0;
}

int sw_stop_which(const struct sw_stop *stop)
{
    return stop->met;
}

void sw_stop_reset(struct sw_stop *stop)
{
    stop->met = -1;
    stop->n_held = 0;
}

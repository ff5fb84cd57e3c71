/* JSON: what jansson takes is taken with the same value; what is taken otherwise has a number or a
 * text that jansson refuses, and what has no such number can be printed and read again. */
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool has_spelled(const json_t *value)
{
    const char *name;
    json_t *item;
    size_t i;
    if (sw_json_spelling(value))
        return true;
    json_array_foreach((json_t *)(uintptr_t)value, i, item) if (has_spelled(item)) return true;
    json_object_foreach((json_t *)(uintptr_t)value, name, item) if (has_spelled(item)) return true;
    return false;
}

static void check_printed(const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    json_t *again;
    if (!text != has_spelled(value))
        abort();
    if (!text)
        return;
    if (sw_json_read(text, strlen(text), SW_JSON_LINE, &again) != SW_OK ||
        !json_equal(value, again))
        abort();
    json_decref(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned rules[] = {SW_JSON_MODEL, SW_JSON_HEADER, SW_JSON_INPUT, SW_JSON_LINE};
    const char *text = (const char *)data;
    json_t *value;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const size_t unique = rules[i] & SW_JSON_UNIQUE ? JSON_REJECT_DUPLICATES : 0;
        /* A NUL behind the value is the end to jansson, and an error to Python. */
        json_t *theirs = size > 0 && memchr(text, '\0', size)
                             ? NULL
                             : json_loadb(text, size, JSON_DECODE_ANY | unique, NULL);
        const enum sw_status status = sw_json_read(text, size, rules[i], &value);
        if ((status == SW_OK) != (value != NULL) ||
            (theirs && size < SW_JSON_DEPTH_MAX && !value) ||
            (theirs && value && !json_equal(theirs, value)))
            abort();
        if (value)
            check_printed(value);
        json_decref(theirs);
        json_decref(value);
    }
    return 0;
}

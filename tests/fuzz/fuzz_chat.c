/*
 * Any bytes as a chat template, and behind a line "---" any JSON as its variables: refused with a
 * message, or a text within the limits.
 */
#include "base/json.h"
#include "base/utf8.h"
#include "jinja/jinja.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \" Be brief. \"},"
    "{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"caf\\u00e9 "
    "\\ud83c\\udf0a\"}]},"
    "{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\":"
    "{\"name\": \"f\", \"arguments\": {\"x\": 1.5, \"y\": [true, null, -7]}}}]},"
    "{\"role\": \"user\", \"content\": \"a\\nb  c\\t<think>d</think>e\"}],"
    "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {}}}],"
    "\"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char line[] = "\n---\n";
    const struct sw_jinja_limits limits = {
        .steps = 50000, .memory = 16u << 20, .output = 1u << 20, .depth = 200};
    const char *text = (const char *)data;
    const char *cut = size ? memmem(text, size, line, strlen(line)) : NULL;
    const char *json = cut ? cut + strlen(line) : conversation;
    const size_t n = cut ? size - (size_t)(json - text) : strlen(conversation);
    struct sw_jinja *template;
    struct sw_strbuf out = {0};
    json_t *variables;
    if (sw_json_read(json, n, SW_JSON_LINE, &variables) == SW_OK && json_is_object(variables) &&
        sw_jinja_parse(text, cut ? (size_t)(cut - text) : size, &template) == SW_OK) {
        const enum sw_status status = sw_jinja_render(template, variables, &limits, &out);
        if (status == SW_OK && out.length > 0 && !sw_utf8_valid(out.text, out.length))
            abort();
        if (status != SW_OK && (out.length > 0 || !*sw_error_message()))
            abort();
        sw_jinja_free(template);
    }
    sw_strbuf_free(&out);
    json_decref(variables);
    return 0;
}

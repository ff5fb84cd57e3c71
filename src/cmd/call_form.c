/* Owns the options that keep answers to a form, and the way from their files to a grammar. */
#include "cmd/call_form.h"

#include "base/file.h"
#include "base/json.h"
#include "grammar/answer_form.h"
#include "grammar/grammar.h"

#include <stdlib.h>
#include <string.h>

#define SCHEMA_BYTES_MAX (1u << 20)

static enum sw_status form_of_schema(const char *bytes, size_t n, struct sw_strbuf *out)
{
    struct sw_answer_form form = {0};
    json_t *schema;
    SW_TRY(sw_json_read(bytes, n, SW_JSON_INPUT, &schema));
    form.schema = schema;
    const enum sw_status status = sw_answer_form_grammar(&form, out);
    json_decref(schema);
    return status;
}

static enum sw_status form_of_grammar(const char *bytes, size_t n, struct sw_strbuf *out)
{
    const struct sw_answer_form form = {.grammar = bytes, .n_grammar = n};
    return sw_answer_form_grammar(&form, out);
}

/* llama.cpp takes the text itself where this program takes the name of a file with it. */
static enum sw_status form_check_name(const char *option, const char *path)
{
    if (strstr(path, "::=") || path[strspn(path, " \t\r\n")] == '{')
        return sw_fail(SW_EUSAGE, "%s takes the name of a file, and this is what is to be in it",
                       option);
    return SW_OK;
}

static enum sw_status form_read(const char *option, const char *path, size_t limit,
                                enum sw_status (*take)(const char *bytes, size_t n,
                                                       struct sw_strbuf *out),
                                struct sw_strbuf *out)
{
    char *bytes;
    size_t n;
    SW_TRY(form_check_name(option, path));
    enum sw_status status = sw_file_read(path, limit, &bytes, &n);
    if (status == SW_OK) {
        status = take(bytes, n, out);
        if (status != SW_OK)
            sw_error_context("%s", path);
        free(bytes);
    }
    if (status != SW_OK)
        sw_error_context("%s", option);
    return status;
}

enum sw_status sw_call_form(const struct sw_options *o, struct sw_strbuf *out)
{
    const struct sw_answer_form any_object = {0};
    if ((o->grammar != NULL) + (o->json_schema != NULL) + o->json_object > 1)
        return sw_fail(SW_EUSAGE,
                       "an answer has one form; give one of --grammar, --json-schema and "
                       "--json-object");
    if (o->grammar)
        return form_read("--grammar", o->grammar, SW_GRAMMAR_TEXT_MAX, form_of_grammar, out);
    if (o->json_schema)
        return form_read("--json-schema", o->json_schema, SCHEMA_BYTES_MAX, form_of_schema, out);
    return o->json_object ? sw_answer_form_grammar(&any_object, out) : SW_OK;
}

#define FIELD(name) offsetof(struct sw_options, name)

const struct sw_option sw_options_form[] = {
    {"grammar", 0, "FILE", "keep answers to the grammar in FILE (GBNF, as of llama.cpp)",
     FIELD(grammar), sw_parse_file},
    {"json-schema", 0, "FILE", "keep answers to JSON that the schema in FILE accepts",
     FIELD(json_schema), sw_parse_file},
    {"json-object", 0, NULL, "keep answers to a JSON object", FIELD(json_object), sw_parse_flag},
    {0}};

/* Owns what of a request steers its answer: the form that it keeps to, and biases of tokens. */
#include "base/json.h"
#include "grammar/answer_form.h"
#include "jobs/record.h"
#include "jobs/request_impl.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool sw_request_is_empty(const json_t *value)
{
    return json_is_false(value) || (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

bool sw_request_is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* What the answer must look like; sw_line_request_grammar reads it. */
enum sw_status sw_request_read_structure(const json_t *body, struct sw_line_request *out)
{
    const json_t *format = json_object_get(body, "response_format");
    const json_t *grammar = json_object_get(body, "grammar");
    out->wrong = "response_format";
    if (!sw_json_absent(format) && (!json_is_object(format) || sw_json_spelling(format)))
        return sw_fail(SW_EINPUT, "\"response_format\" must be an object, not %s",
                       sw_json_type(format));
    if (!sw_json_absent(format)) {
        out->usual_grammar = NULL;
        if (!sw_request_is_text(json_object_get(format, "type"), "text"))
            out->format = format;
    }
    if (out->form == SW_FORM_PLAIN || sw_json_absent(grammar) || sw_request_is_empty(grammar))
        return SW_OK;
    out->wrong = "grammar";
    if (!json_is_string(grammar))
        return sw_fail(SW_EINPUT, "\"grammar\" must be a text, not %s", sw_json_type(grammar));
    if (out->format)
        return sw_fail(SW_EINPUT, "\"grammar\" and \"response_format\" exclude each other");
    out->grammar = grammar;
    return SW_OK;
}

static enum sw_status request_form(const struct sw_line_request *request,
                                   struct sw_answer_form *form)
{
    const json_t *type = json_object_get(request->format, "type");
    const json_t *named = json_object_get(request->format, "json_schema");
    *form = (struct sw_answer_form){.grammar = json_string_value(request->grammar),
                                    .n_grammar = json_string_length(request->grammar),
                                    .schema = json_object_get(named, "schema")};
    if (form->grammar || sw_request_is_text(type, "json_object")) {
        form->schema = NULL;
        return SW_OK;
    }
    if (!sw_request_is_text(type, "json_schema"))
        return sw_fail(SW_EINPUT, "its \"type\" must be text, json_object or json_schema");
    return form->schema ? SW_OK
                        : sw_fail(SW_EINPUT, "it needs \"json_schema\" with its \"schema\"");
}

enum sw_status sw_line_request_grammar(struct sw_line_request *request, struct sw_strbuf *out)
{
    struct sw_answer_form form;
    if (!request->grammar && !request->format) {
        if (request->usual_grammar)
            sw_strbuf_puts(out, request->usual_grammar);
        return out->failed ? sw_fail(SW_ENOMEM, "no memory for a grammar") : SW_OK;
    }
    request->wrong = request->grammar ? "grammar" : "response_format";
    enum sw_status status = request_form(request, &form);
    if (status == SW_OK)
        status = sw_answer_form_grammar(&form, out);
    if (status == SW_OK)
        request->wrong = NULL;
    else
        sw_error_context("\"%s\"", request->wrong);
    return status;
}

/* The id that a member of "logit_bias" is named after. */
static bool request_bias_id(const char *name, int32_t *id)
{
    char *end;
    const long value = strtol(name, &end, 10);
    *id = (int32_t)value;
    return name[0] >= '0' && name[0] <= '9' && *end == '\0' && strlen(name) <= 10 &&
           value <= INT32_MAX;
}

enum sw_status sw_request_read_biases(const json_t *value, struct sw_line_request *out)
{
    const char *name;
    json_t *bias;
    double number;
    int32_t id;
    if (sw_json_absent(value) || sw_request_is_empty(value))
        return SW_OK;
    if (!json_is_object(value) || sw_json_spelling(value))
        return sw_fail(SW_EINPUT, "\"logit_bias\" must be an object of ids and numbers, not %s",
                       sw_json_type(value));
    if (json_object_size(value) > SW_BIAS_MAX)
        return sw_fail(SW_EINPUT, "\"logit_bias\" has %zu ids; it may have %d",
                       json_object_size(value), SW_BIAS_MAX);
    json_object_foreach((json_t *)(uintptr_t)value, name, bias)
    {
        if (!request_bias_id(name, &id))
            return sw_fail(SW_EINPUT, "\"logit_bias\": \"%.20s\" is not a token id", name);
        if (!sw_json_number(bias, &number) || !(number >= -100 && number <= 100))
            return sw_fail(SW_EINPUT,
                           "\"logit_bias\": that of %.20s must be a number from -100 to 100", name);
    }
    out->logit_bias = value;
    return SW_OK;
}

static int request_order_biases(const void *a, const void *b)
{
    const struct sw_bias *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

int sw_line_request_biases(const struct sw_line_request *request, struct sw_bias *bias)
{
    const char *name;
    json_t *value;
    double number = 0;
    int n = 0;
    if (!request->logit_bias)
        return 0;
    json_object_foreach((json_t *)(uintptr_t)request->logit_bias, name, value)
    {
        if (n < SW_BIAS_MAX && request_bias_id(name, &bias[n].id) && sw_json_number(value, &number))
            bias[n++].value = (float)number;
    }
    qsort(bias, (size_t)n, sizeof *bias, request_order_biases);
    return n;
}

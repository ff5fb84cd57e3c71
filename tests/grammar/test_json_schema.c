/* Schemas as grammars: which JSON they take, and what is refused by name. */
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/json_schema.h"
#include "grammar/matcher.h"
#include "unit.h"

static enum sw_status convert(const char *schema, struct sw_strbuf *out)
{
    json_t *root;
    CU_ASSERT_EQUAL_FATAL(sw_json_read(schema, strlen(schema), SW_JSON_INPUT, &root), SW_OK);
    const enum sw_status status = sw_json_schema_grammar(root, out);
    json_decref(root);
    return status;
}

/* Whether the text is a whole one of the schema. */
static bool takes(const char *schema, const char *text)
{
    struct sw_strbuf gbnf = {0};
    struct sw_grammar *g;
    struct sw_matcher *m;
    CU_ASSERT_EQUAL_FATAL(convert(schema, &gbnf), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_grammar_parse(gbnf.text, gbnf.length, &g), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_matcher_open(g, &m), SW_OK);
    int state = sw_matcher_start(m);
    for (; *text && state > 0; text++)
        state = sw_matcher_step(m, state, (unsigned char)*text);
    const bool out = state > 0 && sw_matcher_accepts(m, state);
    sw_matcher_close(m);
    sw_grammar_free(g);
    sw_strbuf_free(&gbnf);
    return out;
}

#define PERSON                                                                                     \
    "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": true, \"c\": " \
    "{\"type\": \"null\"}}, \"required\": [\"b\"]"

static void schemas_take_their_values(void)
{
    static const struct {
        const char *schema, *text;
        bool takes;
    } rows[] = {
        {"true", "{\"a\": [1, \"x\\u00e9\\n\", null, -0.5e+3]}", true},
        {"{}", " true", true},
        {"{}", "01", false},
        {"{}", "1.", false},
        {"{}", "\"\\ud800\"", false}, /* half a pair */
        {"{}", "\"\t\"", false},
        {"{}", "[1,]", false},
        {"{\"type\": \"string\"}", "\"a\xc3\xa9\"", true},
        {"{\"type\": \"string\"}", "1", false},
        {"{\"type\": \"integer\"}", "-12", true},
        {"{\"type\": \"integer\"}", "1.5", false},
        {"{\"type\": [\"integer\", \"null\"]}", "null", true},
        {"{\"minLength\": 2, \"maxLength\": 3}", "\"\xc3\xa9\\n\"", true},
        {"{\"minLength\": 2, \"maxLength\": 3}", "\"a\"", false},
        {"{\"minLength\": 2, \"maxLength\": 3}", "\"abcd\"", false},
        {"{\"enum\": [\"a\\\"\", 1, [null]]}", "\"a\\\"\"", true},
        {"{\"enum\": [\"a\", 1, [null]]}", "[null]", true},
        {"{\"enum\": [\"a\", 1, [null]]}", "2", false},
        {"{\"const\": {\"k\": 1.5}}", "{\"k\":1.5}", true},
        {"{\"type\": \"string\", \"const\": \"x\"}", "\"x\"", true},
        {"{\"oneOf\": [{\"type\": \"null\"}, {\"const\": 3}]}", "3", true},
        {PERSON "}", "{\"a\":1,\"b\":2,\"c\":null}", true},
        {PERSON "}", "{\"b\": 2}", true},
        {PERSON "}", "{\"b\": 2, \"c\": null}", true},
        {PERSON "}", "{\"a\": 1}", false},
        {PERSON "}", "{}", false},
        {PERSON "}", "{,\"b\": 2}", false},
        {PERSON "}", "{\"b\": 2, \"d\": 1}", false},
        {PERSON ", \"additionalProperties\": {\"type\": \"boolean\"}}",
         "{\"b\": 2, \"d\": true, \"bb\": false}", true},
        {PERSON ", \"additionalProperties\": {\"type\": \"boolean\"}}", "{\"b\": 2, \"d\": 1}",
         false},
        {PERSON ", \"additionalProperties\": true}", "{\"b\": 2, \"a\": \"no integer\"}", false},
        {"{\"properties\": {\"ab\": {\"const\": 1}, \"a\": {\"const\": 2}}, "
         "\"additionalProperties\": true}",
         "{\"abc\": 3, \"b\": 4}", true},
        {"{\"properties\": {\"ab\": {\"const\": 1}, \"a\": {\"const\": 2}}, "
         "\"additionalProperties\": true}",
         "{\"ab\": 3}", false},
        {"{\"properties\": {\"ab\": {\"const\": 1}, \"a\": {\"const\": 2}}, "
         "\"additionalProperties\": true}",
         "{\"a\": 3}", false},
        {"{\"properties\": {}, \"additionalProperties\": false}", "{}", true},
        {"{\"properties\": {}, \"additionalProperties\": false}", "{\"a\": 1}", false},
        {"{\"type\": \"object\"}", "{\"a\": {\"b\": []}}", true},
        {"{\"additionalProperties\": {\"type\": \"null\"}}", "{\"a\": null, \"b\": null}", true},
        {"{\"items\": {\"type\": \"integer\"}, \"minItems\": 1, \"maxItems\": 2}", "[1, 2]", true},
        {"{\"items\": {\"type\": \"integer\"}, \"minItems\": 1, \"maxItems\": 2}", "[]", false},
        {"{\"items\": {\"type\": \"integer\"}, \"minItems\": 1, \"maxItems\": 2}", "[1,2,3]",
         false},
        {"{\"minItems\": 2}", "[1]", false},
        {"{\"minItems\": 2}", "[1,\"a\",{}]", true},
        {"{\"type\": \"array\", \"maxItems\": 0}", "[]", true},
        {"{\"type\": \"array\", \"maxItems\": 1}", "[]", true},
        {"{\"$ref\": \"#/$defs/a~1b\", \"$defs\": {\"a/b\": {\"items\": {\"$ref\": \"#\"}}}}",
         "[[[]]]", true},
        {"{\"anyOf\": [{\"type\": \"null\"}, {\"properties\": {\"n\": {\"$ref\": \"#\"}}}]}",
         "{\"n\": {\"n\": null}}", true},
        {"{\"pattern\": \"^[a-c]+$\"}", "\"abc\"", true},
        {"{\"pattern\": \"^[a-c]+$\"}", "\"abcd\"", false},
        {"{\"pattern\": \"[a-c]+\"}", "\"xxax\"", true},
        {"{\"pattern\": \"[a-c]+\"}", "\"xx\"", false},
        {"{\"pattern\": \"^(ab|c){2}\\\\.\\\\d?$\"}", "\"cab.7\"", true},
        {"{\"pattern\": \"^(?:ab)*x$\"}", "\"ababx\"", true},
        {"{\"pattern\": \"^a\\\"\\\\\\\\$\"}", "\"a\\\"\\\\\"", true},
        {"{\"pattern\": \"^[^a]$\"}", "\"b\"", true},
        {"{\"pattern\": \"^[^a]$\"}", "\"\"\"", false},
        {"{\"pattern\": \"^[\\\\w-]+$\"}", "\"a-_9\"", true},
        {"{\"pattern\": \"^\xc3\xa9*$\"}", "\"\xc3\xa9\xc3\xa9\"", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const bool got = takes(rows[i].schema, rows[i].text);
        if (got != rows[i].takes)
            printf("    %s of %s: %d\n", rows[i].schema, rows[i].text, got);
        CU_ASSERT_EQUAL(got, rows[i].takes);
    }
}

static void what_is_not_supported_is_named(void)
{
    static const struct {
        const char *schema, *message;
    } rows[] = {
        {"3", "must be an object or true"},
        {"false", "must be an object or true"},
        {"{\"minimum\": 3}", "\"minimum\" in a schema is not supported"},
        {"{\"properties\": {\"a\": {\"format\": \"date\"}}}", "\"format\""},
        {"{\"allOf\": []}", "\"allOf\""},
        {"{\"type\": \"text\"}", "none of JSON's"},
        {"{\"type\": [\"string\", 3]}", "none of JSON's"},
        {"{\"anyOf\": []}", "\"anyOf\" must be a list"},
        {"{\"anyOf\": [{}], \"type\": \"string\"}", "beside \"anyOf\""},
        {"{\"$ref\": \"#/nowhere\"}", "\"#/nowhere\" is not a place"},
        {"{\"$ref\": \"http://x/y\"}", "is not a place"},
        {"{\"enum\": []}", "\"enum\""},
        {"{\"type\": \"string\", \"enum\": [1]}", "not of its \"type\""},
        {"{\"minLength\": 3, \"maxLength\": 2}", "\"maxLength\" is below"},
        {"{\"maxLength\": -1}", "\"maxLength\" must be"},
        {"{\"minItems\": 2, \"maxItems\": 1}", "\"maxItems\" is below"},
        {"{\"maxItems\": 1e9}", "\"maxItems\" must be"},
        {"{\"required\": [\"a\"]}", "\"a\", which is not in"},
        {"{\"required\": 3}", "\"required\" must be"},
        {"{\"properties\": 3}", "\"properties\" must be"},
        {"{\"pattern\": \"a\", \"maxLength\": 2}", "beside"},
        {"{\"pattern\": \"(?=a)\"}", "\"pattern\": this group"},
        {"{\"pattern\": \"a\\\\b\"}", "this letter after a backslash"},
        {"{\"pattern\": \"a**\"}", "repetition of a repetition"},
        {"{\"pattern\": \"a{}\"}", "this repetition"},
        {"{\"pattern\": \"a{,2}\"}", "this repetition"},
        {"{\"pattern\": \"a{1,2,3}\"}", "this repetition"},
        {"{\"pattern\": \"(a\"}", "without its end"},
        {"{\"pattern\": \"a)\"}", "without its ("},
        {"{\"pattern\": \"^a|b$\"}", "| beside ^"},
        {"{\"pattern\": \"a^b\"}", "this is not supported"},
        {"{\"minLength\": 1, \"items\": {}}", "of another type"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_strbuf out = {0};
        CU_ASSERT_EQUAL(convert(rows[i].schema, &out), SW_EINPUT);
        if (!strstr(sw_error_message(), rows[i].message))
            printf("    %s: %s\n", rows[i].schema, sw_error_message());
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), rows[i].message));
        sw_error_clear();
        sw_strbuf_free(&out);
    }
}

/* Deep and wide schemas end with an error, not with the stack or the memory. */
static void large_schemas_are_refused(void)
{
    struct sw_strbuf deep = {0}, wide = {0}, out = {0};
    for (int i = 0; i < 100; i++)
        sw_strbuf_puts(&deep, "{\"items\": ");
    sw_strbuf_puts(&deep, "{}");
    for (int i = 0; i < 100; i++)
        sw_strbuf_puts(&deep, "}");
    CU_ASSERT_EQUAL(convert(deep.text, &out), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "nested deeper"));
    sw_strbuf_puts(&wide, "{\"anyOf\": [{}");
    for (int i = 0; i < 1100; i++)
        sw_strbuf_puts(&wide, ", {}");
    sw_strbuf_puts(&wide, "]}");
    CU_ASSERT_EQUAL(convert(wide.text, &out), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "too large"));
    sw_error_clear();
    sw_strbuf_free(&deep);
    sw_strbuf_free(&wide);
    sw_strbuf_free(&out);
}

SW_UNIT_TESTS({"schemas take their values", schemas_take_their_values},
              {"what is not supported is named", what_is_not_supported_is_named},
              {"large schemas are refused", large_schemas_are_refused})

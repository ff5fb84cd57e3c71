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

struct matching {
    struct sw_strbuf gbnf;
    struct sw_grammar *grammar;
    struct sw_matcher *matcher;
};

static void matching_open(const char *schema, struct matching *m)
{
    *m = (struct matching){0};
    CU_ASSERT_EQUAL_FATAL(convert(schema, &m->gbnf), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_grammar_parse(m->gbnf.text, m->gbnf.length, &m->grammar), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_matcher_open(m->grammar, &m->matcher), SW_OK);
}

static void matching_close(struct matching *m)
{
    sw_matcher_close(m->matcher);
    sw_grammar_free(m->grammar);
    sw_strbuf_free(&m->gbnf);
}

static bool matching_takes(const struct matching *m, const char *text)
{
    int state = sw_matcher_start(m->matcher);
    for (; *text && state > 0; text++)
        state = sw_matcher_step(m->matcher, state, (unsigned char)*text);
    return state > 0 && sw_matcher_accepts(m->matcher, state);
}

/* Whether the text is a whole one of the schema. */
static bool takes(const char *schema, const char *text)
{
    struct matching m;
    matching_open(schema, &m);
    const bool out = matching_takes(&m, text);
    matching_close(&m);
    return out;
}

#define PERSON                                                                                     \
    "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"integer\"}, \"b\": true, \"c\": " \
    "{\"type\": \"null\"}}, \"required\": [\"b\"]"

/* The schema's own properties and those of two others, one of them elsewhere. */
#define ALL_OF                                                                                     \
    "{\"properties\": {\"c\": {\"const\": 1}}, \"required\": [\"c\"], \"allOf\": [{\"$ref\": "     \
    "\"#/$defs/a\"}, {\"type\": \"object\", \"properties\": {\"b\": {\"type\": \"string\"}}}], "   \
    "\"$defs\": {\"a\": {\"properties\": {\"a\": {\"const\": 2}}, \"required\": [\"a\"]}}}"

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
        /* white space: as people lay JSON out, and no more */
        {"{}", "\n{\n    \"a\": [\n        1,\n        {}\n    ]\n}", true},
        {PERSON "}", "{\n  \"b\": [],\n  \"c\": null\n}", true},
        {PERSON "}", "{ \"b\":1, \"c\":null }", true},
        {PERSON ", \"additionalProperties\": true}", "{\n  \"b\": 1,\n  \"x\": 1\n}", true},
        {"{\"items\": {}, \"minItems\": 1}", "[\n        1,\n        2 ]", true},
        {"{\"items\": {}}", "[\n         1]", false},
        {"{\"items\": {}}", "[\n\n1]", false},
        {"{\"items\": {}}", "[  1]", false},
        {"{\"items\": {}}", "[1 , 2]", false},
        {"{\"items\": {}}", "[\n]", true},
        {"{}", "[ ]", true},
        {"{}", "[1  ]", false},
        {"{}", "{ }", true},
        {"{}", "{  }", false},
        {"{}", "{\"a\" : 1}", false},
        {"{}", "{\"a\":  1}", false},
        {"{}", "{\"a\":\n1}", false},
        {"{}", "{\"a\": 1 ,\"b\": 2}", false},
        {"{}", "  1", false},
        {"{}", "1 ", false},
        {PERSON "}", "{\"b\" : 2}", false},
        {PERSON "}", "{\"b\":  2}", false},
        {PERSON "}", "{\"b\":\n2}", false},
        {PERSON "}", "{\"b\": 2 , \"c\": null}", false},
        {PERSON "}", "{\"b\": 2  }", false},
        {"{\"properties\": {\"a\": true}}", "{\n}", true},
        {"{\"properties\": {\"a\": true}}", "{\n\n}", false},
        {"{\"type\": \"array\", \"maxItems\": 0}", "[ ]", true},
        {"{\"items\": {}}", "[  ]", false},
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
        {ALL_OF, "{\"c\": 1, \"a\": 2, \"b\": \"x\"}", true},
        {ALL_OF, "{\"c\": 1, \"a\": 2}", true},
        {ALL_OF, "{\"c\": 1, \"b\": \"x\"}", false},
        {ALL_OF, "{\"a\": 2}", false},
        {"{\"title\": \"t\", \"allOf\": [{\"enum\": [1, 2]}]}", "2", true},
        {"{\"properties\": {\"n\": {\"type\": \"integer\", \"minimum\": 0}}}", "{\"n\": -1}",
         false},
        {"{\"type\": [\"integer\", \"null\"], \"maximum\": 5}", "null", true},
        {"{\"type\": \"integer\", \"minimum\": -999999999999999999}", "-999999999999999", true},
        {"{\"format\": \"uuid\"}", "\"123e4567-e89b-12d3-A456-426614174000\"", true},
        {"{\"format\": \"uuid\"}", "\"123e4567-e89b-12d3-A456-42661417400\"", false},
        {"{\"format\": \"time\"}", "\"23:59:59.123+05:30\"", true},
        {"{\"format\": \"time\"}", "\"24:00:00Z\"", false},
        {"{\"format\": \"time\"}", "\"23:59:59\"", false},
        {"{\"format\": \"date-time\"}", "\"2024-02-29T00:00:00Z\"", true},
        {"{\"format\": \"date-time\"}", "\"2023-02-29T00:00:00Z\"", false},
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

/* Every whole number around the bounds, and none with zeros before it. */
static void bounds_are_kept(void)
{
    static const int bounds[] = {-1003, -999, -120, -100, -99, -10, -9,  -1,   0,   1,
                                 7,     9,    10,   35,   99,  100, 307, 1000, 1042};
    const int n = (int)(sizeof bounds / sizeof bounds[0]);
    int wrong = 0;
    for (int i = 0; i < n; i++)
        for (int k = i; k < n; k++) {
            char schema[128], text[16];
            struct matching m;
            snprintf(schema, sizeof schema,
                     "{\"type\": \"integer\", \"minimum\": %d, \"exclusiveMaximum\": %d}",
                     bounds[i], bounds[k] + 1);
            matching_open(schema, &m);
            for (int v = -1100; v <= 1100; v++) {
                snprintf(text, sizeof text, "%d", v);
                wrong += matching_takes(&m, text) != (v >= bounds[i] && v <= bounds[k]);
            }
            wrong += matching_takes(&m, "-0") || matching_takes(&m, "007");
            matching_close(&m);
        }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void dates_are_those_of_the_calendar(void)
{
    static const int years[] = {0, 4, 1900, 2000, 2023, 2024, 2100, 2196, 2400};
    static const int days[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0};
    struct matching m;
    int wrong = 0;
    matching_open("{\"type\": \"string\", \"format\": \"date\"}", &m);
    for (size_t i = 0; i < sizeof years / sizeof years[0]; i++)
        for (int month = 0; month <= 13; month++)
            for (int day = 0; day <= 32; day++) {
                char text[32];
                const int y = years[i];
                const bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
                const int most = days[month] + (leap && month == 2);
                snprintf(text, sizeof text, "\"%04d-%02d-%02d\"", y, month, day);
                wrong += matching_takes(&m, text) != (day >= 1 && day <= most);
            }
    matching_close(&m);
    CU_ASSERT_EQUAL(wrong, 0);
}

static void what_is_not_supported_is_named(void)
{
    static const struct {
        const char *schema, *message;
    } rows[] = {
        {"3", "must be an object or true"},
        {"false", "must be an object or true"},
        {"{\"minimum\": 3}", "for \"type\": \"integer\" only"},
        {"{\"type\": \"number\", \"maximum\": 3}", "for \"type\": \"integer\" only"},
        {"{\"type\": \"integer\", \"minimum\": 1.5}", "\"minimum\" must be a whole number"},
        {"{\"type\": \"integer\", \"minimum\": 3, \"exclusiveMaximum\": 3}", "no whole number"},
        {"{\"type\": \"integer\", \"minimum\": 1000000000000000}", "no whole number"},
        {"{\"type\": \"integer\", \"multipleOf\": 2}", "\"multipleOf\""},
        {"{\"properties\": {\"a\": {\"format\": \"email\"}}}", "at /properties/a: "},
        {"{\"properties\": {\"a\": {\"format\": \"email\"}}}", "\"email\" is not supported"},
        {"{\"items\": {\"anyOf\": [{}, {\"x\": 1}]}}", "at /items/anyOf/1: \"x\""},
        {"{\"properties\": {\"a/b~\": {\"$ref\": \"#/$defs/d\"}}, \"$defs\": {\"d\": "
         "{\"additionalProperties\": 3}}}",
         "at /properties/a~1b~0 -> #/$defs/d: \"additionalProperties\" must be"},
        {"{\"properties\": {\"a\": {\"items\": true}, \"b\": 3}}", "at /properties/b: a schema"},
        {"{\"format\": \"date\", \"minLength\": 3}", "\"format\" must be"},
        {"{\"allOf\": []}", "\"allOf\""},
        {"{\"allOf\": [{\"type\": \"string\"}, {\"minLength\": 3}]}", "\"type\" of a schema in"},
        {"{\"allOf\": [{\"properties\": {\"a\": {}}, \"additionalProperties\": false}, {}]}",
         "\"additionalProperties\" of a schema in \"allOf\""},
        {"{\"allOf\": [{\"properties\": {\"a\": {}}}, {\"properties\": {\"a\": true}}]}",
         "\"a\" in several"},
        {"{\"$defs\": {\"x\": {\"allOf\": [{\"$ref\": \"#/$defs/x\"}, {}]}}, \"$ref\": "
         "\"#/$defs/x\"}",
         "\"allOf\" is nested deeper"},
        {"{\"allOf\": [{\"$ref\": \"#/none\"}, {}]}", "is not a place"},
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
              {"bounds are kept", bounds_are_kept},
              {"dates are those of the calendar", dates_are_those_of_the_calendar},
              {"what is not supported is named", what_is_not_supported_is_named},
              {"large schemas are refused", large_schemas_are_refused})

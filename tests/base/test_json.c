/* JSON as Python reads it: what is taken, what it becomes, what is refused and how. */
#include "base/json.h"
#include "unit.h"

#include <math.h>

static json_t *value_of(const char *text, unsigned rules)
{
    json_t *value = NULL;
    const enum sw_status status = sw_json_read(text, strlen(text), rules, &value);
    if (status != SW_OK)
        printf("  %s: %s\n", text, sw_error_message());
    CU_ASSERT_EQUAL(status, SW_OK);
    return value;
}

static void check_refused(const char *text, size_t n, unsigned rules, const char *message)
{
    json_t *value = NULL;
    const enum sw_status status = sw_json_read(text, n, rules, &value);
    CU_ASSERT_EQUAL(status, rules & SW_JSON_USERS ? SW_EINPUT : SW_EMODEL);
    CU_ASSERT_PTR_NULL(value);
    if (!strstr(sw_error_message(), message)) {
        printf("  expected %s, got %s\n", message, sw_error_message());
        CU_FAIL("another message");
    }
}

static void refuses(const char *text, unsigned rules, const char *message)
{
    check_refused(text, strlen(text), rules, message);
}

/* What jansson holds is as jansson reads it. */
static void usual_values_are_jansson_s(void)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        " [ ] ",
        "null",
        "true",
        "false",
        "\"\"",
        "\"a\\n\\u00e4\\ud83d\\ude00\\/\"",
        "{\"a\": [1, -2, 0, -0, 1.5, 1e3, 1E-400, -0.0, 0.1, {\"b\": null}], \"\": \"\xc3\xa4\"}",
        "9223372036854775807",
        "-9223372036854775808",
        "\t\r\n1",
        "123456789012345678901234567890.5",
        "[[[[[]]]],{\"a\":{}}]",
        "1.7976931348623157e308"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *ours = value_of(texts[i], SW_JSON_MODEL);
        json_t *theirs = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(theirs);
        CU_ASSERT_TRUE(json_equal(ours, theirs));
        json_decref(ours);
        json_decref(theirs);
    }
}

/* Right values are those of Python's json.loads. */
static void numbers_of_any_size_are_read(void)
{
    static const struct {
        const char *text;
        bool integer;
        double value;
    } rows[] = {{"1000000000000000019884624838656", true, 1e30},
                {"18446744073709551616", true, 18446744073709551616.0},
                {"-9223372036854775809", true, -9223372036854775808.0},
                {"9223372036854775808", true, 9223372036854775808.0},
                {"1e400", false, INFINITY},
                {"-1.5E+999", false, -INFINITY},
                {"Infinity", false, INFINITY},
                {"-Infinity", false, -INFINITY},
                {"NaN", false, NAN}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char shown[SW_JSON_SHORT];
        double number = 0;
        int64_t integer;
        json_t *value = value_of(rows[i].text, SW_JSON_LINE);
        CU_ASSERT_TRUE(sw_json_is_number(value));
        CU_ASSERT_EQUAL(sw_json_is_integer(value), rows[i].integer);
        CU_ASSERT_TRUE(sw_json_number(value, &number));
        CU_ASSERT_TRUE(number == rows[i].value || (isnan(number) && isnan(rows[i].value)));
        CU_ASSERT_FALSE(sw_json_integer(value, INT64_MIN, INT64_MAX, &integer));
        CU_ASSERT_STRING_EQUAL(sw_json_spelling(value), rows[i].text);
        CU_ASSERT_STRING_EQUAL(sw_json_show(value, shown, sizeof shown), rows[i].text);
        /* No output can have it. */
        CU_ASSERT_PTR_NULL(json_dumps(value, JSON_ENCODE_ANY));
        CU_ASSERT_PTR_NULL(json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII));
        json_decref(value);
    }
}

static void unused_values_do_no_harm(void)
{
    int64_t layers = 0;
    json_t *value =
        value_of("{\"time_step_limit\": [0.0, Infinity], \"n\": 4, \"model_max_length\": "
                 "1000000000000000019884624838656, \"x\": {\"y\\u0000\": NaN}}",
                 SW_JSON_MODEL);
    CU_ASSERT_TRUE(sw_json_integer(json_object_get(value, "n"), 1, 10, &layers));
    CU_ASSERT_EQUAL(layers, 4);
    CU_ASSERT_FALSE(sw_json_integer(json_object_get(value, "n"), 5, 10, &layers));
    CU_ASSERT_FALSE(sw_json_integer(json_object_get(value, "n"), 1, 3, &layers));
    CU_ASSERT_EQUAL(json_object_size(value), 4);
    CU_ASSERT_EQUAL(json_object_size(json_object_get(value, "x")), 0); /* not as "y" */
    json_decref(value);
}

static void seeds_have_64_bits(void)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } rows[] = {{"0", true, 0},
                {"9223372036854775807", true, INT64_MAX},
                {"18446744073709551615", true, UINT64_MAX},
                {"18446744073709551616", false, 0},
                {"-1", false, 0},
                {"-18446744073709551615", false, 0},
                {"1e5", false, 0},
                {"1e400", false, 0},
                {"NaN", false, 0},
                {"\"7\"", false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t seed = 1;
        json_t *value = value_of(rows[i].text, SW_JSON_LINE);
        CU_ASSERT_EQUAL(sw_json_uint64(value, &seed), rows[i].good);
        if (rows[i].good)
            CU_ASSERT_EQUAL(seed, rows[i].value);
        json_decref(value);
    }
}

static void other_values_are_no_numbers(void)
{
    static const char *const texts[] = {
        "\"1\"", "{}", "[]", "null", "true", "{\"number\": \"1\"}", "{\"\xc3\xbfnumber\": \"1\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        double number;
        int64_t integer;
        json_t *value = value_of(texts[i], SW_JSON_MODEL);
        CU_ASSERT_FALSE(sw_json_is_number(value));
        CU_ASSERT_FALSE(sw_json_is_integer(value));
        CU_ASSERT_FALSE(sw_json_number(value, &number));
        CU_ASSERT_FALSE(sw_json_integer(value, INT64_MIN, INT64_MAX, &integer));
        CU_ASSERT_PTR_NULL(sw_json_spelling(value));
        json_decref(value);
    }
    CU_ASSERT_FALSE(sw_json_is_number(NULL));
    CU_ASSERT_PTR_NULL(sw_json_spelling(NULL));
    /* The name of the member that holds a spelling cannot be written. */
    refuses("{\"\xffnumber\": \"1\"}", SW_JSON_MODEL, "a text in UTF-8");
}

static void the_last_of_two_members_counts(void)
{
    json_t *value = value_of("{\"a\": 1, \"b\": 2, \"a\": 3}", SW_JSON_MODEL);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(value, "a")), 3);
    json_decref(value);
    refuses("{\"a\": 1, \"b\": 2, \"\\u0061\": 3}", SW_JSON_LINE,
            "not JSON: column 18: expected no duplicate of a member, found \"\"\\u0061\": 3}\"");
    refuses("{\"a\": 1, \"a\": 1}", SW_JSON_HEADER, "no duplicate of a member");
}

static void texts_may_hold_anything(void)
{
    json_t *value = value_of("\xEF\xBB\xBF\"a\\u0000\\ud83d\"", SW_JSON_MODEL);
    CU_ASSERT_EQUAL(json_string_length(value), 5);
    CU_ASSERT_EQUAL(memcmp(json_string_value(value), "a\0\xEF\xBF\xBD", 5), 0);
    json_decref(value);
    value = value_of("\xEF\xBB\xBF\"a\\u0000\"", SW_JSON_LINE);
    CU_ASSERT_EQUAL(json_string_length(value), 2);
    json_decref(value);
    refuses("\"a\\u0000\"", SW_JSON_HEADER, "no NUL in a text");
    refuses("{\"a\\u0000\": 1}", SW_JSON_LINE, "a name without a NUL");
    refuses("[\"\\ud83d\"]", SW_JSON_LINE, "both halves of a surrogate pair");
    refuses("[\"\\ude00\\ud83d\"]", SW_JSON_INPUT, "both halves of a surrogate pair");
    refuses("[\"\\ud83d\\ud83d\"]", SW_JSON_INPUT, "both halves of a surrogate pair");
    refuses("\"\xed\xa0\x80\"", SW_JSON_MODEL, "a text in UTF-8");
    refuses("\"a\nb\"", SW_JSON_MODEL, "line 1, column 3: expected the end of a text");
}

static void messages_say_where(void)
{
    refuses("", SW_JSON_MODEL, "not JSON: line 1, column 1: expected a value, found the end");
    refuses("{\n  \"\xc3\xa4\": 1,\n  \"b\": x}", SW_JSON_MODEL,
            "not JSON: line 3, column 8: expected a value, found \"x}\"");
    refuses("{\"\xc3\xa4\": 1 2}", SW_JSON_LINE, "not JSON: column 9: expected ',' or '}'");
    refuses("[1, 2", SW_JSON_INPUT, "line 1, column 6: expected ',' or ']', found the end");
    refuses("[1,]", SW_JSON_INPUT, "expected a value, found \"]\"");
    refuses("{\"a\": \"bcd", SW_JSON_INPUT,
            "column 7: expected the end of a text, found \"\"bcd\"");
    refuses("{\"a\" 1}", SW_JSON_INPUT, "column 6: expected ':'");
    refuses("{a: 1}", SW_JSON_INPUT, "a member's name in quotes");
    refuses("{\"a\": 1,}", SW_JSON_INPUT, "a member's name in quotes");
    refuses("1 2", SW_JSON_INPUT, "expected the end, found \"2\"");
    refuses("\x1b[31m", SW_JSON_INPUT, "found \".[31m\"");
    refuses("\xff\xfe{", SW_JSON_INPUT, "found \"..{\"");
    check_refused("[1\0]", 4, SW_JSON_INPUT, "expected ',' or ']', found \".]\"");
}

static void other_numbers_are_refused(void)
{
    static const char *const bad[] = {"-",     "+1",   ".5",  "1.",        "1e",   "1e+", "01",
                                      "-01",   "0x10", "nan", "-NaN",      "inf",  "Inf", "--1",
                                      "1_000", "tru",  "nul", "+Infinity", "-Inf", "1.e5"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuses(bad[i], SW_JSON_MODEL, "not JSON");
}

static void nesting_has_an_end(void)
{
    static char text[2 * SW_JSON_DEPTH_MAX + 4];
    memset(text, '[', SW_JSON_DEPTH_MAX);
    memset(text + SW_JSON_DEPTH_MAX, ']', SW_JSON_DEPTH_MAX);
    json_decref(value_of(text, SW_JSON_MODEL));
    memset(text, '[', SW_JSON_DEPTH_MAX + 1);
    refuses(text, SW_JSON_MODEL, "nesting of at most 1000 levels");
}

SW_UNIT_TESTS({"usual values are jansson's", usual_values_are_jansson_s},
              {"numbers of any size are read", numbers_of_any_size_are_read},
              {"unused values do no harm", unused_values_do_no_harm},
              {"seeds have 64 bits", seeds_have_64_bits},
              {"other values are no numbers", other_values_are_no_numbers},
              {"the last of two members counts", the_last_of_two_members_counts},
              {"texts may hold anything", texts_may_hold_anything},
              {"messages say where", messages_say_where},
              {"other numbers are refused", other_numbers_are_refused},
              {"nesting has an end", nesting_has_an_end})

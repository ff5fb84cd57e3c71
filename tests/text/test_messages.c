/* What becomes of a conversation as clients write it before a template sees it. */
#include "text/chat.h"
#include "text/fixtures.h"

/* Prints what the template is given: every member of every message as JSON. */
#define AS_JSON "{% for m in messages %}{{ m | tojson }}{% endfor %}"
#define PLAIN "{% for m in messages %}[{{ m.content }}]{% endfor %}"
/* Templates that walk over the parts of a content, each in another way. */
#define WALKS(loop) "{% for m in messages %}" loop "{% endfor %}"
#define EACH_PART "{% for p in "
#define PART_TEXT " %}<{{ p.text }}>{% endfor %}"
#define USER(content) "[{\"role\": \"user\", \"content\": " content "}]"
#define TWO_TEXTS                                                                                  \
    USER("[{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"text\", \"text\": \"b\"}]")
#define CALL(arguments)                                                                            \
    "[{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\": {\"name\": "    \
    "\"f\", \"arguments\": " arguments "}}]}]"
#define PRINT_CALL(how) "{% set c = messages[0].tool_calls[0].function %}" how

static const struct {
    const char *template, *messages, *expected; /* or what the refusal says, after a '!' */
} rows[] = {
    /* null members are not there */
    {AS_JSON, USER("null"), "{\"role\": \"user\"}"},
    {"{{ messages[0].content is defined }}", USER("null"), "False"},
    {AS_JSON, "[{\"role\": \"user\", \"content\": {\"a\": null}, \"name\": null}]",
     "{\"role\": \"user\", \"content\": {\"a\": null}}"},
    /* texts are joined */
    {PLAIN, TWO_TEXTS, "[a\nb]"},
    {PLAIN, USER("[{\"type\": \"text\", \"text\": \"\"}]"), "[]"},
    {PLAIN, USER("[]"), "[]"},
    {PLAIN, USER("[\"a\", {\"type\": \"input_text\", \"text\": \"b\"}]"), "[a\nb]"},
    {"{% for m in messages %}{% for w in m.content.split() %}({{ w }}){% endfor %}{% endfor %}",
     TWO_TEXTS, "(a)(b)"},
    {"{% for content in messages %}{{ content.content }}{% endfor %}", TWO_TEXTS, "a\nb"},
    /* unless the template does it */
    {WALKS(EACH_PART "m.content" PART_TEXT), TWO_TEXTS, "<a><b>"},
    {WALKS(EACH_PART "m['content']" PART_TEXT), TWO_TEXTS, "<a><b>"},
    {WALKS(EACH_PART "m.get('content')" PART_TEXT), TWO_TEXTS, "<a><b>"},
    {WALKS(EACH_PART "(m.content or [])" PART_TEXT), TWO_TEXTS, "<a><b>"},
    {WALKS(EACH_PART "m.content | selectattr('type', 'equalto', 'text')" PART_TEXT), TWO_TEXTS,
     "<a><b>"},
    {WALKS(EACH_PART "m.content | rejectattr('type', 'equalto', 'image')" PART_TEXT), TWO_TEXTS,
     "<a><b>"},
    {WALKS(EACH_PART "m.content | list" PART_TEXT), TWO_TEXTS, "<a><b>"},
    {WALKS(EACH_PART "m.content | default([])" PART_TEXT), TWO_TEXTS, "<a><b>"},
    {WALKS("{% set x = m.content %}{% set y = x %}" EACH_PART "y" PART_TEXT), TWO_TEXTS, "<a><b>"},
    {WALKS("<{{ m.content[0].text }}>"), TWO_TEXTS, "<a>"},
    {"{% macro show(role, c) %}" EACH_PART "c" PART_TEXT
     "{% endmacro %}" WALKS("{{ show(m.role, m.content) }}"),
     TWO_TEXTS, "<a><b>"},
    {"{% macro show(c) %}{% if c is string %}{{ c }}{% else %}" EACH_PART "c" PART_TEXT
     "{% endif %}{% endmacro %}" WALKS("{{ show(c=m.content) }}"),
     USER("\"s\""), "s"},
    {"{% macro show(c) %}" EACH_PART "c" PART_TEXT
     "{% endmacro %}" WALKS("{{ show(c=m.content) }}"),
     TWO_TEXTS, "<a><b>"},
    {WALKS("{{ m.content['x'] or m.content }}"), TWO_TEXTS, "a\nb"}, /* asks, but does not walk */
    /* other kinds are named, whatever the template */
    {PLAIN, USER("[{\"type\": \"image_url\", \"image_url\": {\"url\": \"x\"}}]"),
     "!messages[0].content[0] is of the type \"image_url\""},
    {WALKS(EACH_PART "m.content" PART_TEXT), USER("[{\"type\": \"input_audio\"}]"),
     "!content[0] is of the type \"input_audio\""},
    {PLAIN, USER("[{\"type\": \"text\"}]"), "!messages[0].content[0] must be"},
    {PLAIN, USER("[3]"), "!messages[0].content[0] must be"},
    /* arguments are an object, or a text where the template prints them */
    {PRINT_CALL("{{ c.arguments | tojson }}"), CALL("\"{\\\"a\\\": [1, \\\"x\\\"]}\""),
     "{\"a\": [1, \"x\"]}"},
    {PRINT_CALL("{{ c.arguments | tojson }}"), CALL("{\"a\": 1}"), "{\"a\": 1}"},
    {PRINT_CALL("{{ c.arguments | tojson }}"), CALL("\"\""), "{}"},
    {PRINT_CALL("{% for k, v in c.arguments.items() %}{{ k }}={{ v }};{% endfor %}"),
     CALL("\"{\\\"a\\\": 1}\""), "a=1;"},
    {PRINT_CALL("{% if c.arguments is mapping %}{% for k, v in c.arguments.items() %}{{ k }};"
                "{% endfor %}{% else %}{{ c.arguments }}{% endif %}"),
     CALL("\"{\\\"a\\\":1}\""), "a;"},
    {PRINT_CALL("{% if c.arguments is string %}{{ c.arguments }}{% else %}"
                "{{ c.arguments | tojson }}{% endif %}"),
     CALL("\"{\\\"a\\\":1}\""), "{\"a\": 1}"},
    {PRINT_CALL("{{ '(' + c['arguments'] + ')' }}"), CALL("\"{\\\"a\\\":1}\""), "({\"a\":1})"},
    {PRINT_CALL("{{ c.arguments | tojson }}"), CALL("\"{\\\"a\\\":\""),
     "!messages[0].tool_calls[0].function.arguments: not JSON"},
    {PRINT_CALL("{{ c.arguments | tojson }}"), CALL("\"[1]\""),
     "!messages[0].tool_calls[0].function.arguments must be a JSON object"},
    {"{{ messages[0].function_call.arguments | tojson }}",
     "[{\"role\": \"assistant\", \"function_call\": {\"arguments\": \"{}\"}}]", "{}"},
    /* what is no conversation */
    {PLAIN, "[]", "!messages is an empty list"},
    {PLAIN, "{}", "!messages must be a list"},
    {PLAIN, "[{\"role\": null}]", "!messages[0] must be an object with a text \"role\""},
};

static void check_row(size_t i)
{
    char *dir = fixture_make();
    struct sw_chat *chat = NULL;
    struct sw_strbuf text = {0};
    json_t *messages = json_loads(rows[i].messages, 0, NULL);
    char *before = json_dumps(messages, 0);
    fixture_puts(dir, "chat_template.jinja", rows[i].template);
    CU_ASSERT_EQUAL_FATAL(sw_chat_open(dir, &chat), SW_OK);
    const struct sw_chat_request request = {.messages = messages};
    const enum sw_status status = sw_chat_render(chat, &request, &text);
    const char *got = status != SW_OK ? sw_error_message() : text.text ? text.text : "";
    const bool good = *rows[i].expected == '!'
                          ? status == SW_EINPUT && strstr(got, rows[i].expected + 1)
                          : status == SW_OK && strcmp(got, rows[i].expected) == 0;
    CU_ASSERT(good);
    if (!good)
        printf("    %s of %s\n      expected %s\n      got      %s\n", rows[i].template,
               rows[i].messages, rows[i].expected, got);
    char *after = json_dumps(messages, 0);
    CU_ASSERT_STRING_EQUAL(before, after); /* the caller's stay as they were */
    free(before);
    free(after);
    json_decref(messages);
    sw_strbuf_free(&text);
    sw_chat_free(chat);
    fixture_remove(dir);
}

static void messages_have_one_form(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(i);
}

/* A sum of a million terms is a tree as deep. */
static void long_sums_are_borne(void)
{
    const size_t n = 500000;
    char *dir = fixture_make(), *source = malloc(2 * n + 64), *at = source;
    struct sw_chat *chat = NULL;
    at += sprintf(at, "{{ 1");
    for (size_t i = 0; i < n; i++, at += 2)
        memcpy(at, "+1", 2);
    memcpy(at, "}}", 2);
    fixture_write(dir, "chat_template.jinja", source, (size_t)(at + 2 - source));
    CU_ASSERT_EQUAL(sw_chat_open(dir, &chat), SW_OK);
    sw_chat_free(chat);
    fixture_remove(dir);
    free(source);
}

SW_UNIT_TESTS({"messages have one form", messages_have_one_form},
              {"long sums are borne", long_sums_are_borne})

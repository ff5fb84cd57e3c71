/*
 * Chat templates against what transformers makes of them (data/chat, written by make_chat.py), and
 * what must be refused.
 */
#include "jinja/jinja.h"
#include "text/chat.h"
#include "text/fixtures.h"

#include <time.h>

#define DATA SW_SOURCE_DIR "/tests/text/data/chat/"

static json_t *load(const char *name)
{
    char path[4096];
    json_error_t error;
    snprintf(path, sizeof path, DATA "%s", name);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root)
        printf("    %s: %s\n", path, error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(root);
    return root;
}

/* Whether `out` is the text of `expected`, or both are nothing. */
static void agree(const char *name, enum sw_status status, const struct sw_strbuf *out,
                  const json_t *expected)
{
    bool good = status != SW_OK;
    if (json_is_string(expected))
        good = status == SW_OK && out->length == json_string_length(expected) &&
               (out->length == 0 || !memcmp(out->text, json_string_value(expected), out->length));
    CU_ASSERT_TRUE(good);
    if (!good)
        printf("    %s\n      expected %s\n      got      %s\n", name,
               json_is_string(expected) ? json_string_value(expected) : "a refusal",
               status == SW_OK ? out->text : sw_error_message());
    if (status != SW_OK)
        CU_ASSERT_TRUE(*sw_error_message() != '\0');
}

static void renders_templates(void)
{
    json_t *expected = load("expected.json"), *given = load("requests.json");
    const char *file, *name;
    json_t *rows, *text;
    json_object_foreach(json_object_get(expected, "templates"), file, rows)
    {
        struct sw_chat *chat;
        char source[4096];
        char *dir = fixture_make();
        char *config = json_dumps(json_object_get(given, "specials"), 0);
        snprintf(source, sizeof source, "%s/chat_template.jinja", dir);
        char *template = realpath(DATA, NULL), path[8192];
        snprintf(path, sizeof path, "%s/%s", template, file);
        CU_ASSERT_EQUAL(symlink(path, source), 0);
        fixture_puts(dir, "tokenizer_config.json", config);
        const enum sw_status opened = sw_chat_open(dir, &chat);
        if (opened != SW_OK)
            printf("    %s\n", sw_error_message());
        CU_ASSERT_EQUAL_FATAL(opened, SW_OK);
        json_object_foreach(rows, name, text)
        {
            struct sw_strbuf out = {0};
            char both[256];
            const json_t *r = json_object_get(json_object_get(given, "requests"), name);
            const struct sw_chat_request request = {
                .messages = json_object_get(r, "messages"),
                .tools = json_object_get(r, "tools") ? json_object_get(given, "tools") : NULL,
                .variables = json_object_get(r, "variables"),
                .add_generation_prompt = json_is_true(json_object_get(r, "add_generation_prompt"))};
            snprintf(both, sizeof both, "%s, %s", file, name);
            agree(both, sw_chat_render(chat, &request, &out), &out, text);
            sw_strbuf_free(&out);
        }
        sw_chat_free(chat);
        fixture_remove(dir);
        free(config);
        free(template);
    }
    json_decref(expected);
    json_decref(given);
}

static enum sw_status render(const char *source, const json_t *variables,
                             const struct sw_jinja_limits *limits, struct sw_strbuf *out)
{
    struct sw_jinja *template;
    SW_TRY(sw_jinja_parse(source, strlen(source), &template));
    const enum sw_status status = sw_jinja_render(template, variables, limits, out);
    sw_jinja_free(template);
    return status;
}

static void renders_snippets(void)
{
    const struct sw_jinja_limits limits = sw_jinja_limits_default();
    json_t *expected = load("expected.json"), *given = load("requests.json");
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(expected, "snippets"), i, row)
    {
        struct sw_strbuf out = {0};
        char *source = strdup(json_string_value(json_array_get(row, 0))), *to = source;
        for (const char *from = source; *from; from++)
            if (from[0] == '\\' && from[1] == 'n') { /* make_chat.py does the same */
                *to++ = '\n';
                from++;
            } else {
                *to++ = *from;
            }
        *to = '\0';
        agree(source, render(source, json_object_get(given, "variables"), &limits, &out), &out,
              json_array_get(row, 1));
        sw_strbuf_free(&out);
        free(source);
    }
    CU_ASSERT_TRUE(i > 100);
    json_decref(expected);
    json_decref(given);
}

static void refuses(const char *source, const char *expected)
{
    const struct sw_jinja_limits limits = sw_jinja_limits_default();
    struct sw_strbuf out = {0};
    json_t *none = json_object();
    sw_strbuf_puts(&out, "old");
    CU_ASSERT_NOT_EQUAL(render(source, none, &limits, &out), SW_OK);
    CU_ASSERT_EQUAL(out.length, 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), expected));
    if (!strstr(sw_error_message(), expected))
        printf("    %.60s\n      expected %s\n      got      %s\n", source, expected,
               sw_error_message());
    sw_strbuf_free(&out);
    json_decref(none);
}

static void names_line_and_reason(void)
{
    refuses("a\n{{ x y }}", "line 2: expected }}, found 'y'");
    refuses("\n\n{% if x %}\n", "block at line 3 is missing");
    refuses("a\n\n{{ x.y }}", "line 3: 'x' is undefined");
    refuses("a\n{# ", "line 2: a comment that begins here has no end");
    refuses("{% for x in y %}\n{% endif %}", "line 2");
    refuses("{{ 'a' | shout }}", "there is no filter 'shout'");
    refuses("{% extends 'x' %}", "line 1: expected a statement");
    refuses("{{ raise_exception('never ' ~ 1) }}", "refuses the conversation: never 1");
    refuses("{{ \"\\ud800\" }}", "not a character");
    refuses("{{ 9999999999999999999 }}", "64 bits");
    refuses("{{ 9223372036854775807 + 1 }}", "64 bits");
}

/* Each of these would take for ever, or all memory, or all stack. */
static void has_limits(void)
{
    static const char *const sources[] = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 999999999999 }}",
        "{{ [[]] * 999999999 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
        "{% endfor %}",
        "{% set s = 'x' * 9999999 %}{% for i in range(99999) %}{{ s }}{% endfor %}",
        "{{ ('x' * 99999) | replace('x', 'y' * 99999) }}",
        "{% set s = 'ab' * 9999999 %}{% for i in range(99999) %}{{ s | upper | length }}"
        "{% endfor %}",
        "{{ range(99999) | map('string') | map('center', 99999) | join }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}"
        "{% endfor %}{{ ns.l }}",
    };
    const clock_t begin = clock();
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        refuses(sources[i], "line 1");
    /* a second or two where nothing is sanitized; none of them hangs */
    CU_ASSERT_TRUE((double)(clock() - begin) / CLOCKS_PER_SEC < 120);
    char *deep = malloc(100001);
    memset(deep, '(', 100000);
    deep[100000] = '\0';
    memcpy(deep, "{{", 2);
    refuses(deep, "deeper");
    for (int i = 2; i < 99994; i += 4)
        memcpy(deep + i, "not ", 4);
    memcpy(deep + 99994, "x }}", 4);
    refuses(deep, "deeper");
    free(deep);
}

static const char hello[] = "[{\"role\": \"user\", \"content\": \"Hi\"}]";

static void check(const char *dir, bool tools, const char *expected)
{
    struct sw_chat *chat;
    struct sw_strbuf out = {0};
    json_t *messages = json_loads(hello, 0, NULL), *list = json_array();
    enum sw_status status = sw_chat_open(dir, &chat);
    if (status == SW_OK) {
        const struct sw_chat_request request = {.messages = messages, .tools = tools ? list : NULL};
        status = sw_chat_render(chat, &request, &out);
        sw_chat_free(chat);
    }
    const char *got = status == SW_OK ? out.text : sw_error_message();
    CU_ASSERT_PTR_NOT_NULL(got ? strstr(got, expected) : NULL);
    if (!got || !strstr(got, expected))
        printf("    expected %s\n    got      %s\n", expected, got ? got : "nothing");
    sw_strbuf_free(&out);
    json_decref(messages);
    json_decref(list);
}

static void finds_the_template(void)
{
    char *dir = fixture_make();
    check(dir, false, "has no chat template (expected chat_template.jinja");
    fixture_puts(dir, "tokenizer_config.json", "{\"bos_token\": {\"content\": \"<s>\"}}");
    check(dir, false, "has no chat template");
    fixture_puts(dir, "tokenizer_config.json",
                 "{\"bos_token\": {\"content\": \"<s>\"}, \"add_bos_token\": true,"
                 " \"extra_special_tokens\": {\"image_token\": \"<img>\"},"
                 " \"chat_template\": \"{{ bos_token }}{{ eos_token }}{{ image_token }}"
                 "{{ add_bos_token }}{{ tools is none }}\"}");
    fixture_puts(dir, "special_tokens_map.json",
                 "{\"bos_token\": \"<m>\", \"eos_token\": \"</s>\"}");
    check(dir, false, "<m></s><img>True"); /* the map goes first */
    fixture_puts(dir, "tokenizer_config.json",
                 "{\"chat_template\": [{\"name\": \"default\", \"template\": \"plain\"},"
                 "{\"name\": \"tool_use\", \"template\": \"with tools\"}]}");
    check(dir, false, "plain");
    check(dir, true, "with tools");
    fixture_puts(dir, "tokenizer_config.json",
                 "{\"chat_template\": [{\"name\": \"a\", \"template\": \"a\"},"
                 "{\"name\": \"b\", \"template\": \"b\"}]}");
    check(dir, false, "none of the 2 chat templates is named \"default\"");
    fixture_puts(dir, "chat_template.json", "{\"chat_template\": \"from json\"}");
    check(dir, false, "from json");
    fixture_puts(dir, "chat_template.jinja", "{% if %}");
    check(dir, false, "chat_template.jinja: line 1: expected an expression, found '%}'");
    fixture_puts(dir, "chat_template.jinja", "{{ messages[0].role }} from jinja");
    check(dir, false, "user from jinja");
    fixture_puts(dir, "chat_template.jinja", "\xff");
    check(dir, false, "must be UTF-8");
    fixture_remove(dir);
}

static void refuse_request(const struct sw_chat *chat, const char *json, const char *expected)
{
    struct sw_strbuf out = {0};
    json_t *root = json_loads(json, 0, NULL);
    const struct sw_chat_request request = {.messages = json_object_get(root, "messages"),
                                            .tools = json_object_get(root, "tools"),
                                            .variables = json_object_get(root, "variables")};
    CU_ASSERT_EQUAL(sw_chat_render(chat, &request, &out), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), expected));
    sw_strbuf_free(&out);
    json_decref(root);
}

static void refuses_bad_requests(void)
{
    struct sw_chat *chat;
    char *dir = fixture_make();
    fixture_puts(dir, "chat_template.jinja", "{{ messages[0].content + 'x' }}");
    CU_ASSERT_EQUAL_FATAL(sw_chat_open(dir, &chat), SW_OK);
    refuse_request(chat, "{}", "messages must be a list");
    refuse_request(chat, "{\"messages\": []}", "messages is an empty list");
    refuse_request(chat, "{\"messages\": [{\"role\": \"user\"}, 3]}", "messages[1]");
    refuse_request(chat, "{\"messages\": [{\"role\": \"user\"}], \"tools\": {}}", "tools");
    refuse_request(chat, "{\"messages\": [{\"role\": \"user\"}], \"variables\": []}", "object");
    refuse_request(chat, "{\"messages\": [{\"role\": \"u\"}], \"variables\": {\"tools\": 1}}",
                   "\"tools\" cannot be");
    refuse_request(chat, "{\"messages\": [{\"role\": \"user\", \"content\": {}}]}",
                   "chat_template.jinja: line 1: a dict and a string");
    sw_chat_free(chat);
    fixture_remove(dir);
}

/* Special tokens are recognised, and the BOS that the template prints is the only one. */
static void encodes(void)
{
    char *dir = fixture_make();
    struct sw_chat *chat;
    struct sw_tokenizer *tok;
    struct sw_ids ids = {0};
    if (!fixture_link(dir, "tokenizer.model", "llama2/tokenizer.model"))
        goto done;
    fixture_puts(dir, "tokenizer_config.json",
                 "{\"add_bos_token\": true, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\","
                 " \"chat_template\": \"{{ bos_token }}[{{ messages[0].content }}]\"}");
    CU_ASSERT_EQUAL_FATAL(sw_chat_open(dir, &chat), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(dir, &tok), SW_OK);
    json_t *messages = json_loads(hello, 0, NULL);
    const struct sw_chat_request request = {.messages = messages};
    CU_ASSERT_EQUAL(sw_chat_encode(chat, tok, &request, &ids), SW_OK);
    CU_ASSERT_TRUE(ids.count > 2 && ids.items[0] == 1 && ids.items[1] != 1);
    json_decref(messages);
    sw_tokenizer_close(tok);
    sw_chat_free(chat);
done:
    sw_ids_free(&ids);
    fixture_remove(dir);
}

/* A template as its authors publish it. */
static void renders_a_published_template(void)
{
    char *dir = fixture_make();
    if (fixture_link(dir, "tokenizer_config.json", "qwen2.5/tokenizer_config.json")) {
        check(dir, false,
              "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
              "<|im_start|>user\nHi<|im_end|>\n");
        check(dir, true, "<|im_start|>user\nHi<|im_end|>\n");
    }
    fixture_remove(dir);
}

SW_UNIT_TESTS({"renders templates as transformers does", renders_templates},
              {"renders each construct as Jinja does", renders_snippets},
              {"names the line and the reason", names_line_and_reason},
              {"ends what would never end", has_limits},
              {"finds the template among the files", finds_the_template},
              {"refuses bad requests", refuses_bad_requests}, {"encodes", encodes},
              {"renders a published template", renders_a_published_template})

/*
 * Tokenizers of our own, small ones: ids as the reference libraries gave them (data/), what the
 * files beside a tokenizer change, what is refused, and hard texts.
 */
#include "base/utf8.h"
#include "text/fixtures.h"
#include "text/regex.h"

#include <time.h>

#define DATA SW_SOURCE_DIR "/tests/text/data/"

static void check_expected(const char *name)
{
    static int32_t ids[1 << 12];
    char path[4096];
    size_t n, cases = 0;
    snprintf(path, sizeof path, DATA "%s", name);
    struct sw_tokenizer *tok = fixture_open(path);
    snprintf(path, sizeof path, DATA "%s/expected.jsonl", name);
    char *bytes = fixture_read(path, &n);
    for (char *line = strtok(bytes, "\n"); tok && line; line = strtok(NULL, "\n"), cases++) {
        json_t *entry = json_loads(line, JSON_ALLOW_NUL, NULL);
        const json_t *text = json_object_get(entry, "text"), *list = json_object_get(entry, "ids");
        const bool special = json_is_true(json_object_get(entry, "special"));
        for (size_t i = 0; i < json_array_size(list); i++)
            ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
        CU_ASSERT(fixture_encodes(tok, json_string_value(text), json_string_length(text),
                                  special ? SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL : 0,
                                  ids, json_array_size(list)));
        struct sw_ids all = {.items = ids, .count = json_array_size(list)};
        struct sw_strbuf decoded = {0};
        CU_ASSERT(fixture_decodes(tok, &all, special, &decoded));
        const bool marked = strstr(json_string_value(text), "\xE2\x96\x81"); /* becomes a space */
        if (!special && !marked) {
            CU_ASSERT_EQUAL(decoded.length, json_string_length(text));
            CU_ASSERT(decoded.length == 0 ||
                      memcmp(decoded.text, json_string_value(text), decoded.length) == 0);
        }
        sw_strbuf_free(&decoded);
        json_decref(entry);
    }
    CU_ASSERT(cases >= 25);
    free(bytes);
    sw_tokenizer_close(tok);
}

static void byte_level_json(void)
{
    check_expected("byte-level");
}

static void llama_style_json(void)
{
    check_expected("llama-style");
}

static void sentencepiece_model(void)
{
    check_expected("sentencepiece");
}

static void tiktoken_model(void)
{
    check_expected("tiktoken");
}

/* A folder with a copy of one of ours. */
static char *copy_of(const char *name, const char *file)
{
    char path[4096];
    size_t n;
    snprintf(path, sizeof path, DATA "%s/%s", name, file);
    char *dir = fixture_make(), *bytes = fixture_read(path, &n);
    fixture_write(dir, file, bytes, n);
    free(bytes);
    return dir;
}

static bool encodes_to(struct sw_tokenizer *tok, const char *text, unsigned flags, size_t n,
                       const int32_t *ids)
{
    return fixture_encodes(tok, text, strlen(text), flags, ids, n);
}

static void ends_come_from_generation_config(void)
{
    char *dir = copy_of("byte-level", "tokenizer.json");
    struct sw_tokenizer *tok = fixture_open(dir);
    CU_ASSERT_EQUAL(sw_tokenizer_find(tok, "<|endoftext|>", 13), 0);
    CU_ASSERT(sw_tokenizer_is_special(tok, 0));
    CU_ASSERT(sw_tokenizer_is_end(tok, 0)); /* nothing says so but its name */
    sw_tokenizer_close(tok);

    fixture_puts(dir, "config.json", "{\"eos_token_id\": 5}");
    tok = fixture_open(dir);
    CU_ASSERT(sw_tokenizer_is_end(tok, 5));
    CU_ASSERT(!sw_tokenizer_is_end(tok, 0));
    sw_tokenizer_close(tok);

    fixture_puts(dir, "generation_config.json", "{\"eos_token_id\": [7, 9]}");
    fixture_puts(dir, "tokenizer_config.json",
                 "{\"model_max_length\": 1000000000000000019884624838656, "
                 "\"eos_token\": {\"content\": \"<|endoftext|>\"}, \"bos_token\": null}");
    tok = fixture_open(dir);
    CU_ASSERT(sw_tokenizer_is_end(tok, 7));
    CU_ASSERT(sw_tokenizer_is_end(tok, 9));
    CU_ASSERT(!sw_tokenizer_is_end(tok, 5));
    CU_ASSERT_EQUAL(sw_tokenizer_eos(tok), 0);
    CU_ASSERT_EQUAL(sw_tokenizer_bos(tok), -1);
    sw_tokenizer_close(tok);
    fixture_remove(dir);
}

static void bos_and_eos_as_the_config_wants(void)
{
    char *dir = copy_of("llama-style", "tokenizer.json");
    struct sw_tokenizer *tok = fixture_open(dir);
    const int32_t empty_with_bos[] = {1}, both[] = {1, 2};
    CU_ASSERT(encodes_to(tok, "", SW_ENCODE_ADD_SPECIAL, 1, empty_with_bos));
    CU_ASSERT(encodes_to(tok, "", 0, 0, NULL));
    sw_tokenizer_close(tok);

    fixture_puts(dir, "tokenizer_config.json",
                 "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_eos_token\": true}");
    tok = fixture_open(dir);
    CU_ASSERT(encodes_to(tok, "", SW_ENCODE_ADD_SPECIAL, 2, both));
    CU_ASSERT_EQUAL(sw_tokenizer_bos(tok), 1);
    CU_ASSERT_EQUAL(sw_tokenizer_eos(tok), 2);
    CU_ASSERT(sw_tokenizer_is_end(tok, 2));
    sw_tokenizer_close(tok);

    fixture_puts(dir, "tokenizer_config.json",
                 "{\"bos_token\": \"<s>\", \"add_bos_token\": false}");
    tok = fixture_open(dir);
    CU_ASSERT(encodes_to(tok, "", SW_ENCODE_ADD_SPECIAL, 0, NULL));
    sw_tokenizer_close(tok);
    fixture_remove(dir);

    dir = copy_of("sentencepiece", "tokenizer.model");
    tok = fixture_open(dir);
    CU_ASSERT(encodes_to(tok, "", SW_ENCODE_ADD_SPECIAL, 1, empty_with_bos));
    sw_tokenizer_close(tok);
    fixture_remove(dir);
}

/* Ids as compare_tokenizers.py has them from the library. */
static void sentencepiece_prefix_as_the_config_wants(void)
{
    static const struct {
        const char *config;
        size_t n[3]; /* of ids for "the</s>the", "<s>the", " the" */
        int32_t ids[3][5];
        const char *back; /* of the first */
    } rows[] = {
        {"{}", {3, 2, 2}, {{268, 2, 268}, {1, 268}, {543, 268}}, "the</s> the"},
        {"{\"legacy\": true}", {3, 2, 2}, {{268, 2, 268}, {1, 268}, {543, 268}}, "the</s> the"},
        {"{\"legacy\": false}",
         {4, 3, 2},
         {{268, 2, 545, 261}, {1, 545, 261}, {543, 268}},
         "the</s>the"},
        {"{\"add_prefix_space\": false}",
         {5, 3, 1},
         {{545, 261, 2, 545, 261}, {1, 545, 261}, {268}},
         "the</s>the"},
    };
    static const char *const texts[3] = {"the</s>the", "<s>the", " the"};
    char *dir = copy_of("sentencepiece", "tokenizer.model");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture_puts(dir, "tokenizer_config.json", rows[i].config);
        struct sw_tokenizer *tok = fixture_open(dir);
        for (size_t k = 0; k < 3; k++) {
            const struct sw_ids ids = {.items = (int32_t *)(uintptr_t)rows[i].ids[k],
                                       .count = rows[i].n[k]};
            struct sw_strbuf text = {0};
            CU_ASSERT(encodes_to(tok, texts[k], SW_ENCODE_PARSE_SPECIAL, ids.count, ids.items));
            CU_ASSERT(fixture_decodes(tok, &ids, false, &text));
            CU_ASSERT(k == 1 || strcmp(text.text, k == 0 ? rows[i].back : texts[k]) == 0);
            sw_strbuf_free(&text);
        }
        sw_tokenizer_close(tok);
    }
    fixture_remove(dir);
}

/* Two letters, fairseq's order: OPT, whose texts begin with </s>. */
static void opt_begins_with_its_eos(void)
{
    char *dir = fixture_make();
    fixture_puts(dir, "vocab.json",
                 "{\"<s>\": 0, \"<pad>\": 1, \"</s>\": 2, \"<unk>\": 3, \"a\": 4, \"b\": 5, "
                 "\"\\u0120\": 6, \"ab\": 7, \"\\u0120ab\": 8}");
    fixture_puts(dir, "merges.txt", "#version: 0.2\na b\n\xC4\xA0 ab\n");
    fixture_puts(dir, "config.json", "{\"model_type\": \"opt\"}");
    fixture_puts(dir, "special_tokens_map.json",
                 "{\"bos_token\": \"</s>\", \"eos_token\": \"</s>\", \"unk_token\": \"</s>\"}");
    struct sw_tokenizer *tok = fixture_open(dir);
    const int32_t plain[] = {7, 8, 6, 4}, with_bos[] = {2, 7}, parsed[] = {7, 2, 7};
    CU_ASSERT(encodes_to(tok, "ab ab a", 0, 4, plain));
    CU_ASSERT(encodes_to(tok, "ab", SW_ENCODE_ADD_SPECIAL, 2, with_bos));
    CU_ASSERT(encodes_to(tok, "ab</s>ab", SW_ENCODE_PARSE_SPECIAL, 3, parsed));
    /* Not asked for: the text cannot form it; its other characters have no pieces here. */
    const int32_t unparsed[] = {7, 7};
    CU_ASSERT(encodes_to(tok, "ab</s>ab", 0, 2, unparsed));
    size_t n;
    const char *piece = sw_tokenizer_token(tok, 8, &n);
    CU_ASSERT(n == 3 && memcmp(piece, " ab", 3) == 0);
    CU_ASSERT_PTR_NULL(sw_tokenizer_token(tok, 99, &n));
    CU_ASSERT_EQUAL(sw_tokenizer_size(tok), 9);
    struct sw_strbuf out = {0};
    const int32_t outside[] = {4, 9};
    CU_ASSERT_EQUAL(sw_tokenizer_decode(tok, outside, 2, false, &out), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "token id 9"));
    sw_strbuf_free(&out);
    sw_tokenizer_close(tok);
    fixture_remove(dir);
}

static const char steps_head[] =
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"?\", \"merges\": [[\"a\", \"b\"]], \"vocab\": "
    "{\"?\": 0, \"a\": 1, \"b\": 2, \"ab\": 3, \"c\": 4, \"_\": 5, \" \": 6}}, "
    "\"decoder\": {\"type\": \"Metaspace\", \"replacement\": \"_\"}";

/* What one pre-tokenizer or added token makes of a text. */
static void check_steps(const char *members, const char *text, size_t n, const int32_t *ids)
{
    char json[4096];
    char *dir = fixture_make();
    snprintf(json, sizeof json, "{%s%s%s}", members, *members ? ", " : "", steps_head);
    fixture_puts(dir, "tokenizer.json", json);
    struct sw_tokenizer *tok = fixture_open(dir);
    const bool same = tok && encodes_to(tok, text, SW_ENCODE_PARSE_SPECIAL, n, ids);
    if (!same)
        printf("    with %s\n", members);
    CU_ASSERT(same);
    sw_tokenizer_close(tok);
    fixture_remove(dir);
}

#define STEPS(members, text, ...)                                                                  \
    do {                                                                                           \
        const int32_t ids[] = {__VA_ARGS__};                                                       \
        check_steps(members, text, sizeof ids / sizeof *ids, ids);                                 \
    } while (0)
#define SPLIT(pattern, behavior, invert)                                                           \
    "\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {" pattern                              \
    "}, \"behavior\": \"" behavior "\", \"invert\": " invert "}"
#define TOKEN(content, more)                                                                       \
    "\"added_tokens\": [{\"id\": 9, \"content\": \"" content "\", \"special\": true, " more "}]"

static void steps_of_a_tokenizer_json(void)
{
    STEPS("", "abc", 3, 4);
    STEPS("", "axb", 1, 0, 2);
    STEPS(SPLIT("\"String\": \"a\"", "Isolated", "false"), "abab", 1, 2, 1, 2);
    STEPS(SPLIT("\"String\": \"a\"", "Removed", "false"), "abab", 2, 2);
    STEPS(SPLIT("\"String\": \"a\"", "MergedWithNext", "false"), "abab", 3, 3);
    STEPS(SPLIT("\"String\": \"b\"", "MergedWithPrevious", "false"), "abab", 3, 3);
    STEPS(SPLIT("\"Regex\": \"b+\"", "Contiguous", "true"), "abab", 1, 2, 1, 2);
    STEPS(SPLIT("\"Regex\": \"ab\"", "Removed", "true"), "cabc", 3);
    STEPS("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"_\"}", "ab c", 5, 3, 5,
          4);
    STEPS("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"_\", "
          "\"prepend_scheme\": \"never\"}",
          "ab c", 3, 5, 4);
    STEPS("\"pre_tokenizer\": {\"type\": \"WhitespaceSplit\"}", "ab  c", 3, 4);
    STEPS("\"normalizer\": {\"type\": \"Lowercase\"}", "AB", 3);
    STEPS("\"normalizer\": {\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": true}",
          " \t ab \n", 3);
    STEPS("\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"c+\"}, \"content\": "
          "\"a\"}",
          "ccb", 3);
    STEPS("\"normalizer\": {\"type\": \"NFKC\"}", "\xEF\xBD\x81\xEF\xBD\x82", 3);
    STEPS(TOKEN("c", "\"lstrip\": true, \"rstrip\": true"), "ab c  ab", 3, 9, 3);
    STEPS(TOKEN("c", "\"single_word\": true"), "cc c", 4, 4, 6, 9);
    STEPS(TOKEN("C", "\"normalized\": true") ", \"normalizer\": {\"type\": \"Lowercase\"}", "ABc",
          3, 9);
}

static void check_refused(const char *file, const char *text, const char *expected)
{
    char *dir = fixture_make();
    struct sw_tokenizer *tok = NULL;
    fixture_puts(dir, file, text);
    CU_ASSERT_EQUAL(sw_tokenizer_open(dir, &tok), SW_EMODEL);
    CU_ASSERT_PTR_NULL(tok);
    const bool named = strstr(sw_error_message(), expected) && strstr(sw_error_message(), file);
    if (!named)
        printf("    message: %s; expected: %s\n", sw_error_message(), expected);
    CU_ASSERT(named);
    fixture_remove(dir);
}

static void what_is_not_supported_is_named(void)
{
    check_refused("tokenizer.json", "{\"model\": {\"type\": \"WordPiece\", \"vocab\": []}}",
                  "\"WordPiece\" is not supported");
    check_refused("tokenizer.json", "{\"model\": {\"type\": \"WordPiece\"}}", "\"WordPiece\"");
    check_refused(
        "tokenizer.json",
        "{\"normalizer\": {\"type\": \"BertNormalizer\"}, \"model\": {\"type\": \"BPE\"}}",
        "normalizer \"BertNormalizer\"");
    check_refused("tokenizer.json",
                  "{\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"model\": {}}",
                  "pre_tokenizer \"BertPreTokenizer\"");
    check_refused("tokenizer.json", "{\"decoder\": {\"type\": \"CTC\"}, \"model\": {}}",
                  "decoder \"CTC\"");
    check_refused("tokenizer.json",
                  "{\"post_processor\": {\"type\": \"BertProcessing\"}, \"model\": {}}",
                  "post_processor \"BertProcessing\"");
    check_refused("tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}",
                  "not in the vocabulary");
    check_refused("tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 99999999}, \"merges\": []}}",
                  "99999999");
    check_refused("tokenizer.json", "{\"model\": {\"vocab\": {\"a\": 0", "cut short");
    check_refused("tokenizer.json", "{}", "has no \"model\"");
    check_refused("tokenizer.json",
                  "{\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a&&b]\"}, "
                  "\"behavior\": \"Isolated\"}, \"model\": {}}",
                  "intersection");
    check_refused("tokenizer.model", "YQ== 0\nnonsense\n", "line 2");
    check_refused("tokenizer.model", "YQ== 0\n", "byte 0x00");
    check_refused("tokenizer.model", "\x0A\xFF\xFF\xFF\x0F", "longer than the file");

    struct sw_tokenizer *tok = NULL;
    char *dir = fixture_make();
    CU_ASSERT_EQUAL(sw_tokenizer_open(dir, &tok), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "no tokenizer here"));
    fixture_remove(dir);
}

/* What Git leaves where a file was not fetched is named, whichever file it is. */
static void pointers_are_named(void)
{
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer.model",
                                        "vocab.json",
                                        "merges.txt",
                                        "config.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "generation_config.json"};
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\n"
                                  "oid sha256:00\nsize 1\n";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *dir = i < 2 || i > 3 ? copy_of("byte-level", "tokenizer.json") : fixture_make();
        char expected[64];
        struct sw_tokenizer *tok = NULL;
        if (i == 1)
            fixture_drop(dir, "tokenizer.json");
        if (i == 3)
            fixture_puts(dir, "vocab.json", "{\"a\": 0}");
        fixture_puts(dir, names[i], pointer);
        snprintf(expected, sizeof expected, "/%s: is a Git LFS pointer", names[i]);
        CU_ASSERT_EQUAL(sw_tokenizer_open(dir, &tok), SW_EMODEL);
        const bool named = strstr(sw_error_message(), expected);
        if (!named)
            printf("    message: %s; expected: %s\n", sw_error_message(), expected);
        CU_ASSERT(named);
        sw_tokenizer_close(tok);
        fixture_remove(dir);
    }
}

/* Each prefix of each file is refused or opens; none crashes. */
static void cut_files_are_borne(void)
{
    static const char *const files[][2] = {{"byte-level", "tokenizer.json"},
                                           {"sentencepiece", "tokenizer.model"},
                                           {"tiktoken", "tokenizer.model"}};
    for (size_t i = 0; i < 3; i++) {
        char path[4096];
        size_t n;
        snprintf(path, sizeof path, DATA "%s/%s", files[i][0], files[i][1]);
        char *bytes = fixture_read(path, &n), *dir = fixture_make();
        size_t opened = 0;
        for (size_t cut = 0; cut < n; cut += 1 + n / 200) {
            struct sw_tokenizer *tok = NULL;
            fixture_write(dir, files[i][1], bytes, cut);
            opened += sw_tokenizer_open(dir, &tok) == SW_OK;
            sw_tokenizer_close(tok);
        }
        CU_ASSERT(opened == 0 || i > 0); /* cut JSON never passes */
        fixture_remove(dir);
        free(bytes);
    }
}

static void bytes_that_are_not_utf8(void)
{
    static const char *const bad[] = {"a\xFFz",       "a\xC3",    "\xE4\xBD",  "\xF0\x9F\x91z",
                                      "\xED\xA0\x80", "\xC0\x80", "a\x80\x80z"};
    static const char *const lossy[] = {"a\xEF\xBF\xBDz",
                                        "a\xEF\xBF\xBD",
                                        "\xEF\xBF\xBD",
                                        "\xEF\xBF\xBDz",
                                        "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD",
                                        "\xEF\xBF\xBD\xEF\xBF\xBD",
                                        "a\xEF\xBF\xBD\xEF\xBF\xBDz"};
    struct sw_tokenizer *tok = fixture_open(DATA "byte-level");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sw_ids a = {0}, b = {0};
        struct sw_strbuf copy = {0};
        sw_utf8_lossy(bad[i], strlen(bad[i]), &copy);
        CU_ASSERT_STRING_EQUAL(copy.text, lossy[i]);
        CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, bad[i], strlen(bad[i]), 0, &a), SW_OK);
        CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, lossy[i], strlen(lossy[i]), 0, &b), SW_OK);
        CU_ASSERT(a.count == b.count && memcmp(a.items, b.items, a.count * sizeof *a.items) == 0);
        sw_strbuf_free(&copy);
        sw_ids_free(&a);
        sw_ids_free(&b);
    }
    sw_tokenizer_close(tok);
}

/* Byte by byte through byte tokens: whole characters come out, halves are U+FFFD at the end. */
static void characters_wait_for_their_last_byte(void)
{
    struct sw_tokenizer *tok = fixture_open(DATA "llama-style");
    struct sw_strbuf out = {0};
    struct sw_detokenizer detok;
    const int32_t byte0 = sw_tokenizer_find(tok, "<0x00>", 6);
    static const unsigned char bytes[] = {0xF0, 0x9F, 0x91, 0xA9, 'a', 0xE4, 0xBD};
    static const size_t lengths[] = {0, 0, 0, 4, 5, 5, 5};
    sw_detokenizer_begin(&detok, tok, true);
    for (size_t i = 0; i < sizeof bytes; i++) {
        CU_ASSERT_EQUAL(sw_detokenizer_push(&detok, byte0 + bytes[i], &out), SW_OK);
        CU_ASSERT_EQUAL(out.length, lengths[i]);
    }
    sw_detokenizer_finish(&detok, &out);
    CU_ASSERT_STRING_EQUAL(out.text, "\xF0\x9F\x91\xA9"
                                     "a\xEF\xBF\xBD\xEF\xBF\xBD");
    sw_strbuf_free(&out);

    /* A continuation keeps its leading space, a beginning drops the one SentencePiece added. */
    struct sw_ids ids = {0};
    CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, "the", 3, 0, &ids), SW_OK);
    out = (struct sw_strbuf){0};
    CU_ASSERT_EQUAL(sw_tokenizer_decode(tok, ids.items, ids.count, true, &out), SW_OK);
    CU_ASSERT_STRING_EQUAL(out.text, "the");
    out.length = 0;
    sw_detokenizer_begin(&detok, tok, true);
    CU_ASSERT_EQUAL(sw_detokenizer_skip(&detok, ids.items, ids.count), SW_OK);
    for (size_t i = 0; i < ids.count; i++)
        CU_ASSERT_EQUAL(sw_detokenizer_push(&detok, ids.items[i], &out), SW_OK);
    CU_ASSERT_STRING_EQUAL(out.text, " the");
    sw_strbuf_free(&out);
    sw_ids_free(&ids);
    sw_tokenizer_close(tok);
}

/* One megabyte without a break: minutes if anything were quadratic. */
static void long_texts_take_linear_time(void)
{
    static const char *const folders[] = {"byte-level", "llama-style", "sentencepiece", "tiktoken"};
    static const char *const units[] = {"a",         " ",        "\n", "the",  "\xE4\xBD\xA0",
                                        "e\xCC\x81", "\xCC\x81", "1",  "\xFF", "<|endoftext|>",
                                        " \n"};
    const size_t n = 1 << 20;
    char *text = malloc(n);
    const struct timespec none = {0};
    struct timespec begin = none, end = none;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (size_t f = 0; f < 4; f++) {
        char path[4096];
        snprintf(path, sizeof path, DATA "%s", folders[f]);
        struct sw_tokenizer *tok = fixture_open(path);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            struct sw_ids ids = {0};
            const size_t unit = strlen(units[u]);
            for (size_t i = 0; i < n; i++)
                text[i] = units[u][i % unit];
            CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, text, n / unit * unit, 0, &ids), SW_OK);
            CU_ASSERT(ids.count > 0);
            sw_ids_free(&ids);
        }
        sw_tokenizer_close(tok);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    printf("    44 MB in %.1f s of CPU time\n", (double)(end.tv_sec - begin.tv_sec));
    CU_ASSERT(end.tv_sec - begin.tv_sec < 240); /* with sanitizers */
    free(text);
}

/* BLOOM's pattern has a class in a class, which PCRE2 does not know. */
static void patterns_are_translated(void)
{
    static const char bloom[] = " ?[^(\\s|[.,!?\xE2\x80\xA6\xE3\x80\x82])]+";
    struct sw_regex *regex = NULL;
    bool found;
    size_t start, end;
    const char *text = "ab cd, (ef)";
    CU_ASSERT_EQUAL(sw_regex_compile(bloom, strlen(bloom), &regex), SW_OK);
    CU_ASSERT_EQUAL(sw_regex_next(regex, text, strlen(text), 2, &found, &start, &end), SW_OK);
    CU_ASSERT(found && start == 2 && end == 5);
    CU_ASSERT_EQUAL(sw_regex_next(regex, text, strlen(text), 5, &found, &start, &end), SW_OK);
    CU_ASSERT(found && start == 8 && end == 10); /* neither the comma nor the brackets */
    sw_regex_free(regex);
    /* U+180E is no space, though PCRE2's \s says so. */
    CU_ASSERT_EQUAL(sw_regex_compile("\\s", 2, &regex), SW_OK);
    CU_ASSERT_EQUAL(sw_regex_next(regex, "\xE1\xA0\x8E\xC2\xA0", 5, 0, &found, &start, &end),
                    SW_OK);
    CU_ASSERT(found && start == 3);
    sw_regex_free(regex);
    CU_ASSERT_EQUAL(sw_regex_compile("(", 1, &regex), SW_EMODEL);
    CU_ASSERT_EQUAL(sw_regex_compile("[[^a]b]", 7, &regex), SW_EMODEL);
}

SW_UNIT_TESTS({"byte-level tokenizer.json", byte_level_json},
              {"Llama-style tokenizer.json", llama_style_json},
              {"SentencePiece tokenizer.model", sentencepiece_model},
              {"tiktoken tokenizer.model", tiktoken_model},
              {"ends come from generation_config", ends_come_from_generation_config},
              {"BOS and EOS as the config wants", bos_and_eos_as_the_config_wants},
              {"SentencePiece's prefix as the config wants",
               sentencepiece_prefix_as_the_config_wants},
              {"OPT begins with its EOS", opt_begins_with_its_eos},
              {"steps of a tokenizer.json", steps_of_a_tokenizer_json},
              {"what is not supported is named", what_is_not_supported_is_named},
              {"pointers are named", pointers_are_named},
              {"cut files are borne", cut_files_are_borne},
              {"bytes that are not UTF-8", bytes_that_are_not_utf8},
              {"characters wait for their last byte", characters_wait_for_their_last_byte},
              {"long texts take linear time", long_texts_take_linear_time},
              {"patterns are translated", patterns_are_translated})

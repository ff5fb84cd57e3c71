/* Unigram tokenizers: ids and texts that the `tokenizers` library and transformers made
 * (make_unigram.py). */
#include "text/fixtures.h"

#define FOLDER SW_SOURCE_DIR "/tests/text/data/unigram/"

static void unigram_copy(const char *dir, const char *name, const char *source)
{
    char path[4096];
    size_t n;
    snprintf(path, sizeof path, "%s%s", FOLDER, source);
    char *bytes = fixture_read(path, &n);
    fixture_write(dir, name, bytes, n);
    free(bytes);
}

/* A line of {text, ids, decoded}. */
static void unigram_case(struct sw_tokenizer *tok, const json_t *entry)
{
    int32_t ids[256];
    size_t n = 0;
    const json_t *text = json_object_get(entry, "text"), *list = json_object_get(entry, "ids");
    const json_t *decoded = json_object_get(entry, "decoded");
    for (; n < json_array_size(list) && n < 256; n++)
        ids[n] = (int32_t)json_integer_value(json_array_get(list, n));
    CU_ASSERT(fixture_encodes(tok, json_string_value(text), json_string_length(text),
                              SW_ENCODE_ADD_SPECIAL | SW_ENCODE_PARSE_SPECIAL, ids, n));
    struct sw_strbuf back = {0};
    CU_ASSERT(fixture_decodes(tok, &(struct sw_ids){.items = ids, .count = n}, true, &back));
    const bool same =
        back.length == json_string_length(decoded) &&
        (back.length == 0 || !memcmp(back.text, json_string_value(decoded), back.length));
    CU_ASSERT(same);
    if (!same)
        printf("    %s came back as \"%.60s\"\n", json_string_value(text),
               back.text ? back.text : "");
    sw_strbuf_free(&back);
}

static void unigram_check(struct sw_tokenizer *tok, const char *expected)
{
    char path[4096];
    size_t n, cases = 0;
    snprintf(path, sizeof path, "%s%s", FOLDER, expected);
    char *bytes = fixture_read(path, &n);
    for (char *line = strtok(bytes, "\n"); tok && line; line = strtok(NULL, "\n"), cases++) {
        json_t *entry = json_loads(line, JSON_ALLOW_NUL, NULL);
        unigram_case(tok, entry);
        json_decref(entry);
    }
    CU_ASSERT(cases > 20);
    free(bytes);
}

/* As tokenizer.json, with unknown characters and with bytes for them. */
static void tokenizer_json_has_the_ids_of_the_library(void)
{
    static const char *const names[][2] = {{"plain.json", "plain.jsonl"},
                                           {"bytes.json", "bytes.jsonl"}};
    for (size_t i = 0; i < 2; i++) {
        char *dir = fixture_make();
        unigram_copy(dir, "tokenizer.json", names[i][0]);
        struct sw_tokenizer *tok = fixture_open(dir);
        unigram_check(tok, names[i][1]);
        sw_tokenizer_close(tok);
        fixture_remove(dir);
    }
}

/* As T5's spiece.model, whose class adds sentinels and the end. */
static void spiece_has_the_ids_of_transformers(void)
{
    char *dir = fixture_make();
    unigram_copy(dir, "spiece.model", "spiece.model");
    fixture_puts(dir, "tokenizer_config.json",
                 "{\"tokenizer_class\": \"T5Tokenizer\", \"extra_ids\": 4}");
    struct sw_tokenizer *tok = fixture_open(dir);
    unigram_check(tok, "spiece.jsonl");
    CU_ASSERT_EQUAL(sw_tokenizer_find(tok, "<extra_id_0>", 12), 403);
    CU_ASSERT_EQUAL(sw_tokenizer_eos(tok), 1);
    CU_ASSERT_EQUAL(sw_tokenizer_size(tok), 404);
    sw_tokenizer_close(tok);

    fixture_drop(dir, "tokenizer_config.json"); /* the family alone: a hundred sentinels */
    fixture_puts(dir, "config.json", "{\"model_type\": \"t5\"}");
    tok = fixture_open(dir);
    CU_ASSERT_EQUAL(sw_tokenizer_find(tok, "<extra_id_99>", 13), 400);
    CU_ASSERT_EQUAL(sw_tokenizer_size(tok), 500);
    sw_tokenizer_close(tok);
    fixture_remove(dir);
}

/* Both of T5's own files, whole texts: their ids are the same. */
static void both_forms_of_t5_agree(void)
{
    struct sw_tokenizer *toks[2] = {NULL, NULL};
    static const char *const links[2][2] = {{"tokenizer.json", "t5/tokenizer.json"},
                                            {"spiece.model", "t5/spiece.rebuilt.model"}};
    for (size_t i = 0; i < 2; i++) {
        char *dir = fixture_make();
        fixture_puts(dir, "config.json", "{\"model_type\": \"t5\"}");
        if (fixture_link(dir, links[i][0], links[i][1]))
            toks[i] = fixture_open(dir);
        fixture_remove(dir);
    }
    const char *path = sw_unit_shared("sentencepiece/botchan.txt");
    if (path && toks[0] && toks[1]) {
        struct sw_ids ids = {0};
        size_t n, lines = 0;
        char *bytes = fixture_read(path, &n);
        for (char *line = strtok(bytes, "\n"); line; line = strtok(NULL, "\n"), lines++) {
            ids.count = 0;
            CU_ASSERT_EQUAL(
                sw_tokenizer_encode(toks[0], line, strlen(line), SW_ENCODE_ADD_SPECIAL, &ids),
                SW_OK);
            CU_ASSERT(fixture_encodes(toks[1], line, strlen(line), SW_ENCODE_ADD_SPECIAL, ids.items,
                                      ids.count));
        }
        CU_ASSERT(lines > 3000);
        sw_ids_free(&ids);
        free(bytes);
    }
    sw_tokenizer_close(toks[0]);
    sw_tokenizer_close(toks[1]);
}

/* What is wrong is said. */
static void damaged_models_are_refused(void)
{
    static const struct {
        const char *model, *says;
    } cases[] = {
        {"\"vocab\": [[\"a\"]]", "entry 0"},
        {"\"vocab\": [[\"a\", 0], [\"b\", \"x\"]]", "entry 1"},
        {"\"vocab\": [[\"a\", 0, 1]]", "entry 0"},
        {"\"vocab\": []", "no pieces"},
        {"\"unk_id\": 0", "no \"vocab\""},
        {"\"unk_id\": 1, \"vocab\": [[\"a\", 0]]", "none of the 1 pieces"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[512];
        struct sw_tokenizer *tok = NULL;
        char *dir = fixture_make();
        snprintf(json, sizeof json, "{\"model\": {\"type\": \"Unigram\", %s}}", cases[i].model);
        fixture_puts(dir, "tokenizer.json", json);
        CU_ASSERT_EQUAL(sw_tokenizer_open(dir, &tok), SW_EMODEL);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), cases[i].says));
        fixture_remove(dir);
    }
}

SW_UNIT_TESTS({"tokenizer.json has the ids of the library",
               tokenizer_json_has_the_ids_of_the_library},
              {"spiece.model has the ids of transformers", spiece_has_the_ids_of_transformers},
              {"both forms of T5 agree", both_forms_of_t5_agree},
              {"damaged models are refused", damaged_models_are_refused})

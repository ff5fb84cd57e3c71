/* Which tokens are special in folders of vocab.json and merges.txt, as transformers has it. */
#include "text/fixtures.h"
#include "text/tokenizer_impl.h"

#define RIGHT SW_SOURCE_DIR "/tests/text/data/specials.json"

static void put_json(const char *dir, const char *name, const json_t *value)
{
    char *text = json_dumps(value, 0);
    fixture_puts(dir, name, text);
    free(text);
}

static void put_vocab(const char *dir, const json_t *right)
{
    struct sw_strbuf text = {0};
    const json_t *merges = json_object_get(right, "merges");
    put_json(dir, "vocab.json", json_object_get(right, "vocab"));
    for (size_t i = 0; i < json_array_size(merges); i++)
        sw_strbuf_printf(&text, "%s\n", json_string_value(json_array_get(merges, i)));
    fixture_write(dir, "merges.txt", text.text, text.length);
    sw_strbuf_free(&text);
}

/* The same added tokens, each with its id, and special where it should be. */
static bool adds_the_same(const struct sw_tokenizer *tok, json_t *added)
{
    const char *content;
    json_t *row;
    bool same = tok->added.count == json_object_size(added);
    json_object_foreach(added, content, row)
    {
        const struct sw_added_token *ours = sw_added_find(&tok->added, content, strlen(content));
        same = same && ours && ours->id == json_integer_value(json_array_get(row, 0)) &&
               ours->special == json_is_true(json_array_get(row, 1)) &&
               sw_tokenizer_is_special(tok, ours->id) == ours->special;
    }
    return same;
}

static void check_ids(struct sw_tokenizer *tok, const json_t *text, const json_t *expected)
{
    int32_t ids[256];
    size_t n = 0;
    for (; n < json_array_size(expected); n++)
        ids[n] = (int32_t)json_integer_value(json_array_get(expected, n));
    CU_ASSERT(fixture_encodes(tok, json_string_value(text), json_string_length(text),
                              SW_ENCODE_PARSE_SPECIAL, ids, n));
}

static void only_what_the_files_name_is_special(void)
{
    json_t *right = json_load_file(RIGHT, 0, NULL), *content;
    const json_t *cases = json_object_get(right, "cases"), *texts = json_object_get(right, "texts");
    CU_ASSERT(json_array_size(cases) >= 70);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *row = json_array_get(cases, i), *ids = json_object_get(row, "ids");
        const char *name;
        char *dir = fixture_make();
        put_vocab(dir, right);
        json_object_foreach(json_object_get(row, "files"), name, content)
            put_json(dir, name, content);
        struct sw_tokenizer *tok = fixture_open(dir);
        const bool same = tok && adds_the_same(tok, json_object_get(row, "added"));
        CU_ASSERT(same);
        if (!same)
            printf("    case %zu has other added tokens\n", i);
        for (size_t k = 0; tok && k < json_array_size(texts); k++)
            check_ids(tok, json_array_get(texts, k), json_array_get(ids, k));
        sw_tokenizer_close(tok);
        fixture_remove(dir);
    }
    json_decref(right);
}

SW_UNIT_TESTS({"only what the files name is special", only_what_the_files_name_is_special})

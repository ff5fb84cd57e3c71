/* Ways to cut texts that GGUF names, against Hugging Face's tokenizers (make_pre.py). */
#include "base/file.h"
#include "base/json.h"
#include "text/pretokenize.h"
#include "text/token_pre.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define WORDS SW_SOURCE_DIR "/tests/text/data/pre/words.jsonl"

static bool is_cut_so(const struct sw_token_pre *row, const char *text, const json_t *words)
{
    struct sw_pretokenizer pre = {0};
    const struct sw_pretokens *cut;
    bool same = true;
    for (size_t i = 0; i < SW_TOKEN_PRE_PATTERNS && row->patterns[i]; i++)
        CU_ASSERT_EQUAL_FATAL(sw_pretokenizer_add_split(&pre, row->patterns[i]), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_pretokenize(&pre, text, strlen(text), true, &cut), SW_OK);
    same = cut->count == json_array_size(words);
    for (size_t i = 0; i < cut->count && same; i++) {
        const json_t *word = json_array_get(words, i);
        same = cut->items[i].length == json_string_length(word) &&
               memcmp(cut->text.text + cut->items[i].start, json_string_value(word),
                      cut->items[i].length) == 0;
        if (!same)
            printf("    %s: \"%.*s\" is not \"%s\"\n", row->names[0], (int)cut->items[i].length,
                   cut->text.text + cut->items[i].start, json_string_value(word));
    }
    sw_pretokenizer_free(&pre);
    return same;
}

static void words_are_theirs(void)
{
    /* SW_WORDS: another file of such lines */
    const char *path = getenv("SW_WORDS") ? getenv("SW_WORDS") : WORDS;
    char *bytes = NULL;
    size_t n = 0;
    int lines = 0, wrong = 0;
    CU_ASSERT_EQUAL_FATAL(sw_file_read(path, 256u << 20, &bytes, &n), SW_OK);
    for (const char *at = bytes, *stop; at < bytes + n; at = stop + 1, lines++) {
        json_t *line = NULL;
        const struct sw_token_pre *row;
        stop = memchr(at, '\n', (size_t)(bytes + n - at));
        CU_ASSERT_FATAL(stop &&
                        sw_json_read(at, (size_t)(stop - at), SW_JSON_LINE, &line) == SW_OK);
        const char *name = json_string_value(json_object_get(line, "pre"));
        CU_ASSERT_EQUAL_FATAL(sw_token_pre_find(name, &row), SW_OK);
        wrong += !is_cut_so(row, json_string_value(json_object_get(line, "text")),
                            json_object_get(line, "words"));
        json_decref(line);
    }
    printf("    %d texts\n", lines);
    CU_ASSERT(lines >= 100);
    CU_ASSERT_EQUAL(wrong, 0);
    free(bytes);
}

/* What a row of the same patterns is called when it is written. */
static void names_are_found(void)
{
    const struct sw_token_pre *row, *again;
    CU_ASSERT_EQUAL_FATAL(sw_token_pre_find("deepseek-llm", &row), SW_OK);
    CU_ASSERT_STRING_EQUAL(sw_token_pre_name(row->patterns, false, false), "deepseek-llm");
    CU_ASSERT_PTR_NULL(sw_token_pre_name(row->patterns, true, false));
    CU_ASSERT_EQUAL_FATAL(sw_token_pre_find("llama3", &row), SW_OK);
    CU_ASSERT_STRING_EQUAL(sw_token_pre_name((const char *[]){row->patterns[0], NULL}, false, true),
                           "llama-bpe");
    CU_ASSERT(sw_token_pre_find(NULL, &row) == SW_OK &&
              sw_token_pre_find("gpt-2", &again) == SW_OK && row == again);
    CU_ASSERT_EQUAL(sw_token_pre_find("superbpe", &row), SW_EMODEL);
}

SW_UNIT_TESTS({"words are theirs", words_are_theirs}, {"names are found", names_are_found})

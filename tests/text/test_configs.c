/* tokenizer_config.json in the forms that are published: none of them is in the way. */
#include "fixtures.h"
#include "text/chat.h"

#define TOKENIZER SW_SOURCE_DIR "/tests/text/data/llama-style/tokenizer.json"
#define LONGEST "\"model_max_length\": 1000000000000000019884624838656"
#define TEMPLATE "\"chat_template\": \"{{ bos_token }}{{ messages[0].content }}\""

/* What the folder of each is like: the hub's in the years from 2019 on. */
static const char *const published[] = {
    "{" LONGEST ", " TEMPLATE ", \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", "
    "\"tokenizer_class\": \"LlamaTokenizer\", \"legacy\": false, \"sp_model_kwargs\": {}}",
    /* Objects for tokens, members of long ago. */
    "{\"add_bos_token\": true, \"add_eos_token\": false, \"bos_token\": {\"__type\": "
    "\"AddedToken\", \"content\": \"<s>\", \"lstrip\": false, \"normalized\": true, \"rstrip\": "
    "false, \"single_word\": false}, \"pad_token\": null, " LONGEST ", \"name_or_path\": \"x\", "
    "\"special_tokens_map_file\": null, \"tokenizer_file\": null, " TEMPLATE "}",
    /* Ids and their tokens, as since 2023. */
    "{\"added_tokens_decoder\": {\"0\": {\"content\": \"<unk>\", \"special\": true}, \"1\": "
    "{\"content\": \"<s>\", \"special\": true}}, \"bos_token\": \"<s>\", " LONGEST
    ", \"additional_special_tokens\": [], \"clean_up_tokenization_spaces\": false, " TEMPLATE "}",
    /* As transformers 5 saves it. */
    "{\"backend\": \"tokenizers\", \"bos_token\": \"<s>\", \"extra_special_tokens\": [], "
    "\"is_local\": true, \"model_specific_special_tokens\": {}, " LONGEST ", " TEMPLATE "}",
    /* A list of templates. */
    "{\"bos_token\": \"<s>\", " LONGEST ", \"chat_template\": [{\"name\": \"default\", "
    "\"template\": \"{{ bos_token }}{{ messages[0].content }}\"}, {\"name\": \"rag\", "
    "\"template\": \"{% for d in documents %}{% endfor %}\"}]}",
    /* An editor's byte order mark, a member twice, numbers that only Python writes. */
    "\xEF\xBB\xBF{\"bos_token\": \"<no>\", \"bos_token\": \"<s>\", \"a\": [NaN, -Infinity, 1e999], "
    "\"note\": \"\\u0000\\ud83d\", " LONGEST ", " TEMPLATE "}",
};

static char *folder_with(const char *config)
{
    char *dir = fixture_make(), path[4096];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    CU_ASSERT_EQUAL(symlink(TOKENIZER, path), 0);
    fixture_puts(dir, "tokenizer_config.json", config);
    fixture_puts(dir, "generation_config.json",
                 "{\"eos_token_id\": 2, \"max_length\": 1000000000000000019884624838656}");
    return dir;
}

static void check_template(const char *dir, const char *bos)
{
    char expected[16];
    struct sw_chat *chat = NULL;
    struct sw_strbuf text = {0};
    json_t *messages = json_pack("[{s:s, s:s}]", "role", "user", "content", "Hi");
    const struct sw_chat_request request = {.messages = messages};
    snprintf(expected, sizeof expected, "%sHi", bos);
    CU_ASSERT_EQUAL(sw_chat_open(dir, &chat), SW_OK);
    if (chat && sw_chat_render(chat, &request, &text) == SW_OK)
        CU_ASSERT_STRING_EQUAL(text.text, expected);
    CU_ASSERT_PTR_NOT_NULL(text.text);
    sw_strbuf_free(&text);
    sw_chat_free(chat);
    json_decref(messages);
}

static void check_form(const char *config, const char *bos, int32_t bos_id)
{
    char *dir = folder_with(config);
    struct sw_tokenizer *tok = fixture_open(dir);
    CU_ASSERT_PTR_NOT_NULL(tok);
    if (tok) {
        CU_ASSERT_EQUAL(sw_tokenizer_bos(tok), bos_id);
        CU_ASSERT_TRUE(sw_tokenizer_is_end(tok, 2));
        if (sw_tokenizer_bos(tok) != bos_id)
            printf("    %s\n", config);
        sw_tokenizer_close(tok);
    }
    check_template(dir, bos);
    fixture_remove(dir);
}

/* As they are; and with a name for what begins a text that nothing else in the folder gives it. */
static void published_forms_are_read(void)
{
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        char other[2048], *out = other;
        check_form(published[i], "<s>", 1);
        for (const char *c = published[i]; *c;) {
            const bool named = strncmp(c, "<s>", 3) == 0;
            out += sprintf(out, named ? "<unk>" : "%c", *c);
            c += named ? 3 : 1;
        }
        check_form(other, "<unk>", 0);
    }
}

SW_UNIT_TESTS({"published forms are read", published_forms_are_read})

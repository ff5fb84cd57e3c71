/* Owns the files next to a tokenizer: which tokens are special, which begin and end a text. */
#include "base/json.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX (64 << 20)

enum sw_status sw_text_config_read(const char *dir, struct sw_text_config *config)
{
    const struct {
        const char *name;
        json_t **out;
    } files[] = {{"tokenizer_config.json", &config->tokenizer},
                 {"special_tokens_map.json", &config->specials},
                 {"added_tokens.json", &config->added},
                 {"generation_config.json", &config->generation},
                 {"config.json", &config->model}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        SW_TRY(sw_json_read_file_in(dir, files[i].name, CONFIG_MAX, SW_JSON_MODEL, files[i].out));
    return SW_OK;
}

void sw_text_config_free(struct sw_text_config *config)
{
    json_decref(config->tokenizer);
    json_decref(config->specials);
    json_decref(config->added);
    json_decref(config->generation);
    json_decref(config->model);
    *config = (struct sw_text_config){0};
}

/* A token is written as its text or as an object with "content". */
static const json_t *token_content(const json_t *token)
{
    const json_t *content = json_is_object(token) ? json_object_get(token, "content") : token;
    return json_is_string(content) && json_string_length(content) > 0 ? content : NULL;
}

static enum sw_status add_token(struct sw_tokenizer *tok, const json_t *token, int64_t id,
                                bool special)
{
    const json_t *content = token_content(token);
    if (!content || id < 0 || id >= SW_VOCAB_MAX)
        return sw_fail(SW_EMODEL, "an added token has no text, or its id %lld is not one",
                       (long long)id);
    const json_t *normalized = json_object_get(token, "normalized");
    const bool wanted = normalized ? json_is_true(normalized) : !special;
    return sw_added_put(&tok->added,
                        &(struct sw_added_token){
                            .id = (int32_t)id,
                            .content = (char *)(uintptr_t)json_string_value(content),
                            .length = json_string_length(content),
                            .special = special,
                            .normalized = wanted && !tok->sentencepiece,
                            .lstrip = json_is_true(json_object_get(token, "lstrip")),
                            .rstrip = json_is_true(json_object_get(token, "rstrip")),
                            .single_word = json_is_true(json_object_get(token, "single_word"))});
}

/* tokenizer_config.json: {"50257": {"content": …}, …} */
static enum sw_status apply_decoder_list(struct sw_tokenizer *tok, json_t *list)
{
    const char *key;
    json_t *token;
    json_object_foreach(list, key, token)
    {
        char *end;
        const long long id = strtoll(key, &end, 10);
        if (*end || end == key || id < 0 || id >= SW_VOCAB_MAX)
            return sw_fail(SW_EMODEL, "added_tokens_decoder: \"%.40s\" is not an id", key);
        if (sw_added_by_id(&tok->added, (int32_t)id) && !tok->sentencepiece)
            continue;
        SW_TRY(add_token(tok, token, id, json_is_true(json_object_get(token, "special"))));
    }
    return SW_OK;
}

static const char *const special_names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                            "pad_token", "cls_token", "mask_token"};
#define N_SPECIAL_NAMES (sizeof special_names / sizeof special_names[0])
/* Lists of more special tokens, or objects of them under names of the model's own. */
static const char *const more_names[] = {"additional_special_tokens", "extra_special_tokens"};
#define N_MORE_NAMES (sizeof more_names / sizeof more_names[0])

/*
 * A member of the files. As in transformers: where tokenizer_config.json has the added tokens with
 * all their properties, the two older files do not count; else special_tokens_map.json goes before
 * tokenizer_config.json. NULL: no file has the member.
 */
static json_t *config_member(const struct sw_text_config *config, const char *name)
{
    json_t *token = NULL;
    if (!sw_text_config_is_whole(config))
        token = json_object_get(config->specials, name);
    return token ? token : json_object_get(config->tokenizer, name);
}

bool sw_text_config_is_whole(const struct sw_text_config *config)
{
    return json_is_object(json_object_get(config->tokenizer, "added_tokens_decoder"));
}

/* The content of the token `name` where the files do not state it: that of transformers' class for
 * this form of files. NULL: none. */
static const char *default_token(const struct sw_tokenizer *tok, const char *name)
{
    for (const struct sw_default_token *usual = tok->usual; usual && usual->name; usual++)
        if (strcmp(usual->name, name) == 0)
            return usual->content;
    return NULL;
}

static bool token_is(const json_t *token, const char *text, size_t n)
{
    const json_t *content = token_content(token);
    return content && json_string_length(content) == n &&
           memcmp(json_string_value(content), text, n) == 0;
}

static bool is_named_special(const struct sw_text_config *config, const struct sw_tokenizer *tok,
                             const char *text, size_t n)
{
    for (size_t i = 0; i < N_SPECIAL_NAMES; i++) {
        const json_t *token = config_member(config, special_names[i]);
        const char *usual = token ? NULL : default_token(tok, special_names[i]);
        if (token_is(token, text, n) ||
            (usual && strlen(usual) == n && memcmp(usual, text, n) == 0))
            return true;
    }
    for (size_t k = 0; k < N_MORE_NAMES; k++) {
        const json_t *list = config_member(config, more_names[k]);
        for (size_t i = 0; i < json_array_size(list); i++)
            if (token_is(json_array_get(list, i), text, n))
                return true;
    }
    return false;
}

/* added_tokens.json: {"text": id, …} */
static enum sw_status apply_added(const struct sw_text_config *config, struct sw_tokenizer *tok)
{
    const char *text;
    json_t *id;
    if (sw_text_config_is_whole(config))
        return SW_OK;
    json_object_foreach(config->added, text, id)
    {
        const size_t n = strlen(text);
        if (sw_added_find(&tok->added, text, n))
            continue;
        json_t *token = json_stringn(text, n);
        if (!token)
            return sw_fail(SW_ENOMEM, "no memory for an added token");
        const enum sw_status status =
            add_token(tok, token, json_is_integer(id) ? json_integer_value(id) : -1,
                      is_named_special(config, tok, text, n));
        json_decref(token);
        SW_TRY(status);
    }
    return SW_OK;
}

/* The id for a token that has none: after all others. */
static int64_t next_free_id(const struct sw_tokenizer *tok)
{
    int64_t id = (int64_t)tok->vocab.count;
    for (size_t i = 0; i < tok->added.count; i++)
        if (tok->added.items[i].id >= id)
            id = (int64_t)tok->added.items[i].id + 1;
    return id;
}

static enum sw_status mark_special(struct sw_tokenizer *tok, const json_t *token)
{
    const json_t *content = token_content(token);
    if (!content)
        return SW_OK;
    const char *text = json_string_value(content);
    const size_t n = json_string_length(content);
    struct sw_added_token *added = sw_added_find(&tok->added, text, n);
    if (!added) {
        const int32_t id = sw_vocab_find(&tok->vocab, text, n);
        SW_TRY(add_token(tok, token, id >= 0 ? id : next_free_id(tok), true));
        added = sw_added_find(&tok->added, text, n);
    }
    added->special = true;
    if (tok->plain_specials)
        added->normalized = added->lstrip = added->rstrip = added->single_word = false;
    return SW_OK;
}

static enum sw_status mark_default(struct sw_tokenizer *tok, const char *text)
{
    json_t *token = json_string(text);
    if (!token)
        return sw_fail(SW_ENOMEM, "no memory for an added token");
    const enum sw_status status = mark_special(tok, token);
    json_decref(token);
    return status;
}

static enum sw_status apply_specials(const struct sw_text_config *config, struct sw_tokenizer *tok)
{
    const char *name;
    json_t *token;
    for (size_t i = 0; i < N_SPECIAL_NAMES; i++) {
        token = config_member(config, special_names[i]);
        const char *usual = token ? NULL : default_token(tok, special_names[i]);
        SW_TRY(usual ? mark_default(tok, usual) : mark_special(tok, token));
    }
    for (size_t k = 0; k < N_MORE_NAMES; k++) {
        json_t *more = config_member(config, more_names[k]);
        for (size_t i = 0; i < json_array_size(more); i++)
            SW_TRY(mark_special(tok, json_array_get(more, i)));
        json_object_foreach(more, name, token) SW_TRY(mark_special(tok, token));
    }
    return SW_OK;
}

/* Changes *id to the token that the files next to the tokenizer name, if any. */
static void apply_named(const struct sw_text_config *config, const struct sw_tokenizer *tok,
                        const char *name, int32_t *id)
{
    const json_t *token = config_member(config, name), *content = token_content(token);
    const char *usual = token || *id >= 0 ? NULL : default_token(tok, name);
    if (json_is_null(token)) /* the file states that there is none */
        *id = -1;
    const char *text = content ? json_string_value(content) : usual;
    if (!text)
        return;
    const int32_t found =
        sw_tokenizer_find(tok, text, content ? json_string_length(content) : strlen(text));
    if (found >= 0)
        *id = found;
}

/* Ids of "eos_token_id": one or a list. */
static size_t read_ends(const json_t *config, int32_t ends[SW_ENDS_MAX])
{
    const json_t *value = json_object_get(config, "eos_token_id");
    const bool list = json_is_array(value);
    size_t count = 0;
    for (size_t i = 0; count < SW_ENDS_MAX && i < (list ? json_array_size(value) : 1); i++) {
        const json_t *id = list ? json_array_get(value, i) : value;
        const json_int_t number = json_is_integer(id) ? json_integer_value(id) : -1;
        if (number >= 0 && number < SW_VOCAB_MAX)
            ends[count++] = (int32_t)number;
    }
    return count;
}

static void apply_ends(const struct sw_text_config *config, struct sw_tokenizer *tok)
{
    size_t count = read_ends(config->generation, tok->ends);
    if (count == 0)
        count = read_ends(config->model, tok->ends);
    if (count > 0)
        tok->n_ends = count;
    if (tok->eos < 0 && count > 0)
        tok->eos = tok->ends[0];
}

static void apply_affix(const json_t *value, struct sw_affix *affix, int32_t id, bool wanted)
{
    if (json_is_boolean(value))
        wanted = json_is_true(value);
    else if (affix->count > 0) /* the post-processor's template defined it */
        return;
    const bool have = affix->count > 0 && affix->ids[0] == id;
    if (wanted && affix->count == 0 && id >= 0)
        affix->ids[affix->count++] = id;
    else if (!wanted && have && affix->count == 1)
        affix->count = 0;
}

/*
 * As LlamaTokenizer of transformers 4 and what 5 has for most SentencePiece folders: the space goes
 * before each stretch between added tokens, with "legacy": false only before the text's beginning.
 * (LlamaTokenizer of 5 takes an absent "legacy" for false, which no model of that age was made
 * with.)
 */
static void apply_prefix(const struct sw_text_config *config, struct sw_tokenizer *tok)
{
    if (!tok->sentencepiece || !tok->decoder.strip)
        return;
    if (json_is_false(json_object_get(config->tokenizer, "add_prefix_space"))) {
        sw_normalizer_set_prefix(&tok->normalizer, SW_PREFIX_NEVER);
        tok->decoder.strip = false;
    } else if (json_is_false(json_object_get(config->tokenizer, "legacy"))) {
        sw_normalizer_set_prefix(&tok->normalizer, SW_PREFIX_FIRST);
    }
}

enum sw_status sw_text_config_apply(const struct sw_text_config *config, struct sw_tokenizer *tok)
{
    static const struct sw_text_config none;
    if (!config)
        config = &none;
    SW_TRY(apply_decoder_list(tok, json_object_get(config->tokenizer, "added_tokens_decoder")));
    SW_TRY(apply_added(config, tok));
    SW_TRY(apply_specials(config, tok));
    apply_prefix(config, tok);
    const json_t *bos_id = json_object_get(config->generation, "bos_token_id");
    if (!json_is_integer(bos_id))
        bos_id = json_object_get(config->model, "bos_token_id");
    if (tok->bos < 0 && json_is_integer(bos_id) && json_integer_value(bos_id) >= 0 &&
        json_integer_value(bos_id) < SW_VOCAB_MAX)
        tok->bos = (int32_t)json_integer_value(bos_id);
    if (tok->bos < 0 && tok->prefix.count > 0)
        tok->bos = tok->prefix.ids[0];
    apply_named(config, tok, "bos_token", &tok->bos);
    apply_named(config, tok, "eos_token", &tok->eos);
    apply_ends(config, tok);
    /* No file states what ends a text: all of GPT-2's family use the same token. */
    if (tok->n_ends == 0 && tok->eos < 0 && !config_member(config, "eos_token"))
        tok->eos = sw_tokenizer_find(tok, "<|endoftext|>", 13);
    if (tok->n_ends == 0 && tok->eos >= 0)
        tok->ends[tok->n_ends++] = tok->eos;
    apply_affix(json_object_get(config->tokenizer, "add_bos_token"), &tok->prefix, tok->bos,
                tok->add_bos);
    apply_affix(json_object_get(config->tokenizer, "add_eos_token"), &tok->suffix, tok->eos,
                tok->add_eos);
    return SW_OK;
}

/* Owns the files beside a tokenizer: which tokens are special, which begin and end a text. */
#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_MAX (64 << 20)

static enum sw_status read_config(const char *dir, const char *name, json_t **out)
{
    char *bytes = NULL;
    size_t n = 0;
    enum sw_status status = SW_OK;
    char *path = sw_path_join(dir, name);
    if (!path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    status = sw_file_read_optional(path, CONFIG_MAX, &bytes, &n);
    if (status != SW_OK || !bytes)
        goto undo_path;
    status = sw_json_read(bytes, n, SW_JSON_MODEL, out);
    if (status != SW_OK)
        sw_error_context("%s", path);
    free(bytes);
undo_path:
    free(path);
    return status;
}

enum sw_status sw_text_config_read(const char *dir, struct sw_text_config *config)
{
    SW_TRY(read_config(dir, "tokenizer_config.json", &config->tokenizer));
    SW_TRY(read_config(dir, "special_tokens_map.json", &config->specials));
    SW_TRY(read_config(dir, "added_tokens.json", &config->added));
    SW_TRY(read_config(dir, "generation_config.json", &config->generation));
    return read_config(dir, "config.json", &config->model);
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
static const json_t *content_of(const json_t *token)
{
    const json_t *content = json_is_object(token) ? json_object_get(token, "content") : token;
    return json_is_string(content) && json_string_length(content) > 0 ? content : NULL;
}

static enum sw_status put(struct sw_tokenizer *tok, const json_t *token, int64_t id, bool special)
{
    const json_t *content = content_of(token);
    if (!content || id < 0 || id >= SW_VOCAB_MAX)
        return sw_fail(SW_EMODEL, "an added token has no text, or its id %lld is not one",
                       (long long)id);
    const json_t *normalized = json_object_get(token, "normalized");
    return sw_added_put(&tok->added,
                        &(struct sw_added_token){
                            .id = (int32_t)id,
                            .content = (char *)(uintptr_t)json_string_value(content),
                            .length = json_string_length(content),
                            .special = special,
                            .normalized = normalized ? json_is_true(normalized) : !special,
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
        if (sw_added_by_id(&tok->added, (int32_t)id))
            continue;
        SW_TRY(put(tok, token, id, json_is_true(json_object_get(token, "special"))));
    }
    return SW_OK;
}

/* added_tokens.json: {"text": id, …} */
static enum sw_status apply_added(struct sw_tokenizer *tok, json_t *list)
{
    const char *text;
    json_t *id;
    json_object_foreach(list, text, id)
    {
        if (sw_added_find(&tok->added, text, strlen(text)))
            continue;
        json_t *token = json_string(text);
        if (!token)
            return sw_fail(SW_ENOMEM, "no memory for an added token");
        const enum sw_status status =
            put(tok, token, json_is_integer(id) ? json_integer_value(id) : -1, false);
        json_decref(token);
        SW_TRY(status);
    }
    return SW_OK;
}

/* Makes a token that already has an id special. */
static enum sw_status mark_special(struct sw_tokenizer *tok, const json_t *token)
{
    const json_t *content = content_of(token);
    if (!content)
        return SW_OK;
    const char *text = json_string_value(content);
    const size_t n = json_string_length(content);
    struct sw_added_token *added = sw_added_find(&tok->added, text, n);
    const int32_t id = sw_vocab_find(&tok->vocab, text, n);
    if (added)
        added->special = true;
    else if (id >= 0)
        return put(tok, token, id, true);
    return SW_OK;
}

static enum sw_status apply_specials(struct sw_tokenizer *tok, const json_t *object)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token",
                                        "sep_token", "pad_token", "cls_token"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        SW_TRY(mark_special(tok, json_object_get(object, names[i])));
    const json_t *more = json_object_get(object, "additional_special_tokens");
    for (size_t i = 0; i < json_array_size(more); i++)
        SW_TRY(mark_special(tok, json_array_get(more, i)));
    return SW_OK;
}

/* Changes *id to the token named in tokenizer_config.json or special_tokens_map.json, if any. */
static void apply_named(const struct sw_text_config *config, const struct sw_tokenizer *tok,
                        const char *name, int32_t *id)
{
    const json_t *token = json_object_get(config->tokenizer, name);
    if (json_is_null(token)) { /* it says there is none */
        *id = -1;
        return;
    }
    const json_t *content = content_of(token ? token : json_object_get(config->specials, name));
    if (!content)
        return;
    const int32_t found =
        sw_tokenizer_find(tok, json_string_value(content), json_string_length(content));
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

static void apply_switch(const json_t *value, struct sw_affix *affix, int32_t id, bool wanted)
{
    if (json_is_boolean(value))
        wanted = json_is_true(value);
    else if (affix->count > 0) /* a template has already said */
        return;
    const bool have = affix->count > 0 && affix->ids[0] == id;
    if (wanted && affix->count == 0 && id >= 0)
        affix->ids[affix->count++] = id;
    else if (!wanted && have && affix->count == 1)
        affix->count = 0;
}

enum sw_status sw_text_config_apply(const struct sw_text_config *config, struct sw_tokenizer *tok)
{
    static const struct sw_text_config none;
    if (!config)
        config = &none;
    SW_TRY(apply_decoder_list(tok, json_object_get(config->tokenizer, "added_tokens_decoder")));
    SW_TRY(apply_added(tok, config->added));
    SW_TRY(apply_specials(tok, config->tokenizer));
    SW_TRY(apply_specials(tok, config->specials));
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
    /* Nothing says what ends a text: GPT-2's family all call it the same. */
    if (tok->n_ends == 0 && tok->eos < 0 && !json_object_get(config->tokenizer, "eos_token"))
        tok->eos = sw_tokenizer_find(tok, "<|endoftext|>", 13);
    if (tok->n_ends == 0 && tok->eos >= 0)
        tok->ends[tok->n_ends++] = tok->eos;
    apply_switch(json_object_get(config->tokenizer, "add_bos_token"), &tok->prefix, tok->bos,
                 tok->add_bos);
    apply_switch(json_object_get(config->tokenizer, "add_eos_token"), &tok->suffix, tok->eos,
                 tok->add_eos);
    return SW_OK;
}

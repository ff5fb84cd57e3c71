/* Owns what the keys "tokenizer.ggml.…" mean. */
#include "checkpoint/gguf_tokenizer.h"

#include "text/token_table.h"

#include <string.h>

#define PREFIX "tokenizer.ggml."

struct gguf_vocabulary {
    const struct sw_gguf_value *tokens, *merges;
};

static const char *gguf_piece(const struct sw_gguf_value *value, size_t i, size_t *n)
{
    struct sw_gguf_string text;
    if (!sw_gguf_text(value, i, &text))
        return NULL;
    *n = text.length;
    return text.bytes;
}

static const char *gguf_token(const void *context, size_t i, size_t *n)
{
    const struct gguf_vocabulary *vocabulary = context;
    return gguf_piece(vocabulary->tokens, i, n);
}

static const char *gguf_merge(const void *context, size_t i, size_t *n)
{
    const struct gguf_vocabulary *vocabulary = context;
    return gguf_piece(vocabulary->merges, i, n);
}

static const char *gguf_name_of(const struct sw_gguf *gguf, const char *key)
{
    struct sw_gguf_string text;
    return sw_gguf_text(sw_gguf_find(gguf, key), 0, &text) ? text.bytes : NULL;
}

/* How texts are cut. Files of before 2024 do not say; the family does. */
static const char *gguf_pre(const struct sw_gguf *gguf)
{
    static const struct {
        const char *architecture, *pre;
    } rows[] = {{"gptneox", "olmo"}, {"bloom", "bloom"},         {"falcon", "falcon"},
                {"qwen2", "qwen2"},  {"starcoder", "starcoder"}, {"llama", "llama-bpe"}};
    const char *pre = gguf_name_of(gguf, PREFIX "pre");
    const char *architecture = gguf_name_of(gguf, "general.architecture");
    for (size_t i = 0; !pre && architecture && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].architecture, architecture) == 0)
            pre = rows[i].pre;
    return pre;
}

/* `id` where the file does not say. */
static int64_t gguf_id(const struct sw_gguf *gguf, const char *key, int64_t id)
{
    (void)sw_gguf_integer(sw_gguf_find(gguf, key), 0, &id);
    return id;
}

static int gguf_switch(const struct sw_gguf *gguf, const char *key)
{
    bool is;
    return sw_gguf_bool(sw_gguf_find(gguf, key), 0, &is) ? is : -1;
}

/* An array with one element of this kind for each token; NULL where the file has none. */
static enum sw_status gguf_per_token(const struct sw_gguf *gguf, const char *key,
                                     enum sw_gguf_kind kind, uint64_t n_tokens, const void **out)
{
    const struct sw_gguf_value *value = sw_gguf_find(gguf, key);
    *out = NULL;
    if (!value)
        return SW_OK;
    if (!value->is_array || value->kind != kind || value->count != n_tokens)
        return sw_fail(SW_EMODEL, "%s has %llu elements of kind %d; expected %llu of kind %d", key,
                       (unsigned long long)value->count, (int)value->kind,
                       (unsigned long long)n_tokens, (int)kind);
    *out = value->data;
    return SW_OK;
}

/* The bytes of an array; NULL where the file has none. */
static enum sw_status gguf_byte_array(const struct sw_gguf *gguf, const char *key,
                                      const char **bytes, size_t *n)
{
    const struct sw_gguf_value *value = sw_gguf_find(gguf, key);
    *bytes = NULL;
    *n = 0;
    if (!value)
        return SW_OK;
    if (!value->is_array || (value->kind != SW_GGUF_U8 && value->kind != SW_GGUF_I8))
        return sw_fail(SW_EMODEL, "%s is of kind %d; expected an array of bytes", key,
                       (int)value->kind);
    *bytes = value->data;
    *n = (size_t)value->count;
    return SW_OK;
}

static enum sw_status gguf_make_tokenizer(const struct sw_gguf *gguf, struct sw_tokenizer **out)
{
    const struct gguf_vocabulary vocabulary = {sw_gguf_find(gguf, PREFIX "tokens"),
                                               sw_gguf_find(gguf, PREFIX "merges")};
    const struct sw_gguf_value *tokens = vocabulary.tokens, *merges = vocabulary.merges;
    const void *scores, *types;
    const char *model = gguf_name_of(gguf, PREFIX "model"), *charsmap;
    const bool unigram = model && strcmp(model, "t5") == 0; /* T5's ids where none are stated */
    size_t n_charsmap;
    if (!model || !tokens || !tokens->is_array || tokens->kind != SW_GGUF_STRING)
        return sw_fail(SW_EMODEL,
                       "has no tokenizer: no text " PREFIX "model, or no texts " PREFIX "tokens");
    SW_TRY(gguf_per_token(gguf, PREFIX "scores", SW_GGUF_F32, tokens->count, &scores));
    SW_TRY(gguf_per_token(gguf, PREFIX "token_type", SW_GGUF_I32, tokens->count, &types));
    SW_TRY(gguf_byte_array(gguf, PREFIX "precompiled_charsmap", &charsmap, &n_charsmap));
    const struct sw_token_table table = {
        .model = model,
        .pre = gguf_pre(gguf),
        .n_tokens = (size_t)tokens->count,
        .n_merges = merges && merges->is_array ? (size_t)merges->count : 0,
        .context = &vocabulary,
        .token = gguf_token,
        .merge = gguf_merge,
        .scores = scores,
        .types = types,
        .bos = gguf_id(gguf, PREFIX "bos_token_id", -1),
        .eos = gguf_id(gguf, PREFIX "eos_token_id", unigram ? 1 : -1),
        .eot = gguf_id(gguf, PREFIX "eot_token_id", -1),
        .unk = gguf_id(gguf, PREFIX "unknown_token_id", unigram ? 2 : -1),
        .add_bos = gguf_switch(gguf, PREFIX "add_bos_token"),
        .add_eos = gguf_switch(gguf, PREFIX "add_eos_token"),
        .add_space_prefix = gguf_switch(gguf, PREFIX "add_space_prefix"),
        .remove_extra_whitespaces = gguf_switch(gguf, PREFIX "remove_extra_whitespaces"),
        .charsmap = charsmap,
        .n_charsmap = n_charsmap,
    };
    return sw_tokenizer_make(&table, out);
}

enum sw_status sw_gguf_tokenizer(const struct sw_gguf *gguf, const char *path,
                                 struct sw_tokenizer **out)
{
    const enum sw_status status = gguf_make_tokenizer(gguf, out);
    if (status != SW_OK)
        sw_error_context("%s", path);
    return status;
}

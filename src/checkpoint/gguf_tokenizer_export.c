/* Owns the keys "tokenizer.…" of a folder's model. */
#include "checkpoint/gguf_tokenizer_export.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "model/model.h"
#include "text/token_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "tokenizer.ggml."
#define CONFIG_MAX ((size_t)64 << 20)
#define TEMPLATE_MAX ((size_t)1 << 20)
#define UNUSED 5 /* a token's type */

static void tokenizer_put_text(struct sw_gguf_writer *w, const char *key, const char *text)
{
    sw_gguf_write_text(w, key, text, strlen(text));
}

static void tokenizer_put_id(struct sw_gguf_writer *w, const char *key, int64_t id)
{
    if (id >= 0)
        sw_gguf_write_u32(w, key, (uint32_t)id);
}

static void tokenizer_put_switch(struct sw_gguf_writer *w, const char *key, int is)
{
    if (is >= 0)
        sw_gguf_write_bool(w, key, is);
}

/* Rows of the embedding without a token are unused ones. */
static void tokenizer_put_tokens(const struct sw_token_table *t, size_t vocab,
                                 struct sw_gguf_writer *w)
{
    const int32_t unused = UNUSED;
    const float zero = 0;
    sw_gguf_write_array(w, PREFIX "tokens", SW_GGUF_STRING, vocab);
    for (size_t i = 0; i < vocab; i++) {
        char padding[32];
        size_t n = (size_t)snprintf(padding, sizeof padding, "[PAD%zu]", i);
        const char *token = i < t->n_tokens ? t->token(t->context, i, &n) : padding;
        sw_gguf_write_element(w, token, n);
    }
    if (t->scores) {
        sw_gguf_write_array(w, PREFIX "scores", SW_GGUF_F32, vocab);
        sw_gguf_write_numbers(w, t->scores, t->n_tokens, sizeof *t->scores);
        for (size_t i = t->n_tokens; i < vocab; i++)
            sw_gguf_write_numbers(w, &zero, 1, sizeof zero);
    }
    sw_gguf_write_array(w, PREFIX "token_type", SW_GGUF_I32, vocab);
    sw_gguf_write_numbers(w, t->types, t->n_tokens, sizeof *t->types);
    for (size_t i = t->n_tokens; i < vocab; i++)
        sw_gguf_write_numbers(w, &unused, 1, sizeof unused);
}

static enum sw_status tokenizer_put(const struct sw_token_table *t, size_t vocab,
                                    struct sw_gguf_writer *w)
{
    if (t->n_tokens > vocab)
        return sw_fail(SW_EMODEL, "the tokenizer has %zu ids, but the embedding has %zu rows",
                       t->n_tokens, vocab);
    tokenizer_put_text(w, PREFIX "model", t->model);
    tokenizer_put_text(w, PREFIX "pre", t->pre ? t->pre : "default");
    tokenizer_put_tokens(t, vocab, w);
    if (t->n_merges)
        sw_gguf_write_array(w, PREFIX "merges", SW_GGUF_STRING, t->n_merges);
    for (size_t i = 0; i < t->n_merges; i++) {
        size_t n;
        const char *merge = t->merge(t->context, i, &n);
        sw_gguf_write_element(w, merge, n);
    }
    tokenizer_put_id(w, PREFIX "bos_token_id", t->bos);
    tokenizer_put_id(w, PREFIX "eos_token_id", t->eos);
    tokenizer_put_id(w, PREFIX "unknown_token_id", t->unk);
    tokenizer_put_switch(w, PREFIX "add_bos_token", t->add_bos);
    tokenizer_put_switch(w, PREFIX "add_eos_token", t->add_eos);
    tokenizer_put_switch(w, PREFIX "add_space_prefix", t->add_space_prefix);
    return SW_OK;
}

/* ---- the chat template */

/* "chat_template": a text, or a list of {"name", "template"}, of which the default counts. */
static const json_t *template_of(const json_t *config)
{
    const json_t *list = json_object_get(config, "chat_template");
    if (json_is_string(list))
        return list;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(row, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_object_get(row, "template");
    }
    return NULL;
}

static enum sw_status tokenizer_put_template(const char *dir, struct sw_gguf_writer *w)
{
    static const char key[] = "tokenizer.chat_template";
    static const char *const names[] = {"chat_template.json", "tokenizer_config.json"};
    char *bytes;
    size_t n;
    SW_TRY(sw_file_read_in(dir, "chat_template.jinja", TEMPLATE_MAX, &bytes, &n));
    if (bytes)
        sw_gguf_write_text(w, key, bytes, n);
    bool found = bytes != NULL;
    free(bytes);
    for (size_t i = 0; !found && i < sizeof names / sizeof names[0]; i++) {
        json_t *config;
        SW_TRY(sw_json_read_file_in(dir, names[i], CONFIG_MAX, SW_JSON_MODEL, &config));
        const json_t *text = template_of(config);
        found = json_is_string(text);
        if (found)
            sw_gguf_write_text(w, key, json_string_value(text), json_string_length(text));
        json_decref(config);
    }
    return SW_OK;
}

enum sw_status sw_gguf_export_tokenizer(const char *path, const struct sw_model *model,
                                        struct sw_gguf_writer *w)
{
    struct sw_tokenizer *tok;
    struct sw_token_list list;
    bool there;
    SW_TRY(sw_tokenizer_present(path, &there));
    if (!there) {
        sw_log(SW_LOG_WARN, "%s: no tokenizer here, so the GGUF file has none", path);
        tokenizer_put_text(w, PREFIX "model", "no_vocab");
        return SW_OK;
    }
    SW_TRY(sw_tokenizer_open(path, &tok));
    enum sw_status status = sw_token_list_of(tok, &list);
    if (status == SW_OK)
        status = tokenizer_put(&list.table, (size_t)model->dims.vocab, w);
    if (status != SW_OK)
        sw_error_context("%s", path);
    sw_token_list_free(&list);
    sw_tokenizer_close(tok);
    return status == SW_OK ? tokenizer_put_template(path, w) : status;
}

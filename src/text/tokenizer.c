/* Owns opening a tokenizer's files, and encoding. */
#include "text/tokenizer.h"

#include "base/file.h"
#include "base/utf8.h"
#include "text/bytes.h"
#include "text/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (512u << 20)
#define TEXT_MAX_BYTES (256u << 20)

enum sw_status sw_tokenizer_new(struct sw_tokenizer **out)
{
    struct sw_tokenizer *tok = calloc(1, sizeof *tok);
    if (!tok)
        return sw_fail(SW_ENOMEM, "no memory for a tokenizer");
    tok->bpe.vocab = &tok->vocab;
    tok->bpe.unk = tok->bos = tok->eos = -1;
    for (int i = 0; i < 256; i++)
        tok->bpe.byte_id[i] = -1;
    pthread_mutex_init(&tok->lock, NULL);
    *out = tok;
    return SW_OK;
}

void sw_tokenizer_close(struct sw_tokenizer *tok)
{
    if (!tok)
        return;
    sw_bpe_free(&tok->bpe);
    sw_unigram_free(&tok->unigram);
    sw_normalizer_free(&tok->normalizer);
    sw_pretokenizer_free(&tok->pre);
    sw_added_free(&tok->added);
    sw_vocab_free(&tok->vocab);
    sw_strbuf_free(&tok->lossy);
    free(tok->flags);
    pthread_mutex_destroy(&tok->lock);
    free(tok);
}

void sw_find_byte_pieces(struct sw_tokenizer *tok, bool fallback)
{
    for (int byte = 0; byte < 256; byte++) {
        char piece[8] = {(char)byte};
        const int n = fallback ? snprintf(piece, sizeof piece, "<0x%02X>", (unsigned)byte) : 1;
        tok->bpe.byte_id[byte] = sw_vocab_find(&tok->vocab, piece, (size_t)n);
    }
}

/* Added tokens get pieces and flags, and are searched in texts from now on. */
static enum sw_status index_added(struct sw_tokenizer *tok)
{
    for (size_t i = 0; i < tok->added.count; i++) {
        const struct sw_added_token *token = &tok->added.items[i];
        size_t n;
        const char *piece = sw_vocab_piece(&tok->vocab, token->id, &n);
        if (!piece || n != token->length || memcmp(piece, token->content, n) != 0)
            SW_TRY(sw_vocab_set(&tok->vocab, token->id, token->content, token->length, true));
    }
    if (tok->vocab.count == 0)
        return sw_fail(SW_EMODEL, "the vocabulary is empty");
    tok->flags = calloc(tok->vocab.count, 1);
    if (!tok->flags)
        return sw_fail(SW_ENOMEM, "no memory for %zu ids", tok->vocab.count);
    for (size_t i = 0; i < tok->added.count; i++)
        tok->flags[tok->added.items[i].id] =
            (uint8_t)(SW_ID_ADDED | (tok->added.items[i].special ? SW_ID_SPECIAL : 0));
    return sw_added_index(&tok->added, &tok->normalizer);
}

enum sw_status sw_tokenizer_finish(struct sw_tokenizer *tok, const struct sw_text_config *config)
{
    SW_TRY(sw_text_class_apply(config, tok));
    SW_TRY(sw_text_config_apply(config, tok));
    SW_TRY(index_added(tok));
    const struct sw_affix *affixes[2] = {&tok->prefix, &tok->suffix};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < affixes[k]->count; i++)
            if ((size_t)affixes[k]->ids[i] >= tok->vocab.count)
                return sw_fail(SW_EMODEL, "id %d is to be put around texts, but ids are 0 to %zu",
                               affixes[k]->ids[i], tok->vocab.count - 1);
    return SW_OK;
}

/* A tiktoken file begins with base64 and a space; a protobuf one with a control byte. */
static bool looks_like_tiktoken(const char *bytes, size_t n)
{
    return n > 0 && (unsigned char)bytes[0] >= ' ' && (unsigned char)bytes[0] < 0x7F;
}

enum form { TOKENIZER_JSON, TOKENIZER_MODEL, SPIECE_MODEL, VOCAB_MERGES, N_FORMS };

static const char *const form_files[N_FORMS] = {"tokenizer.json", "tokenizer.model", "spiece.model",
                                                "vocab.json"};

/* Finds the first form that is there; N_FORMS: none. Fails when a file cannot be examined. */
static enum sw_status find_form(const char *dir, enum form *form)
{
    for (int i = 0; i < N_FORMS; i++) {
        enum sw_file_kind kind = SW_FILE_ABSENT;
        const enum sw_status status = sw_file_find_in(dir, form_files[i], &kind);
        *form = (enum form)i;
        if (status != SW_OK || kind != SW_FILE_ABSENT)
            return status;
    }
    *form = N_FORMS;
    return SW_OK;
}

enum sw_status sw_tokenizer_present(const char *dir, bool *there)
{
    enum form form = N_FORMS;
    const enum sw_status status = find_form(dir, &form);
    *there = form != N_FORMS;
    return status;
}

static enum sw_status read_form(struct sw_tokenizer *tok, enum form form, const char *path,
                                const char *dir, const struct sw_text_config *config)
{
    char *bytes = NULL, *merges = NULL, *merges_path = NULL;
    size_t n = 0, merges_n = 0;
    enum sw_status status = sw_file_read(path, FILE_MAX_BYTES, &bytes, &n);
    if (status != SW_OK)
        return status;
    if (form == TOKENIZER_JSON) {
        status = sw_read_tokenizer_json(tok, bytes, n);
    } else if (form != VOCAB_MERGES) {
        status = looks_like_tiktoken(bytes, n) ? sw_read_tiktoken(tok, bytes, n)
                                               : sw_read_sentencepiece(tok, bytes, n);
    } else {
        merges_path = sw_path_join(dir, "merges.txt");
        status = merges_path ? sw_file_read(merges_path, FILE_MAX_BYTES, &merges, &merges_n)
                             : sw_fail(SW_ENOMEM, "no memory for a path");
        if (status == SW_OK)
            status = sw_read_vocab_merges(tok, bytes, n, merges, merges_n, config);
    }
    if (status == SW_OK)
        status = sw_tokenizer_finish(tok, config);
    if (status != SW_OK)
        sw_error_context("%s", form == VOCAB_MERGES ? dir : path);
    free(bytes);
    free(merges);
    free(merges_path);
    return status;
}

static enum sw_status open_form(struct sw_tokenizer *tok, const char *dir,
                                const struct sw_text_config *config)
{
    enum form form;
    SW_TRY(find_form(dir, &form));
    if (form == N_FORMS)
        return sw_fail(SW_EINPUT,
                       "%s: no tokenizer here; tokenizer.json, tokenizer.model, spiece.model, or "
                       "vocab.json with merges.txt is needed",
                       dir);
    char *path = sw_path_join(dir, form_files[form]);
    if (!path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    const enum sw_status status = read_form(tok, form, path, dir, config);
    free(path);
    return status;
}

enum sw_status sw_tokenizer_open(const char *dir, struct sw_tokenizer **out)
{
    struct sw_text_config config = {0};
    struct sw_tokenizer *tok = NULL;
    enum sw_status status = sw_text_config_read(dir, &config);
    if (status == SW_OK)
        status = sw_tokenizer_new(&tok);
    if (status == SW_OK)
        status = open_form(tok, dir, &config);
    sw_text_config_free(&config);
    if (status == SW_OK)
        *out = tok;
    else
        sw_tokenizer_close(tok);
    return status;
}

/* A stretch of text without added tokens. */
static enum sw_status encode_plain(struct sw_tokenizer *tok, const char *text, size_t n,
                                   bool at_zero, struct sw_ids *out)
{
    const struct sw_pretokens *pretokens;
    SW_TRY(sw_pretokenize(&tok->pre, text, n, at_zero, &pretokens));
    for (size_t i = 0; i < pretokens->count; i++) {
        const char *pretoken = pretokens->text.text + pretokens->items[i].start;
        const size_t length = pretokens->items[i].length;
        SW_TRY(tok->unigram.scores ? sw_unigram_encode(&tok->unigram, pretoken, length, out)
                                   : sw_bpe_encode(&tok->bpe, pretoken, length, out));
    }
    return SW_OK;
}

static enum sw_status encode_normalized(struct sw_tokenizer *tok, const char *text, size_t n,
                                        bool at_zero, bool with_special, struct sw_ids *out)
{
    SW_TRY(sw_normalize(&tok->normalizer, text, n, at_zero, &text, &n));
    for (size_t from = 0; from < n;) {
        const struct sw_added_hit hit =
            sw_added_next(&tok->added, &tok->added.normalized, text, n, from, with_special);
        SW_TRY(encode_plain(tok, text + from, hit.start - from, at_zero && from == 0, out));
        if (hit.token)
            SW_TRY(sw_ids_push(out, hit.token->id));
        from = hit.end;
    }
    return SW_OK;
}

static enum sw_status encode_text(struct sw_tokenizer *tok, const char *text, size_t n,
                                  bool with_special, struct sw_ids *out)
{
    for (size_t from = 0; from < n;) {
        const struct sw_added_hit hit =
            sw_added_next(&tok->added, &tok->added.raw, text, n, from, with_special);
        if (hit.start > from)
            SW_TRY(encode_normalized(tok, text + from, hit.start - from, from == 0, with_special,
                                     out));
        if (hit.token)
            SW_TRY(sw_ids_push(out, hit.token->id));
        from = hit.end;
    }
    return SW_OK;
}

static enum sw_status encode_locked(struct sw_tokenizer *tok, const char *text, size_t n,
                                    unsigned flags, struct sw_ids *out)
{
    const bool add = flags & SW_ENCODE_ADD_SPECIAL;
    if (n > TEXT_MAX_BYTES)
        return sw_fail(SW_EINPUT, "a text of %zu bytes; at most %u are encoded at once", n,
                       TEXT_MAX_BYTES);
    if (!sw_utf8_valid(text, n)) {
        tok->lossy.length = 0;
        sw_utf8_lossy(text, n, &tok->lossy);
        if (tok->lossy.failed)
            return sw_fail(SW_ENOMEM, "no memory for a text of %zu bytes", n);
        text = tok->lossy.text;
        n = tok->lossy.length;
    }
    if (add)
        SW_TRY(sw_ids_append(out, tok->prefix.ids, tok->prefix.count));
    SW_TRY(encode_text(tok, text, n, flags & SW_ENCODE_PARSE_SPECIAL, out));
    return add ? sw_ids_append(out, tok->suffix.ids, tok->suffix.count) : SW_OK;
}

enum sw_status sw_tokenizer_encode(struct sw_tokenizer *tok, const char *text, size_t n,
                                   unsigned flags, struct sw_ids *out)
{
    const size_t before = out->count;
    pthread_mutex_lock(&tok->lock);
    const enum sw_status status = encode_locked(tok, text, n, flags, out);
    pthread_mutex_unlock(&tok->lock);
    if (status != SW_OK)
        out->count = before;
    return status;
}

size_t sw_tokenizer_size(const struct sw_tokenizer *tok)
{
    return tok->vocab.count;
}

bool sw_tokenizer_is_end(const struct sw_tokenizer *tok, int32_t id)
{
    for (size_t i = 0; i < tok->n_ends; i++)
        if (tok->ends[i] == id)
            return true;
    return false;
}

bool sw_tokenizer_is_special(const struct sw_tokenizer *tok, int32_t id)
{
    return id >= 0 && (size_t)id < tok->vocab.count && (tok->flags[id] & SW_ID_SPECIAL);
}

int32_t sw_tokenizer_bos(const struct sw_tokenizer *tok)
{
    return tok->bos;
}

int32_t sw_tokenizer_eos(const struct sw_tokenizer *tok)
{
    return tok->eos;
}

int32_t sw_tokenizer_find(const struct sw_tokenizer *tok, const char *text, size_t n)
{
    const struct sw_added_token *added = sw_added_find(&tok->added, text, n);
    return added ? added->id : sw_vocab_find(&tok->vocab, text, n);
}

const char *sw_tokenizer_token(const struct sw_tokenizer *tok, int32_t id, size_t *n)
{
    return sw_vocab_piece(&tok->vocab, id, n);
}

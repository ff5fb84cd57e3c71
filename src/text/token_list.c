/* Owns making a table of pieces of a tokenizer, whatever files it came from. */
#include "base/checked.h"
#include "text/bytes.h"
#include "text/sentencepiece_model.h"
#include "text/token_pre.h"
#include "text/token_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_PATTERNS SW_TOKEN_PRE_PATTERNS

static enum sw_status list_no_memory(void)
{
    return sw_fail(SW_ENOMEM, "no memory for a table of tokens");
}

static const char *list_text(const struct sw_token_list *list, size_t i, size_t *n)
{
    const size_t begin = i ? list->ends[i - 1] : 0;
    *n = list->ends[i] - begin;
    return list->text.text + begin;
}

static const char *list_token(const void *context, size_t i, size_t *n)
{
    return list_text(context, i, n);
}

static const char *list_merge(const void *context, size_t i, size_t *n)
{
    const struct sw_token_list *list = context;
    return list_text(list, list->table.n_tokens + i, n);
}

/* ---- pieces */

static bool list_is_added(const struct sw_tokenizer *tok, size_t id, bool special)
{
    const unsigned wanted = special ? SW_ID_ADDED | SW_ID_SPECIAL : SW_ID_ADDED;
    return (tok->flags[id] & (SW_ID_ADDED | SW_ID_SPECIAL)) == wanted;
}

static bool list_is_user_defined(const struct sw_tokenizer *tok, size_t id)
{
    size_t n;
    int32_t value;
    const char *piece = sw_vocab_piece(&tok->vocab, (int64_t)id, &n);
    return list_is_added(tok, id, false) ||
           (piece && sw_trie_longest(&tok->bpe.whole, piece, n, &value) == n &&
            value == (int32_t)id);
}

static int32_t list_type(const struct sw_tokenizer *tok, size_t id)
{
    size_t n;
    const char *piece = sw_vocab_piece(&tok->vocab, (int64_t)id, &n);
    const int byte = piece && tok->bpe.byte_fallback ? sw_byte_of_token(piece, n) : -1;
    return !piece                                               ? SW_PIECE_UNUSED
           : (int32_t)id == tok->bpe.unk && !tok->bpe.bytes     ? SW_PIECE_UNKNOWN
           : byte >= 0 && tok->bpe.byte_id[byte] == (int32_t)id ? SW_PIECE_BYTE
           : list_is_added(tok, id, true)                       ? SW_PIECE_CONTROL
           : list_is_user_defined(tok, id)                      ? SW_PIECE_USER_DEFINED
                                                                : SW_PIECE_NORMAL;
}

/* A piece as vocabularies write it. */
static void list_put_piece(const struct sw_tokenizer *tok, size_t id, struct sw_strbuf *out)
{
    size_t n;
    const char *piece = sw_vocab_piece(&tok->vocab, (int64_t)id, &n);
    if (!piece)
        sw_strbuf_printf(out, "[PAD%zu]", id);
    else if (tok->pre.byte_level && !(tok->flags[id] & SW_ID_ADDED) &&
             !tok->vocab.pieces[id].hidden)
        sw_piece_of_bytes(piece, n, out);
    else
        sw_strbuf_append(out, piece, n);
}

/* ---- merges, and the scores that stand for them */

static int list_by_rank(const void *a, const void *b)
{
    const struct sw_merge *x = a, *y = b;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* The merges in the order of their ranks; *out: (bpe->n_merges), the caller frees it. */
static enum sw_status list_merges(const struct sw_bpe *bpe, struct sw_merge **out, size_t *n)
{
    *n = 0;
    *out = malloc((bpe->n_merges + 1) * sizeof **out);
    if (!*out)
        return list_no_memory();
    for (size_t i = 0; bpe->merges && i <= bpe->merge_mask; i++)
        if (bpe->merges[i].pair != UINT64_MAX && *n < bpe->n_merges)
            (*out)[(*n)++] = bpe->merges[i];
    qsort(*out, *n, sizeof **out, list_by_rank);
    return SW_OK;
}

/* The score whose place in the order of merging is `rank`: sentencepiece_model.c's, turned round.
 */
static float list_score(uint32_t rank)
{
    const uint32_t bits = rank & 0x80000000u ? rank & 0x7fffffffu : ~rank;
    float minus;
    memcpy(&minus, &bits, sizeof minus);
    return rank == UINT32_MAX ? 0 : 0.0f - minus;
}

/* A piece that merging makes early has a higher score. */
static void list_set_scores(const struct sw_tokenizer *tok, const struct sw_merge *merges, size_t n,
                            struct sw_token_list *out)
{
    const struct sw_bpe *bpe = &tok->bpe;
    for (size_t i = 0; i < out->table.n_tokens; i++)
        out->scores[i] = bpe->ranks && i < bpe->n_ranks     ? list_score(bpe->ranks[i])
                         : out->types[i] == SW_PIECE_NORMAL ? -(float)(n + 1)
                                                            : 0;
    for (size_t i = n; i-- > 0;)
        out->scores[merges[i].id] = -(float)i;
}

static void list_put_merges(const struct sw_tokenizer *tok, const struct sw_merge *merges, size_t n,
                            struct sw_token_list *out)
{
    for (size_t i = 0; i < n; i++) {
        list_put_piece(tok, (size_t)(merges[i].pair >> 32), &out->text);
        sw_strbuf_puts(&out->text, " ");
        list_put_piece(tok, (size_t)(merges[i].pair & UINT32_MAX), &out->text);
        out->ends[out->table.n_tokens + i] = out->text.length;
    }
}

/* ---- */

static enum sw_status list_find_pre(const struct sw_tokenizer *tok, const char **out)
{
    const char *patterns[MOST_PATTERNS + 1] = {NULL};
    bool none;
    const bool nfc = sw_normalizer_is_nfc(&tok->normalizer, &none);
    for (size_t i = 0; i <= MOST_PATTERNS; i++)
        if (!(patterns[i] = sw_pretokenizer_pattern(&tok->pre, i)))
            break;
    *out = patterns[MOST_PATTERNS] || !(nfc || none)
               ? NULL
               : sw_token_pre_name(patterns, nfc, tok->bpe.ignore_merges);
    if (*out)
        return SW_OK;
    return sw_fail(SW_EMODEL,
                   "the tokenizer cuts texts in a way that llama.cpp has no name for (pattern "
                   "\"%.60s\"%s)",
                   patterns[0] ? patterns[0] : "none", nfc ? ", NFC" : "");
}

/* BOS before a text, EOS behind it, and nothing else. */
static enum sw_status list_set_affixes(const struct sw_tokenizer *tok, struct sw_token_table *table)
{
    const struct sw_affix *affixes[] = {&tok->prefix, &tok->suffix};
    const int32_t ids[] = {tok->bos, tok->eos};
    int *adds[] = {&table->add_bos, &table->add_eos};
    for (int i = 0; i < 2; i++) {
        if (affixes[i]->count > 1 || (affixes[i]->count == 1 && affixes[i]->ids[0] != ids[i]))
            return sw_fail(SW_EMODEL,
                           "the tokenizer puts other tokens around a text than BOS and EOS, which "
                           "a GGUF file cannot say");
        *adds[i] = affixes[i]->count == 1;
    }
    table->bos = tok->bos;
    table->eos = tok->eos;
    table->eot = -1;
    return SW_OK;
}

static enum sw_status list_make(const struct sw_tokenizer *tok, const struct sw_merge *merges,
                                size_t n, struct sw_token_list *out)
{
    struct sw_token_table *t = &out->table;
    const bool bytes = tok->pre.byte_level;
    *t = (struct sw_token_table){.model = bytes ? "gpt2" : "llama",
                                 .n_tokens = tok->vocab.count,
                                 .n_merges = bytes ? n : 0,
                                 .context = out,
                                 .token = list_token,
                                 .merge = list_merge,
                                 .unk = bytes ? -1 : tok->bpe.unk,
                                 .add_space_prefix = bytes ? -1 : tok->decoder.strip};
    if (bytes)
        SW_TRY(list_find_pre(tok, &t->pre));
    SW_TRY(list_set_affixes(tok, t));
    out->ends = calloc(t->n_tokens + t->n_merges + 1, sizeof *out->ends);
    out->types = calloc(t->n_tokens, sizeof *out->types);
    out->scores = calloc(t->n_tokens, sizeof *out->scores);
    if (!out->ends || !out->types || !out->scores)
        return list_no_memory();
    for (size_t i = 0; i < t->n_tokens; i++) {
        list_put_piece(tok, i, &out->text);
        out->ends[i] = out->text.length;
        out->types[i] = list_type(tok, i);
    }
    if (bytes)
        list_put_merges(tok, merges, n, out);
    else
        list_set_scores(tok, merges, n, out);
    t->types = out->types;
    t->scores = bytes ? NULL : out->scores;
    return out->text.failed ? list_no_memory() : SW_OK;
}

enum sw_status sw_token_list_of(const struct sw_tokenizer *tok, struct sw_token_list *out)
{
    struct sw_merge *merges;
    size_t n;
    *out = (struct sw_token_list){0};
    if (tok->unigram.scores)
        return sw_fail(
            SW_EMODEL,
            "the tokenizer is a Unigram, which is not written into GGUF files; quantize to a "
            "folder");
    if (tok->bpe.bytes && !tok->bpe.merges)
        return sw_fail(SW_EMODEL, "the tokenizer is tiktoken's, without a list of merges; put the "
                                  "model's tokenizer.json beside it");
    if (!tok->pre.byte_level && !tok->bpe.byte_fallback)
        return sw_fail(SW_EMODEL, "the tokenizer is neither a byte-level BPE nor SentencePiece's");
    SW_TRY(list_merges(&tok->bpe, &merges, &n));
    const enum sw_status status = list_make(tok, merges, n, out);
    free(merges);
    return status;
}

void sw_token_list_free(struct sw_token_list *list)
{
    sw_strbuf_free(&list->text);
    free(list->ends);
    free(list->scores);
    free(list->types);
    *list = (struct sw_token_list){0};
}

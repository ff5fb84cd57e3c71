/* Owns what a SentencePiece vocabulary makes of a tokenizer. */
#include "text/sentencepiece_model.h"

#include "base/utf8.h"
#include "text/bytes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum sw_status fail_piece(const char *what)
{
    return sw_fail(SW_EMODEL, "SentencePiece model: %s; the file is damaged or is another format",
                   what);
}

static enum sw_status model_grow(struct sw_sp_model *model)
{
    if (model->n_pieces < model->capacity)
        return SW_OK;
    const size_t capacity = model->capacity ? model->capacity * 2 : 4096;
    uint8_t *types = realloc(model->types, capacity * sizeof *types);
    if (types)
        model->types = types;
    float *scores = realloc(model->scores, capacity * sizeof *scores);
    if (scores)
        model->scores = scores;
    if (!types || !scores)
        return sw_fail(SW_ENOMEM, "no memory for %zu pieces", capacity);
    model->capacity = capacity;
    return SW_OK;
}

static enum sw_status add_special(struct sw_sp_model *model, const char *piece, size_t n)
{
    return sw_added_put(&model->tok->added,
                        &(struct sw_added_token){.id = (int32_t)model->n_pieces,
                                                 .content = (char *)(uintptr_t)piece,
                                                 .length = n,
                                                 .special = true});
}

enum sw_status sw_sp_model_add(struct sw_sp_model *model, const char *piece, size_t n, uint8_t type,
                               float score)
{
    if (n == 0 || !sw_utf8_valid(piece, n))
        return fail_piece("a piece is empty or not UTF-8");
    if (type < SW_PIECE_NORMAL || type > SW_PIECE_BYTE || score != score)
        return fail_piece("a piece has an unknown type or no score");
    SW_TRY(model_grow(model));
    /* Only normal and user-defined pieces can be spelled by a text. */
    SW_TRY(sw_vocab_set(&model->tok->vocab, (int64_t)model->n_pieces, piece, n,
                        type != SW_PIECE_NORMAL && type != SW_PIECE_USER_DEFINED));
    if (type == SW_PIECE_CONTROL || type == SW_PIECE_UNKNOWN)
        SW_TRY(add_special(model, piece, n));
    if (type == SW_PIECE_USER_DEFINED)
        SW_TRY(sw_trie_add(&model->tok->bpe.whole, piece, n, (int32_t)model->n_pieces));
    model->types[model->n_pieces] = type;
    model->scores[model->n_pieces++] = score;
    return SW_OK;
}

/* An integer that orders as -score does: the best score is merged first. */
static uint32_t score_rank(float score)
{
    uint32_t bits;
    const float minus = 0.0f - score;
    memcpy(&bits, &minus, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return bits == UINT32_MAX ? bits - 1 : bits;
}

/* Whether a text can have the piece. */
static bool is_spelled(const struct sw_sp_model *model, size_t i)
{
    return model->types[i] == SW_PIECE_NORMAL || model->types[i] == SW_PIECE_USER_DEFINED;
}

static enum sw_status set_ranks(struct sw_sp_model *model)
{
    struct sw_bpe *bpe = &model->tok->bpe;
    bpe->ranks = malloc(model->n_pieces * sizeof *bpe->ranks);
    if (!bpe->ranks)
        return sw_fail(SW_ENOMEM, "no memory for %zu pieces", model->n_pieces);
    bpe->n_ranks = model->n_pieces;
    for (size_t i = 0; i < model->n_pieces; i++)
        bpe->ranks[i] = is_spelled(model, i) ? score_rank(model->scores[i]) : UINT32_MAX;
    return sw_bpe_find_joints(bpe);
}

/* The least and the greatest score of normal pieces; 0 where there is none. */
static void score_range(const struct sw_sp_model *model, float *least, float *greatest)
{
    *least = *greatest = 0;
    bool any = false;
    for (size_t i = 0; i < model->n_pieces; i++) {
        const float score = model->scores[i];
        if (model->types[i] != SW_PIECE_NORMAL)
            continue;
        *least = any && *least < score ? *least : score;
        *greatest = any && *greatest > score ? *greatest : score;
        any = true;
    }
}

/* What makes a user-defined piece win: llama.cpp has 0, SentencePiece a bonus over its bytes at
 * the greatest score each. */
static double user_defined_score(const struct sw_sp_model *model, float greatest, size_t n)
{
    return model->single ? (double)((float)n * greatest) - 0.1 : 0;
}

static enum sw_status set_unigram(struct sw_sp_model *model)
{
    struct sw_tokenizer *tok = model->tok;
    struct sw_unigram *unigram = &tok->unigram;
    float least, greatest;
    unigram->scores = malloc(model->n_pieces * sizeof *unigram->scores);
    if (!unigram->scores)
        return sw_fail(SW_ENOMEM, "no memory for %zu pieces", model->n_pieces);
    unigram->n_scores = model->n_pieces;
    score_range(model, &least, &greatest);
    for (size_t i = 0; i < model->n_pieces; i++) {
        size_t n;
        const char *piece = sw_vocab_piece(&tok->vocab, (int64_t)i, &n);
        if (!isfinite(model->scores[i]))
            return fail_piece("a score is infinite");
        unigram->scores[i] = model->types[i] == SW_PIECE_USER_DEFINED
                                 ? user_defined_score(model, greatest, n)
                                 : (double)model->scores[i];
        if (is_spelled(model, i))
            SW_TRY(sw_trie_add(&unigram->pieces, piece, n, (int32_t)i));
    }
    unigram->unknown = (double)(least - 10);
    unigram->unk = tok->bpe.unk;
    unigram->byte_id = tok->bpe.byte_fallback ? tok->bpe.byte_id : NULL;
    unigram->single = model->single;
    return SW_OK;
}

static int32_t find_special(const struct sw_sp_model *model, int64_t id, enum sw_piece_type type)
{
    const bool have = id >= 0 && (size_t)id < model->n_pieces && model->types[id] == type;
    return have ? (int32_t)id : -1;
}

enum sw_status sw_sp_model_apply(struct sw_sp_model *model)
{
    struct sw_tokenizer *tok = model->tok;
    SW_TRY(sw_vocab_index(&tok->vocab));
    tok->bpe.byte_fallback = model->byte_fallback;
    tok->bpe.fuse_unk = true;
    tok->bpe.unk = find_special(model, model->unk, SW_PIECE_UNKNOWN);
    tok->bos = find_special(model, model->bos, SW_PIECE_CONTROL);
    tok->eos = find_special(model, model->eos, SW_PIECE_CONTROL);
    tok->add_bos = true; /* as transformers does for Llama's class, unless its config says no */
    for (size_t i = 0; tok->bpe.byte_fallback && i < model->n_pieces; i++) {
        size_t n;
        const char *piece = sw_vocab_piece(&tok->vocab, (int64_t)i, &n);
        const int byte = model->types[i] == SW_PIECE_BYTE ? sw_byte_of_token(piece, n) : -1;
        if (byte >= 0)
            tok->bpe.byte_id[byte] = (int32_t)i;
    }
    SW_TRY(model->unigram ? set_unigram(model) : set_ranks(model));
    tok->decoder = (struct sw_decoder){.byte_fallback = true,
                                       .strip = model->rules.prefix != SW_PREFIX_NEVER,
                                       .space = "\xE2\x96\x81"};
    tok->sentencepiece = true;
    model->rules.whole = &tok->bpe.whole;
    SW_TRY(sw_normalizer_add_sentencepiece(&tok->normalizer, &model->rules));
    model->rules.charsmap = (struct sw_charsmap){0}; /* the normaliser's now */
    return SW_OK;
}

void sw_sp_model_free(struct sw_sp_model *model)
{
    sw_charsmap_free(&model->rules.charsmap);
    free(model->types);
    free(model->scores);
}

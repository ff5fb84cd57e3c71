/*
 * Owns the reading of a SentencePiece .model with a BPE model: the few protobuf fields that matter
 * (sentencepiece_model.proto), read straight from the wire format.
 */
#include "base/utf8.h"
#include "text/bytes.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

enum piece_type { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };
enum model_type { UNIGRAM = 1, BPE = 2 };

struct field {
    uint32_t number;
    uint64_t value;    /* of a varint or fixed field */
    const char *bytes; /* of a length-delimited one, else NULL */
    size_t length;
};

struct trainer {
    uint64_t model_type;
    bool byte_fallback, suffix;
    int64_t unk, bos, eos;
};

struct sp_model {
    struct sw_tokenizer *tok;
    struct trainer trainer;
    struct sw_sentencepiece_rules rules;
    uint8_t *types; /* (n_pieces) */
    float *scores;  /* (n_pieces) */
    size_t n_pieces, capacity;
};

static enum sw_status fail_damaged(const char *what)
{
    return sw_fail(SW_EMODEL, "SentencePiece model: %s; the file is damaged or is another format",
                   what);
}

static bool read_varint(const char **at, const char *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        const unsigned char byte = (unsigned char)*(*at)++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static enum sw_status read_field(const char **at, const char *end, struct field *field)
{
    uint64_t key;
    *field = (struct field){0};
    if (!read_varint(at, end, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
        return fail_damaged("a field has no number");
    field->number = (uint32_t)(key >> 3);
    const size_t fixed = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : 0;
    if ((key & 7) == 0)
        return read_varint(at, end, &field->value) ? SW_OK : fail_damaged("a number is cut short");
    if (fixed > 0) {
        if ((size_t)(end - *at) < fixed)
            return fail_damaged("a number is cut short");
        for (size_t i = 0; i < fixed; i++)
            field->value |= (uint64_t)(unsigned char)*(*at)++ << (8 * i);
        return SW_OK;
    }
    uint64_t length;
    if ((key & 7) != 2 || !read_varint(at, end, &length) || length > (uint64_t)(end - *at))
        return fail_damaged("a field is longer than the file");
    field->bytes = *at;
    field->length = (size_t)length;
    *at += length;
    return SW_OK;
}

static enum sw_status model_grow(struct sp_model *model)
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

static enum sw_status add_special(struct sp_model *model, const char *piece, size_t n)
{
    return sw_added_put(&model->tok->added,
                        &(struct sw_added_token){.id = (int32_t)model->n_pieces,
                                                 .content = (char *)(uintptr_t)piece,
                                                 .length = n,
                                                 .special = true});
}

static enum sw_status read_piece(struct sp_model *model, const char *at, size_t n)
{
    const char *end = at + n, *piece = "";
    size_t length = 0;
    uint8_t type = NORMAL;
    float score = 0;
    for (struct field field; at < end;) {
        SW_TRY(read_field(&at, end, &field));
        if (field.number == 1 && field.bytes) {
            piece = field.bytes;
            length = field.length;
        } else if (field.number == 2) {
            const uint32_t bits = (uint32_t)field.value;
            memcpy(&score, &bits, sizeof score);
        } else if (field.number == 3) {
            type = field.value <= BYTE ? (uint8_t)field.value : 0;
        }
    }
    if (length == 0 || !sw_utf8_valid(piece, length))
        return fail_damaged("a piece is empty or not UTF-8");
    if (type < NORMAL || score != score)
        return fail_damaged("a piece has an unknown type or no score");
    if (type == UNUSED)
        return sw_fail(SW_EMODEL, "SentencePiece model: unused pieces (\"%.*s\") are not supported",
                       (int)(length < 64 ? length : 64), piece);
    SW_TRY(model_grow(model));
    /* Only normal and user-defined pieces can be spelled by a text. */
    SW_TRY(sw_vocab_set(&model->tok->vocab, (int64_t)model->n_pieces, piece, length,
                        type != NORMAL && type != USER_DEFINED));
    if (type == CONTROL || type == UNKNOWN)
        SW_TRY(add_special(model, piece, length));
    if (type == USER_DEFINED)
        SW_TRY(sw_trie_add(&model->tok->bpe.whole, piece, length, (int32_t)model->n_pieces));
    model->types[model->n_pieces] = type;
    model->scores[model->n_pieces++] = score;
    return SW_OK;
}

static enum sw_status read_trainer(struct trainer *trainer, const char *at, size_t n)
{
    const char *end = at + n;
    for (struct field field; at < end;) {
        SW_TRY(read_field(&at, end, &field));
        switch (field.number) {
        case 3:
            trainer->model_type = field.value;
            break;
        case 24:
            trainer->suffix = field.value != 0;
            break;
        case 35:
            trainer->byte_fallback = field.value != 0;
            break;
        case 40:
            trainer->unk = (int64_t)field.value;
            break;
        case 41:
            trainer->bos = (int64_t)field.value;
            break;
        case 42:
            trainer->eos = (int64_t)field.value;
            break;
        default:
            break;
        }
    }
    return SW_OK;
}

static enum sw_status read_normalizer(struct sw_sentencepiece_rules *rules, const char *at,
                                      size_t n)
{
    const char *end = at + n;
    for (struct field field; at < end;) {
        SW_TRY(read_field(&at, end, &field));
        if (field.number == 2 && field.bytes) {
            sw_charsmap_free(&rules->charsmap);
            SW_TRY(sw_charsmap_parse(&rules->charsmap, field.bytes, field.length));
        } else if (field.number == 3) {
            rules->prefix = field.value != 0 ? SW_PREFIX_ALWAYS : SW_PREFIX_NEVER;
        } else if (field.number == 4) {
            rules->remove_extra_whitespaces = field.value != 0;
        } else if (field.number == 5) {
            rules->escape_whitespaces = field.value != 0;
        }
    }
    return SW_OK;
}

static enum sw_status read_model(struct sp_model *model, const char *at, size_t n)
{
    const char *end = at + n;
    for (struct field field; at < end;) {
        SW_TRY(read_field(&at, end, &field));
        if (!field.bytes)
            continue;
        if (field.number == 1)
            SW_TRY(read_piece(model, field.bytes, field.length));
        else if (field.number == 2)
            SW_TRY(read_trainer(&model->trainer, field.bytes, field.length));
        else if (field.number == 3)
            SW_TRY(read_normalizer(&model->rules, field.bytes, field.length));
    }
    if (model->n_pieces == 0)
        return fail_damaged("it has no pieces");
    if (model->trainer.model_type != BPE)
        return sw_fail(SW_EMODEL, "SentencePiece model type %llu (%s) is not supported; 2 (BPE) is",
                       (unsigned long long)model->trainer.model_type,
                       model->trainer.model_type == UNIGRAM ? "Unigram" : "word or character");
    if (model->trainer.suffix)
        return sw_fail(SW_EMODEL, "SentencePiece model: treat_whitespace_as_suffix is not "
                                  "supported");
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

static enum sw_status set_ranks(struct sp_model *model)
{
    struct sw_bpe *bpe = &model->tok->bpe;
    bpe->ranks = malloc(model->n_pieces * sizeof *bpe->ranks);
    if (!bpe->ranks)
        return sw_fail(SW_ENOMEM, "no memory for %zu pieces", model->n_pieces);
    bpe->n_ranks = model->n_pieces;
    for (size_t i = 0; i < model->n_pieces; i++)
        bpe->ranks[i] = model->types[i] == NORMAL || model->types[i] == USER_DEFINED
                            ? score_rank(model->scores[i])
                            : UINT32_MAX;
    return SW_OK;
}

static int32_t find_special(const struct sp_model *model, int64_t id, enum piece_type type)
{
    const bool have = id >= 0 && (size_t)id < model->n_pieces && model->types[id] == type;
    return have ? (int32_t)id : -1;
}

static enum sw_status apply_model(struct sp_model *model)
{
    struct sw_tokenizer *tok = model->tok;
    SW_TRY(sw_vocab_index(&tok->vocab));
    SW_TRY(set_ranks(model));
    SW_TRY(sw_bpe_find_joints(&tok->bpe));
    tok->bpe.byte_fallback = model->trainer.byte_fallback;
    tok->bpe.fuse_unk = true;
    tok->bpe.unk = find_special(model, model->trainer.unk, UNKNOWN);
    tok->bos = find_special(model, model->trainer.bos, CONTROL);
    tok->eos = find_special(model, model->trainer.eos, CONTROL);
    tok->add_bos = true; /* as transformers does for Llama's class, unless its config says no */
    for (size_t i = 0; tok->bpe.byte_fallback && i < model->n_pieces; i++) {
        size_t n;
        const char *piece = sw_vocab_piece(&tok->vocab, (int64_t)i, &n);
        const int byte = model->types[i] == BYTE ? sw_byte_of_token(piece, n) : -1;
        if (byte >= 0)
            tok->bpe.byte_id[byte] = (int32_t)i;
    }
    tok->decoder = (struct sw_decoder){.byte_fallback = true,
                                       .strip = model->rules.prefix != SW_PREFIX_NEVER,
                                       .space = "\xE2\x96\x81"};
    tok->sentencepiece = true;
    model->rules.whole = &tok->bpe.whole;
    SW_TRY(sw_normalizer_add_sentencepiece(&tok->normalizer, &model->rules));
    model->rules.charsmap = (struct sw_charsmap){0}; /* the normaliser's now */
    return SW_OK;
}

enum sw_status sw_read_sentencepiece(struct sw_tokenizer *tok, const char *bytes, size_t n)
{
    struct sp_model model = {
        .tok = tok,
        .trainer = {.model_type = UNIGRAM, .unk = 0, .bos = 1, .eos = 2},
        .rules = {.prefix = SW_PREFIX_ALWAYS,
                  .remove_extra_whitespaces = true,
                  .escape_whitespaces = true},
    };
    enum sw_status status = read_model(&model, bytes, n);
    if (status == SW_OK)
        status = apply_model(&model);
    sw_charsmap_free(&model.rules.charsmap);
    free(model.types);
    free(model.scores);
    return status;
}

/*
 * Owns the reading of a SentencePiece .model, BPE or Unigram: the few protobuf fields that matter
 * (sentencepiece_model.proto), read straight from the wire format.
 */
#include "text/sentencepiece_model.h"

#include <string.h>

enum model_type { UNIGRAM = 1, BPE = 2 };

struct field {
    uint32_t number;
    uint64_t value;    /* of a varint or fixed field */
    const char *bytes; /* of a length-delimited one, else NULL */
    size_t length;
};

struct sp_file {
    struct sw_sp_model model;
    uint64_t model_type;
    bool suffix;
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

static enum sw_status read_piece(struct sw_sp_model *model, const char *at, size_t n)
{
    const char *end = at + n, *piece = "";
    size_t length = 0;
    uint8_t type = SW_PIECE_NORMAL;
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
            type = field.value <= SW_PIECE_BYTE ? (uint8_t)field.value : 0;
        }
    }
    if (type == SW_PIECE_UNUSED)
        return sw_fail(SW_EMODEL, "SentencePiece model: unused pieces (\"%.*s\") are not supported",
                       (int)(length < 64 ? length : 64), piece);
    return sw_sp_model_add(model, piece, length, type, score);
}

static enum sw_status read_trainer(struct sp_file *file, const char *at, size_t n)
{
    const char *end = at + n;
    for (struct field field; at < end;) {
        SW_TRY(read_field(&at, end, &field));
        switch (field.number) {
        case 3:
            file->model_type = field.value;
            break;
        case 24:
            file->suffix = field.value != 0;
            break;
        case 35:
            file->model.byte_fallback = field.value != 0;
            break;
        case 40:
            file->model.unk = (int64_t)field.value;
            break;
        case 41:
            file->model.bos = (int64_t)field.value;
            break;
        case 42:
            file->model.eos = (int64_t)field.value;
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

static enum sw_status read_model(struct sp_file *file, const char *at, size_t n)
{
    const char *end = at + n;
    for (struct field field; at < end;) {
        SW_TRY(read_field(&at, end, &field));
        if (!field.bytes)
            continue;
        if (field.number == 1)
            SW_TRY(read_piece(&file->model, field.bytes, field.length));
        else if (field.number == 2)
            SW_TRY(read_trainer(file, field.bytes, field.length));
        else if (field.number == 3)
            SW_TRY(read_normalizer(&file->model.rules, field.bytes, field.length));
    }
    if (file->model.n_pieces == 0)
        return fail_damaged("it has no pieces");
    if (file->model_type != BPE && file->model_type != UNIGRAM)
        return sw_fail(SW_EMODEL,
                       "SentencePiece model type %llu (word or character) is not supported; 1 "
                       "(Unigram) and 2 (BPE) are",
                       (unsigned long long)file->model_type);
    file->model.unigram = file->model.single = file->model_type == UNIGRAM;
    if (file->suffix)
        return sw_fail(SW_EMODEL, "SentencePiece model: treat_whitespace_as_suffix is not "
                                  "supported");
    return SW_OK;
}

enum sw_status sw_read_sentencepiece(struct sw_tokenizer *tok, const char *bytes, size_t n)
{
    struct sp_file file = {
        .model = {.tok = tok,
                  .rules = {.prefix = SW_PREFIX_ALWAYS,
                            .remove_extra_whitespaces = true,
                            .escape_whitespaces = true},
                  .unk = 0,
                  .bos = 1,
                  .eos = 2},
        .model_type = UNIGRAM,
    };
    enum sw_status status = read_model(&file, bytes, n);
    if (status == SW_OK)
        status = sw_sp_model_apply(&file.model);
    sw_sp_model_free(&file.model);
    return status;
}

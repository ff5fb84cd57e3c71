/* Owns the reading of the model Unigram of a tokenizer.json. */
#include "base/json.h"
#include "text/tokenizer_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 64 /* bytes of a score as text */

static enum sw_status fail_entry(size_t i)
{
    return sw_fail(SW_EMODEL, "Unigram: entry %zu of its vocab is not [piece, score]", i);
}

static enum sw_status scan_score(struct sw_json_scan *scan, size_t i, double *score)
{
    struct sw_json_range range;
    char text[NUMBER_MAX + 1], *end;
    SW_TRY(sw_json_scan_skip(scan, &range));
    if (range.length == 0 || range.length > NUMBER_MAX)
        return fail_entry(i);
    memcpy(text, range.bytes, range.length);
    text[range.length] = '\0';
    *score = strtod(text, &end);
    return *end || !isfinite(*score) ? fail_entry(i) : SW_OK;
}

static enum sw_status keep_score(struct sw_unigram *unigram, double score, size_t *capacity)
{
    if (unigram->n_scores == *capacity) {
        const size_t more = *capacity ? *capacity * 2 : 4096;
        double *scores = realloc(unigram->scores, more * sizeof *scores);
        if (!scores)
            return sw_fail(SW_ENOMEM, "no memory for %zu pieces", more);
        unigram->scores = scores;
        *capacity = more;
    }
    unigram->scores[unigram->n_scores++] = score;
    return SW_OK;
}

static enum sw_status scan_piece(struct sw_tokenizer *tok, struct sw_json_scan *scan,
                                 size_t *capacity)
{
    const size_t i = tok->unigram.n_scores;
    const char *piece;
    size_t n;
    bool more;
    double score;
    SW_TRY(sw_json_scan_enter(scan, '['));
    SW_TRY(sw_json_scan_next(scan, '[', &more));
    if (!more)
        return fail_entry(i);
    SW_TRY(sw_json_scan_string(scan, &piece, &n));
    SW_TRY(sw_json_scan_next(scan, '[', &more));
    if (!more)
        return fail_entry(i);
    SW_TRY(scan_score(scan, i, &score));
    SW_TRY(sw_json_scan_next(scan, '[', &more));
    if (more)
        return fail_entry(i);
    /* No text may spell a special token. */
    const struct sw_added_token *added = sw_added_find(&tok->added, piece, n);
    const bool hidden = added && added->special;
    SW_TRY(sw_vocab_set(&tok->vocab, (int64_t)i, piece, n, hidden));
    if (n > 0 && !hidden)
        SW_TRY(sw_trie_add(&tok->unigram.pieces, piece, n, (int32_t)i));
    return keep_score(&tok->unigram, score, capacity);
}

static enum sw_status scan_pieces(struct sw_tokenizer *tok, const struct sw_json_range *vocab)
{
    struct sw_json_scan scan;
    size_t capacity = 0;
    bool more;
    sw_json_scan_begin(&scan, vocab->bytes, vocab->length);
    enum sw_status status = sw_json_scan_enter(&scan, '[');
    while (status == SW_OK && (status = sw_json_scan_next(&scan, '[', &more)) == SW_OK && more)
        status = scan_piece(tok, &scan, &capacity);
    sw_json_scan_free(&scan);
    return status;
}

static enum sw_status set_unknown(struct sw_tokenizer *tok, const struct sw_json_range *unk_id)
{
    struct sw_unigram *unigram = &tok->unigram;
    json_t *json;
    int64_t unk = -1;
    double least = unigram->scores[0];
    SW_TRY(sw_json_parse(unk_id, "unk_id", &json));
    const bool good = !json || json_is_null(json) ||
                      sw_json_integer(json, 0, (int64_t)unigram->n_scores - 1, &unk);
    json_decref(json);
    if (!good)
        return sw_fail(SW_EMODEL, "Unigram: its unk_id is none of the %zu pieces",
                       unigram->n_scores);
    for (size_t i = 0; i < unigram->n_scores; i++)
        least = unigram->scores[i] < least ? unigram->scores[i] : least;
    unigram->unknown = least - 10;
    unigram->unk = tok->bpe.unk = (int32_t)unk;
    return SW_OK;
}

enum sw_status sw_read_unigram(struct sw_tokenizer *tok, const struct sw_json_range *vocab,
                               const struct sw_json_range *unk_id, bool byte_fallback)
{
    if (!vocab->bytes)
        return sw_fail(SW_EMODEL, "the Unigram model has no \"vocab\"");
    SW_TRY(scan_pieces(tok, vocab));
    if (tok->unigram.n_scores == 0)
        return sw_fail(SW_EMODEL, "the Unigram model has no pieces");
    SW_TRY(sw_vocab_index(&tok->vocab));
    if (byte_fallback) {
        sw_find_byte_pieces(tok, true);
        tok->unigram.byte_id = tok->bpe.byte_id;
    }
    return set_unknown(tok, unk_id);
}

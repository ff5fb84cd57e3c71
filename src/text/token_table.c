/* Owns making a tokenizer of a table of pieces. */
#include "text/token_table.h"

#include "text/sentencepiece_model.h"
#include "text/token_pre.h"

#include <string.h>

static enum sw_status fail_token(size_t i)
{
    return sw_fail(SW_EMODEL, "token %zu is not a text", i);
}

static int32_t type_of(const struct sw_token_table *table, size_t i)
{
    return table->types ? table->types[i] : SW_PIECE_NORMAL;
}

/* ---- byte-level BPE */

static enum sw_status add_byte_token(struct sw_tokenizer *tok, const struct sw_token_table *table,
                                     size_t i, struct sw_strbuf *scratch)
{
    size_t n;
    const char *piece = table->token(table->context, i, &n);
    const int32_t type = type_of(table, i);
    if (!piece)
        return fail_token(i);
    if (type == SW_PIECE_NORMAL)
        return sw_set_byte_piece(tok, (int64_t)i, piece, n, scratch);
    SW_TRY(sw_vocab_set(&tok->vocab, (int64_t)i, piece, n, true));
    if (type == SW_PIECE_UNUSED || n == 0)
        return SW_OK;
    return sw_added_put(&tok->added, &(struct sw_added_token){.id = (int32_t)i,
                                                              .content = (char *)(uintptr_t)piece,
                                                              .length = n,
                                                              .special = type == SW_PIECE_CONTROL ||
                                                                         type == SW_PIECE_UNKNOWN});
}

static enum sw_status add_byte_merge(struct sw_tokenizer *tok, const struct sw_token_table *table,
                                     size_t i, struct sw_strbuf scratch[3])
{
    size_t n;
    const char *merge = table->merge(table->context, i, &n);
    const char *space = merge && n > 1 ? memchr(merge + 1, ' ', n - 1) : NULL;
    if (!space)
        return sw_fail(SW_EMODEL, "merge %zu is not two pieces with a space between", i);
    const size_t left = (size_t)(space - merge);
    return sw_add_text_merge(tok, merge, left, space + 1, n - left - 1, scratch);
}

typedef enum sw_status add_piece(struct sw_tokenizer *tok, const struct sw_token_table *table,
                                 size_t i, struct sw_strbuf *scratch);

/* All pieces, each by `add`, and then the merges of them. */
static enum sw_status add_pieces(struct sw_tokenizer *tok, const struct sw_token_table *table,
                                 add_piece *add)
{
    struct sw_strbuf scratch[3] = {{0}};
    enum sw_status status = SW_OK;
    for (size_t i = 0; i < table->n_tokens && status == SW_OK; i++)
        status = add(tok, table, i, scratch);
    if (status == SW_OK)
        status = sw_vocab_index(&tok->vocab);
    if (status == SW_OK)
        status = sw_bpe_reserve_merges(&tok->bpe, table->n_merges);
    for (size_t i = 0; i < table->n_merges && status == SW_OK; i++)
        status = add_byte_merge(tok, table, i, scratch);
    for (size_t i = 0; i < 3; i++)
        sw_strbuf_free(&scratch[i]);
    return status;
}

static enum sw_status make_byte_level(struct sw_tokenizer *tok, const struct sw_token_table *table)
{
    const struct sw_token_pre *pre;
    SW_TRY(sw_token_pre_find(table->pre, &pre));
    for (size_t i = 0; i < SW_TOKEN_PRE_PATTERNS && pre->patterns[i]; i++)
        SW_TRY(sw_pretokenizer_add_split(&tok->pre, pre->patterns[i]));
    tok->pre.byte_level = true;
    if (pre->nfc)
        SW_TRY(sw_normalizer_add_nfc(&tok->normalizer));
    SW_TRY(add_pieces(tok, table, add_byte_token));
    tok->bpe.bytes = true;
    tok->bpe.ignore_merges = pre->ignore_merges;
    tok->add_bos = pre->add_bos;
    tok->decoder.byte_level = true;
    sw_find_byte_pieces(tok, false);
    return SW_OK;
}

/* ---- BPE of whole texts (Gemma 4): U+2581 for a space, and bytes of what no piece has */

static enum sw_status add_plain_piece(struct sw_tokenizer *tok, const struct sw_token_table *table,
                                      size_t i, struct sw_strbuf *scratch)
{
    size_t n;
    const char *piece = table->token(table->context, i, &n);
    const int32_t type = type_of(table, i);
    if (!piece)
        return fail_token(i);
    if (type != SW_PIECE_NORMAL && type != SW_PIECE_BYTE)
        return add_byte_token(tok, table, i, scratch);
    return sw_vocab_set(&tok->vocab, (int64_t)i, piece, n, false);
}

static enum sw_status make_merged(struct sw_tokenizer *tok, const struct sw_token_table *table)
{
    const struct sw_sentencepiece_rules rules = {
        .prefix = SW_PREFIX_NEVER, .escape_whitespaces = true, .whole = &tok->bpe.whole};
    SW_TRY(add_pieces(tok, table, add_plain_piece));
    tok->bpe.byte_fallback = tok->bpe.fuse_unk = true;
    tok->bpe.unk = (int32_t)table->unk;
    tok->add_bos = true;
    tok->decoder = (struct sw_decoder){.byte_fallback = true, .space = "\xE2\x96\x81"};
    sw_find_byte_pieces(tok, true);
    SW_TRY(sw_normalizer_add_sentencepiece(&tok->normalizer, &rules));
    return sw_bpe_find_joints(&tok->bpe);
}

/* ---- SentencePiece */

static enum sw_status add_sp_pieces(struct sw_sp_model *model, const struct sw_token_table *table)
{
    for (size_t i = 0; i < table->n_tokens; i++) {
        const int32_t type = type_of(table, i);
        size_t n;
        const char *piece = table->token(table->context, i, &n);
        if (!piece || type < SW_PIECE_NORMAL || type > SW_PIECE_BYTE)
            return fail_token(i);
        SW_TRY(sw_sp_model_add(model, piece, n, (uint8_t)type, table->scores[i]));
    }
    return SW_OK;
}

static enum sw_status make_sp_model(struct sw_tokenizer *tok, const struct sw_token_table *table,
                                    struct sw_sp_model *model)
{
    *model = (struct sw_sp_model){
        .tok = tok,
        .rules = {.prefix = table->add_space_prefix == 0 ? SW_PREFIX_NEVER : SW_PREFIX_ALWAYS,
                  .escape_whitespaces = true},
        .byte_fallback = true,
        .unk = table->unk,
        .bos = table->bos,
        .eos = table->eos,
    };
    if (!table->scores)
        return sw_fail(SW_EMODEL, "its pieces have no scores");
    return add_sp_pieces(model, table);
}

static enum sw_status make_sentencepiece(struct sw_tokenizer *tok,
                                         const struct sw_token_table *table)
{
    struct sw_sp_model model;
    enum sw_status status = make_sp_model(tok, table, &model);
    if (status == SW_OK)
        status = sw_sp_model_apply(&model);
    sw_sp_model_free(&model);
    return status;
}

/* What a file does not say is as llama.cpp has it: no space is put or dropped, and EOS stands
 * behind a text. */
static enum sw_status make_unigram(struct sw_tokenizer *tok, const struct sw_token_table *table)
{
    struct sw_sp_model model;
    enum sw_status status = make_sp_model(tok, table, &model);
    model.unigram = true;
    model.rules.prefix = table->add_space_prefix > 0 ? SW_PREFIX_ALWAYS : SW_PREFIX_NEVER;
    model.rules.remove_extra_whitespaces = table->remove_extra_whitespaces > 0;
    if (status == SW_OK)
        status = sw_charsmap_parse(&model.rules.charsmap, table->charsmap, table->n_charsmap);
    if (status == SW_OK)
        status = sw_sp_model_apply(&model);
    sw_sp_model_free(&model);
    tok->add_bos = false;
    tok->add_eos = true;
    return status;
}

/* ---- */

/* What ends a turn in chats; files name one of them, and models use several. */
static const char *const turn_ends[] = {"<|eot_id|>",      "<|im_end|>",    "<|end|>",
                                        "<|endoftext|>",   "<end_of_turn>", "<turn|>",
                                        "<|end_of_text|>", "<|eom_id|>"};

static void add_end(struct sw_tokenizer *tok, int64_t id)
{
    if (id >= 0 && tok->n_ends < SW_ENDS_MAX && !sw_tokenizer_is_end(tok, (int32_t)id))
        tok->ends[tok->n_ends++] = (int32_t)id;
}

static void add_ends(struct sw_tokenizer *tok, const struct sw_token_table *table)
{
    add_end(tok, table->eos);
    add_end(tok, table->eot);
    for (size_t i = 0; i < sizeof turn_ends / sizeof turn_ends[0]; i++) {
        const struct sw_added_token *token =
            sw_added_find(&tok->added, turn_ends[i], strlen(turn_ends[i]));
        add_end(tok, token && token->special ? token->id : -1);
    }
}

static enum sw_status check_ids(const struct sw_token_table *table)
{
    const int64_t ids[] = {table->bos, table->eos, table->eot, table->unk};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (ids[i] < -1 || ids[i] >= (int64_t)table->n_tokens)
            return sw_fail(SW_EMODEL, "a special token has the id %lld, but ids are 0 to %zu",
                           (long long)ids[i], table->n_tokens - 1);
    return table->n_tokens <= SW_VOCAB_MAX
               ? SW_OK
               : sw_fail(SW_EMODEL, "%zu tokens, at most %d are supported", table->n_tokens,
                         SW_VOCAB_MAX);
}

static enum sw_status make_model(struct sw_tokenizer *tok, const struct sw_token_table *table)
{
    static const struct {
        const char *model;
        enum sw_status (*make)(struct sw_tokenizer *, const struct sw_token_table *);
    } makers[] = {{"llama", make_sentencepiece},
                  {"t5", make_unigram},
                  {"gpt2", make_byte_level},
                  {"gemma4", make_merged}};
    size_t i = 0;
    while (i < sizeof makers / sizeof makers[0] && strcmp(makers[i].model, table->model) != 0)
        i++;
    if (i == sizeof makers / sizeof makers[0])
        return sw_fail(SW_EMODEL,
                       "tokenizer '%.60s' is not supported; llama, t5, gpt2 and gemma4 are",
                       table->model);
    SW_TRY(makers[i].make(tok, table));
    tok->bos = (int32_t)table->bos;
    tok->eos = (int32_t)table->eos;
    tok->add_bos = table->add_bos >= 0 ? table->add_bos : tok->add_bos;
    tok->add_eos = table->add_eos >= 0 ? table->add_eos : tok->add_eos;
    add_ends(tok, table);
    return sw_tokenizer_finish(tok, NULL);
}

enum sw_status sw_tokenizer_make(const struct sw_token_table *table, struct sw_tokenizer **out)
{
    struct sw_tokenizer *tok;
    SW_TRY(sw_tokenizer_new(&tok));
    enum sw_status status = check_ids(table);
    if (status == SW_OK)
        status = make_model(tok, table);
    if (status == SW_OK)
        *out = tok;
    else
        sw_tokenizer_close(tok);
    return status;
}

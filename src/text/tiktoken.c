/*
 * Owns the reading of a tiktoken vocabulary, lines "base64 rank", as Meta published Llama 3's; and
 * the special tokens of that family, which are not in the file.
 */
#include "text/base64.h"
#include "text/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum sw_status read_tiktoken_line(struct sw_tokenizer *tok, const char *line, size_t n,
                                         size_t number, struct sw_strbuf *scratch)
{
    const char *space = memchr(line, ' ', n);
    int64_t rank = 0;
    bool good = space && space + 1 < line + n;
    for (const char *c = space; good && ++c < line + n;) {
        good = *c >= '0' && *c <= '9' && rank < SW_VOCAB_MAX;
        rank = rank * 10 + (*c - '0');
    }
    scratch->length = 0;
    if (!good || !sw_base64_decode(line, (size_t)(space - line), scratch))
        return sw_fail(SW_EMODEL, "line %zu is not \"base64 rank\": \"%.*s\"", number,
                       (int)(n < 40 ? n : 40), line);
    return sw_vocab_set(&tok->vocab, rank, scratch->text, scratch->length, false);
}

static enum sw_status read_tiktoken_lines(struct sw_tokenizer *tok, const char *bytes, size_t n,
                                          struct sw_strbuf *scratch)
{
    size_t number = 0;
    for (const char *at = bytes, *end = bytes + n; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = newline ? (size_t)(newline - at) : (size_t)(end - at);
        const char *next = newline ? newline + 1 : end;
        if (length > 0 && at[length - 1] == '\r')
            length--;
        number++;
        if (length > 0)
            SW_TRY(read_tiktoken_line(tok, at, length, number, scratch));
        at = next;
    }
    return SW_OK;
}

enum sw_status sw_add_llama3_specials(struct sw_tokenizer *tok, int32_t base)
{
    static const struct {
        int offset;
        const char *name;
    } named[] = {
        {0, "<|begin_of_text|>"},   {1, "<|end_of_text|>"},   {4, "<|finetune_right_pad_id|>"},
        {6, "<|start_header_id|>"}, {7, "<|end_header_id|>"}, {8, "<|eom_id|>"},
        {9, "<|eot_id|>"},          {10, "<|python_tag|>"},
    };
    int reserved = 0;
    for (int offset = 0; offset < 256; offset++) {
        char name[40] = "";
        for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
            if (named[i].offset == offset)
                snprintf(name, sizeof name, "%s", named[i].name);
        if (!name[0])
            snprintf(name, sizeof name, "<|reserved_special_token_%d|>", reserved++);
        SW_TRY(sw_added_put(&tok->added, &(struct sw_added_token){.id = base + offset,
                                                                  .content = name,
                                                                  .length = strlen(name),
                                                                  .special = true}));
    }
    tok->bos = base;
    tok->eos = base + 1;
    tok->ends[0] = base + 1;
    tok->ends[1] = base + 8;
    tok->ends[2] = base + 9;
    tok->n_ends = 3;
    tok->add_bos = true;
    return SW_OK;
}

enum sw_status sw_read_tiktoken(struct sw_tokenizer *tok, const char *bytes, size_t n)
{
    struct sw_strbuf scratch = {0};
    const enum sw_status status = read_tiktoken_lines(tok, bytes, n, &scratch);
    sw_strbuf_free(&scratch);
    SW_TRY(status);
    SW_TRY(sw_vocab_index(&tok->vocab));
    sw_find_byte_pieces(tok, false);
    for (int byte = 0; byte < 256; byte++)
        if (tok->bpe.byte_id[byte] < 0)
            return sw_fail(SW_EMODEL, "tiktoken vocabulary: byte 0x%02X has no piece; all 256 must",
                           (unsigned)byte);
    const size_t count = tok->vocab.count;
    tok->bpe.ranks = malloc(count * sizeof *tok->bpe.ranks);
    if (!tok->bpe.ranks)
        return sw_fail(SW_ENOMEM, "no memory for %zu ranks", count);
    tok->bpe.n_ranks = count;
    for (size_t i = 0; i < count; i++)
        tok->bpe.ranks[i] = (uint32_t)i;
    tok->bpe.bytes = true;
    tok->bpe.ignore_merges = true;
    tok->decoder.byte_level = true;
    SW_TRY(sw_pretokenizer_add_split(&tok->pre, sw_pattern_llama3));
    return sw_add_llama3_specials(tok, (int32_t)count);
}

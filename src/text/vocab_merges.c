/* Owns the older form of a byte-level BPE tokenizer: vocab.json and merges.txt. */
#include "text/json_scan.h"
#include "text/tokenizer_impl.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LLAMA3_BASE 128000

static const struct sw_default_token gpt2_usual[] = {{"bos_token", "<|endoftext|>"},
                                                     {"eos_token", "<|endoftext|>"},
                                                     {"unk_token", "<|endoftext|>"},
                                                     {0}};
static const struct sw_default_token qwen_usual[] = {{"eos_token", "<|endoftext|>"},
                                                     {"unk_token", "<|endoftext|>"},
                                                     {"pad_token", "<|endoftext|>"},
                                                     {0}};
static const struct sw_default_token neox_usual[] = {{"bos_token", "<|endoftext|>"},
                                                     {"eos_token", "<|endoftext|>"},
                                                     {"unk_token", "<|endoftext|>"},
                                                     {"pad_token", "<|padding|>"},
                                                     {0}};

/*
 * The two files state neither how a text is split nor which tokens are special; the family does.
 * Its usual tokens are the defaults of the class that transformers has for it, no others are
 * special unless one of the other files states it.
 */
static const struct family {
    const char *name; /* begins model_type or tokenizer_class, any case */
    const char *pattern;
    const struct sw_default_token *usual;
    bool nfc, ignore_merges, add_bos, plain_specials;
} families[] = {
    {"qwen", sw_pattern_qwen, qwen_usual, true, false, false, true},
    {"llama", sw_pattern_llama3, NULL, false, true, true, false},
    {"opt", sw_pattern_gpt2, gpt2_usual, false, false, true, false},
    {"gpt_neox", sw_pattern_gpt2, neox_usual, true, false, false, false},
    {"", sw_pattern_gpt2, gpt2_usual, false, false, false, false},
};

static const struct family *find_family(const struct sw_text_config *config)
{
    const char *names[2] = {NULL, NULL};
    if (config) {
        names[0] = json_string_value(json_object_get(config->model, "model_type"));
        names[1] = json_string_value(json_object_get(config->tokenizer, "tokenizer_class"));
    }
    const struct family *family = families;
    for (; family->name[0]; family++)
        for (int i = 0; i < 2; i++)
            if (names[i] && strncasecmp(names[i], family->name, strlen(family->name)) == 0)
                return family;
    return family;
}

static enum sw_status read_vocab(struct sw_tokenizer *tok, const char *bytes, size_t n)
{
    struct sw_json_scan scan;
    struct sw_strbuf scratch = {0};
    const char *piece;
    size_t length;
    int64_t id;
    bool more;
    sw_json_scan_begin(&scan, bytes, n);
    enum sw_status status = sw_json_scan_enter(&scan, '{');
    while (status == SW_OK && (status = sw_json_scan_next(&scan, '{', &more)) == SW_OK && more) {
        if ((status = sw_json_scan_key(&scan, &piece, &length)) == SW_OK &&
            (status = sw_json_scan_integer(&scan, &id)) == SW_OK)
            status = sw_set_byte_piece(tok, id, piece, length, &scratch);
    }
    if (status == SW_OK)
        status = sw_json_scan_end(&scan);
    sw_strbuf_free(&scratch);
    sw_json_scan_free(&scan);
    return status == SW_OK ? sw_vocab_index(&tok->vocab) : status;
}

static enum sw_status read_merge(struct sw_tokenizer *tok, const char *line, size_t n,
                                 struct sw_strbuf scratch[3])
{
    const char *space = memchr(line, ' ', n);
    if (!space)
        return sw_fail(SW_EMODEL, "merges: \"%.*s\" is not two pieces with a space between",
                       (int)(n < 64 ? n : 64), line);
    const size_t left = (size_t)(space - line);
    return sw_add_text_merge(tok, line, left, space + 1, n - left - 1, scratch);
}

static enum sw_status read_merges(struct sw_tokenizer *tok, const char *bytes, size_t n,
                                  struct sw_strbuf scratch[3])
{
    const char *end = bytes + n;
    SW_TRY(sw_bpe_reserve_merges(&tok->bpe, tok->vocab.count));
    for (const char *at = bytes; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        size_t length = (size_t)(stop - at);
        if (length > 0 && at[length - 1] == '\r')
            length--;
        const bool version = length >= 8 && memcmp(at, "#version", 8) == 0;
        if (length > 0 && !(at == bytes && version))
            SW_TRY(read_merge(tok, at, length, scratch));
        at = newline ? newline + 1 : end;
    }
    return SW_OK;
}

/* fairseq's dictionaries begin <s> <pad> </s> <unk>: OPT, whose texts begin with </s>. */
static bool is_fairseq(const struct sw_tokenizer *tok)
{
    static const char *const first[] = {"<s>", "<pad>", "</s>", "<unk>"};
    for (int32_t id = 0; id < 4; id++)
        if (sw_vocab_find(&tok->vocab, first[id], strlen(first[id])) != id)
            return false;
    return true;
}

enum sw_status sw_read_vocab_merges(struct sw_tokenizer *tok, const char *vocab, size_t vocab_n,
                                    const char *merges, size_t merges_n,
                                    const struct sw_text_config *config)
{
    const struct family *family = find_family(config);
    struct sw_strbuf scratch[3] = {{0}};
    tok->pre.byte_level = false;
    SW_TRY(sw_pretokenizer_add_split(&tok->pre, family->pattern));
    tok->pre.byte_level = true;
    if (family->nfc)
        SW_TRY(sw_normalizer_add_nfc(&tok->normalizer));
    enum sw_status status = read_vocab(tok, vocab, vocab_n);
    if (status != SW_OK) {
        sw_error_context("vocab.json");
        return status;
    }
    status = read_merges(tok, merges, merges_n, scratch);
    for (size_t i = 0; i < 3; i++)
        sw_strbuf_free(&scratch[i]);
    if (status != SW_OK) {
        sw_error_context("merges.txt");
        return status;
    }
    tok->bpe.bytes = true;
    tok->bpe.ignore_merges = family->ignore_merges;
    tok->add_bos = family->add_bos;
    tok->decoder.byte_level = true;
    sw_find_byte_pieces(tok, false);
    if (strcmp(family->name, "llama") == 0 && tok->vocab.count == LLAMA3_BASE)
        return sw_add_llama3_specials(tok, LLAMA3_BASE);
    tok->usual = family->usual;
    tok->plain_specials = family->plain_specials;
    if (is_fairseq(tok)) {
        tok->bos = tok->eos = 2;
        tok->add_bos = true;
    }
    return SW_OK;
}

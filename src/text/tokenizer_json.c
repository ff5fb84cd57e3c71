/*
 * Owns the reading of tokenizer.json (Hugging Face tokenizers) with a BPE or Unigram model, and
 * what the vocab.json + merges.txt form shares with it.
 */
#include "base/json.h"
#include "text/bytes.h"
#include "text/json_scan.h"
#include "text/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

/* The members of the file and of its "model" that are read. */
struct sections {
    struct sw_json_range normalizer, pre_tokenizer, post_processor, decoder, added_tokens, model;
    struct sw_json_range type, vocab, merges, unk_token, unk_id, fuse_unk, byte_fallback,
        ignore_merges, prefix, suffix;
};

struct section_member {
    const char *name;
    size_t offset;
};

static const struct section_member top_members[] = {
    {"normalizer", offsetof(struct sections, normalizer)},
    {"pre_tokenizer", offsetof(struct sections, pre_tokenizer)},
    {"post_processor", offsetof(struct sections, post_processor)},
    {"decoder", offsetof(struct sections, decoder)},
    {"added_tokens", offsetof(struct sections, added_tokens)},
    {"model", offsetof(struct sections, model)},
    {NULL, 0},
};
static const struct section_member model_members[] = {
    {"type", offsetof(struct sections, type)},
    {"vocab", offsetof(struct sections, vocab)},
    {"merges", offsetof(struct sections, merges)},
    {"unk_token", offsetof(struct sections, unk_token)},
    {"unk_id", offsetof(struct sections, unk_id)},
    {"fuse_unk", offsetof(struct sections, fuse_unk)},
    {"byte_fallback", offsetof(struct sections, byte_fallback)},
    {"ignore_merges", offsetof(struct sections, ignore_merges)},
    {"continuing_subword_prefix", offsetof(struct sections, prefix)},
    {"end_of_word_suffix", offsetof(struct sections, suffix)},
    {NULL, 0},
};

/* Notes where the known members of one object lie. */
static enum sw_status find_members(const char *bytes, size_t n,
                                   const struct section_member *members, struct sections *sections)
{
    struct sw_json_scan scan;
    const char *name;
    size_t name_n;
    bool more;
    sw_json_scan_begin(&scan, bytes, n);
    enum sw_status status = sw_json_scan_enter(&scan, '{');
    while (status == SW_OK && (status = sw_json_scan_next(&scan, '{', &more)) == SW_OK && more) {
        struct sw_json_range range, *known = NULL;
        if ((status = sw_json_scan_key(&scan, &name, &name_n)) != SW_OK)
            break;
        for (const struct section_member *m = members; m->name; m++)
            if (strlen(m->name) == name_n && memcmp(m->name, name, name_n) == 0)
                known = (struct sw_json_range *)(void *)((char *)sections + m->offset);
        status = sw_json_scan_skip(&scan, known ? known : &range);
    }
    if (status == SW_OK)
        status = sw_json_scan_end(&scan);
    sw_json_scan_free(&scan);
    return status;
}

enum sw_status sw_set_byte_piece(struct sw_tokenizer *tok, int64_t id, const char *piece, size_t n,
                                 struct sw_strbuf *scratch)
{
    if (!sw_bytes_of_piece(piece, n, scratch))
        return sw_vocab_set(&tok->vocab, id, piece, n, true);
    return sw_vocab_set(&tok->vocab, id, scratch->text, scratch->length, false);
}

static enum sw_status read_vocab(struct sw_tokenizer *tok, const struct sw_json_range *range)
{
    struct sw_json_scan scan;
    struct sw_strbuf scratch = {0};
    const char *piece;
    size_t n;
    int64_t id;
    bool more;
    sw_json_scan_begin(&scan, range->bytes, range->length);
    enum sw_status status = sw_json_scan_enter(&scan, '{');
    while (status == SW_OK && (status = sw_json_scan_next(&scan, '{', &more)) == SW_OK && more) {
        if ((status = sw_json_scan_key(&scan, &piece, &n)) != SW_OK ||
            (status = sw_json_scan_integer(&scan, &id)) != SW_OK)
            break;
        status = tok->pre.byte_level ? sw_set_byte_piece(tok, id, piece, n, &scratch)
                                     : sw_vocab_set(&tok->vocab, id, piece, n, false);
    }
    sw_strbuf_free(&scratch);
    sw_json_scan_free(&scan);
    return status;
}

enum sw_status sw_add_text_merge(struct sw_tokenizer *tok, const char *left, size_t left_n,
                                 const char *right, size_t right_n, struct sw_strbuf scratch[3])
{
    bool known = left_n > 0 && right_n > 0;
    const char *parts[2] = {left, right};
    size_t lengths[2] = {left_n, right_n};
    for (size_t i = 0; known && tok->pre.byte_level && i < 2; i++) {
        known = sw_bytes_of_piece(parts[i], lengths[i], &scratch[i]);
        parts[i] = scratch[i].text;
        lengths[i] = scratch[i].length;
    }
    if (known) {
        struct sw_strbuf *both = &scratch[2];
        both->length = 0;
        sw_strbuf_append(both, parts[0], lengths[0]);
        sw_strbuf_append(both, parts[1], lengths[1]);
        if (both->failed)
            return sw_fail(SW_ENOMEM, "no memory for a merge");
        const int32_t a = sw_vocab_find(&tok->vocab, parts[0], lengths[0]);
        const int32_t b = sw_vocab_find(&tok->vocab, parts[1], lengths[1]);
        const int32_t next = tok->bpe.last_merged + 1;
        const int32_t id = sw_vocab_is(&tok->vocab, next, both->text, both->length)
                               ? next
                               : sw_vocab_find(&tok->vocab, both->text, both->length);
        if (a >= 0 && b >= 0 && id >= 0)
            return sw_bpe_add_merge(&tok->bpe, a, b, id);
    }
    return sw_fail(SW_EMODEL,
                   "merge %zu, \"%.*s\" with \"%.*s\": the parts or the whole are not in the "
                   "vocabulary; do the files belong together?",
                   tok->bpe.n_merges, (int)(left_n < 64 ? left_n : 64), left,
                   (int)(right_n < 64 ? right_n : 64), right);
}

/* "a b" or ["a", "b"]. */
static enum sw_status read_merge(struct sw_tokenizer *tok, struct sw_json_scan *scan,
                                 struct sw_strbuf scratch[3])
{
    const char *left, *right;
    size_t left_n, right_n;
    bool more;
    if (sw_json_scan_peek(scan) == '"') {
        SW_TRY(sw_json_scan_string(scan, &left, &left_n));
        right = memchr(left, ' ', left_n);
        if (!right)
            return sw_fail(SW_EMODEL, "merge %zu, \"%.*s\", is not two pieces with a space between",
                           tok->bpe.n_merges, (int)(left_n < 64 ? left_n : 64), left);
        right_n = left_n - (size_t)(++right - left);
        left_n -= right_n + 1;
        return sw_add_text_merge(tok, left, left_n, right, right_n, scratch);
    }
    SW_TRY(sw_json_scan_enter(scan, '['));
    SW_TRY(sw_json_scan_next(scan, '[', &more));
    SW_TRY(sw_json_scan_string(scan, &left, &left_n));
    SW_TRY(sw_json_scan_next(scan, '[', &more));
    SW_TRY(sw_json_scan_string(scan, &right, &right_n));
    SW_TRY(sw_json_scan_next(scan, '[', &more));
    if (more)
        return sw_fail(SW_EMODEL, "merge %zu has more than two pieces", tok->bpe.n_merges);
    return sw_add_text_merge(tok, left, left_n, right, right_n, scratch);
}

static enum sw_status read_merges(struct sw_tokenizer *tok, const struct sw_json_range *range)
{
    struct sw_json_scan scan;
    struct sw_strbuf scratch[3] = {{0}};
    bool more;
    enum sw_status status = sw_bpe_reserve_merges(&tok->bpe, tok->vocab.count);
    sw_json_scan_begin(&scan, range->bytes, range->length);
    if (status == SW_OK)
        status = sw_json_scan_enter(&scan, '[');
    while (status == SW_OK && (status = sw_json_scan_next(&scan, '[', &more)) == SW_OK && more)
        status = read_merge(tok, &scan, scratch);
    for (size_t i = 0; i < 3; i++)
        sw_strbuf_free(&scratch[i]);
    sw_json_scan_free(&scan);
    return status;
}

static enum sw_status read_added(struct sw_tokenizer *tok, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i), *content = json_object_get(entry, "content");
        const json_t *id = json_object_get(entry, "id");
        const json_int_t value = json_integer_value(id);
        if (!json_is_string(content) || !json_is_integer(id) || value < 0 || value >= SW_VOCAB_MAX)
            return sw_fail(SW_EMODEL,
                           "added_tokens[%zu]: needs a \"content\" and an \"id\" below %d", i,
                           SW_VOCAB_MAX);
        const bool special = json_is_true(json_object_get(entry, "special"));
        const json_t *normalized = json_object_get(entry, "normalized");
        char *text = (char *)(uintptr_t)json_string_value(content);
        SW_TRY(sw_added_put(
            &tok->added, &(struct sw_added_token){
                             .id = (int32_t)value,
                             .content = text,
                             .length = json_string_length(content),
                             .special = special,
                             .normalized = normalized ? json_is_true(normalized) : !special,
                             .lstrip = json_is_true(json_object_get(entry, "lstrip")),
                             .rstrip = json_is_true(json_object_get(entry, "rstrip")),
                             .single_word = json_is_true(json_object_get(entry, "single_word"))}));
    }
    return SW_OK;
}

/* One entry of TemplateProcessing's "single" list. */
static enum sw_status read_template_part(struct sw_tokenizer *tok, const json_t *json,
                                         const json_t *part, bool *behind)
{
    const json_t *special = json_object_get(part, "SpecialToken");
    if (!special) {
        *behind = true;
        return SW_OK;
    }
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *ids = json_object_get(
        json_object_get(json_object_get(json, "special_tokens"), name ? name : ""), "ids");
    struct sw_affix *affix = *behind ? &tok->suffix : &tok->prefix;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_int_t id = json_integer_value(json_array_get(ids, i));
        if (affix->count == SW_AFFIX_MAX || id < 0 || id >= SW_VOCAB_MAX)
            return sw_fail(SW_EMODEL, "post_processor: more than %d special tokens, or a bad id",
                           SW_AFFIX_MAX);
        affix->ids[affix->count++] = (int32_t)id;
    }
    return SW_OK;
}

static enum sw_status read_post_processor(struct sw_tokenizer *tok, const json_t *json, int depth)
{
    if (!json || json_is_null(json))
        return SW_OK;
    const char *type = json_string_value(json_object_get(json, "type"));
    if (type && strcmp(type, "ByteLevel") == 0)
        return SW_OK;
    if (type && strcmp(type, "Sequence") == 0 && depth < 4) {
        const json_t *list = json_object_get(json, "processors");
        for (size_t i = 0; i < json_array_size(list); i++)
            SW_TRY(read_post_processor(tok, json_array_get(list, i), depth + 1));
        return SW_OK;
    }
    if (type && strcmp(type, "TemplateProcessing") == 0) {
        const json_t *single = json_object_get(json, "single");
        bool behind = false;
        tok->prefix.count = tok->suffix.count = 0;
        for (size_t i = 0; i < json_array_size(single); i++)
            SW_TRY(read_template_part(tok, json, json_array_get(single, i), &behind));
        return SW_OK;
    }
    return sw_fail(SW_EMODEL,
                   "post_processor \"%.40s\" is not supported; TemplateProcessing, ByteLevel and "
                   "Sequence are",
                   type ? type : "(no type)");
}

static enum sw_status set_decoder_space(struct sw_tokenizer *tok, const json_t *mark)
{
    const size_t n = json_string_length(mark);
    if (n == 0 || n >= sizeof tok->decoder.space)
        return sw_fail(SW_EMODEL, "decoder: what stands for a space is not one character");
    memcpy(tok->decoder.space, json_string_value(mark), n + 1);
    return SW_OK;
}

static enum sw_status read_metaspace_decoder(struct sw_tokenizer *tok, const json_t *json)
{
    const char *scheme = json_string_value(json_object_get(json, "prepend_scheme"));
    tok->decoder.strip = !(scheme && strcmp(scheme, "never") == 0) &&
                         !json_is_false(json_object_get(json, "add_prefix_space"));
    return set_decoder_space(tok, json_object_get(json, "replacement"));
}

static enum sw_status read_replace_decoder(struct sw_tokenizer *tok, const json_t *json)
{
    const json_t *mark = json_object_get(json_object_get(json, "pattern"), "String");
    const char *content = json_string_value(json_object_get(json, "content"));
    if (!content || strcmp(content, " ") != 0)
        return sw_fail(SW_EMODEL, "decoder Replace is only supported from a String to a space");
    return set_decoder_space(tok, mark);
}

static enum sw_status read_strip_decoder(struct sw_tokenizer *tok, const json_t *json)
{
    const char *content = json_string_value(json_object_get(json, "content"));
    int64_t start, stop;
    if (!content || strcmp(content, " ") != 0 ||
        !sw_json_integer(json_object_get(json, "start"), 0, 1, &start) ||
        !sw_json_integer(json_object_get(json, "stop"), 0, 0, &stop))
        return sw_fail(SW_EMODEL, "decoder Strip is only supported for one leading space");
    tok->decoder.strip = start == 1;
    return SW_OK;
}

static enum sw_status read_byte_level_decoder(struct sw_tokenizer *tok, const json_t *json)
{
    (void)json;
    tok->decoder.byte_level = true;
    return SW_OK;
}

static enum sw_status read_byte_fallback_decoder(struct sw_tokenizer *tok, const json_t *json)
{
    (void)json;
    tok->decoder.byte_fallback = true;
    return SW_OK;
}

static enum sw_status read_fuse_decoder(struct sw_tokenizer *tok, const json_t *json)
{
    (void)tok;
    (void)json;
    return SW_OK;
}

static const struct {
    const char *type;
    enum sw_status (*read)(struct sw_tokenizer *, const json_t *);
} decoders[] = {
    {"ByteLevel", read_byte_level_decoder},
    {"Metaspace", read_metaspace_decoder},
    {"Replace", read_replace_decoder},
    {"ByteFallback", read_byte_fallback_decoder},
    {"Fuse", read_fuse_decoder},
    {"Strip", read_strip_decoder},
};

static enum sw_status read_decoder(struct sw_tokenizer *tok, const json_t *json, int depth)
{
    if (!json || json_is_null(json))
        return SW_OK;
    const char *type = json_string_value(json_object_get(json, "type"));
    if (type && strcmp(type, "Sequence") == 0 && depth < 4) {
        const json_t *list = json_object_get(json, "decoders");
        for (size_t i = 0; i < json_array_size(list); i++)
            SW_TRY(read_decoder(tok, json_array_get(list, i), depth + 1));
        return SW_OK;
    }
    for (size_t i = 0; type && i < sizeof decoders / sizeof decoders[0]; i++)
        if (strcmp(decoders[i].type, type) == 0)
            return decoders[i].read(tok, json);
    return sw_fail(SW_EMODEL,
                   "decoder \"%.40s\" is not supported; ByteLevel, Metaspace, Replace, "
                   "ByteFallback, Fuse, Strip and Sequence are",
                   type ? type : "(no type)");
}

/* Parses one section with jansson and hands it to its reader. */
#define WITH_SECTION(sections, name, expression)                                                   \
    do {                                                                                           \
        json_t *json;                                                                              \
        SW_TRY(sw_json_parse(&(sections)->name, #name, &json));                                    \
        const enum sw_status section_status = (expression);                                        \
        json_decref(json);                                                                         \
        if (section_status != SW_OK)                                                               \
            return section_status;                                                                 \
    } while (0)

static enum sw_status read_flag(const struct sw_json_range *range, const char *name, bool *flag)
{
    json_t *json;
    SW_TRY(sw_json_parse(range, name, &json));
    *flag = json_is_true(json);
    json_decref(json);
    return SW_OK;
}

static enum sw_status refuse_affix(const json_t *json, const char *name)
{
    if (json_string_length(json) == 0)
        return SW_OK;
    return sw_fail(SW_EMODEL, "BPE with %s \"%.40s\" is not supported", name,
                   json_string_value(json));
}

static enum sw_status find_unk(struct sw_tokenizer *tok, const json_t *json)
{
    if (!json_is_string(json))
        return SW_OK;
    tok->bpe.unk = sw_tokenizer_find(tok, json_string_value(json), json_string_length(json));
    return SW_OK;
}

static enum sw_status read_bpe_model(struct sw_tokenizer *tok, struct sections *sections)
{
    WITH_SECTION(sections, prefix, refuse_affix(json, "continuing_subword_prefix"));
    WITH_SECTION(sections, suffix, refuse_affix(json, "end_of_word_suffix"));
    if (!sections->vocab.bytes || !sections->merges.bytes)
        return sw_fail(SW_EMODEL, "the BPE model has no \"%s\"",
                       sections->vocab.bytes ? "merges" : "vocab");
    bool fallback;
    SW_TRY(read_flag(&sections->fuse_unk, "fuse_unk", &tok->bpe.fuse_unk));
    SW_TRY(read_flag(&sections->ignore_merges, "ignore_merges", &tok->bpe.ignore_merges));
    SW_TRY(read_flag(&sections->byte_fallback, "byte_fallback", &fallback));
    SW_TRY(read_vocab(tok, &sections->vocab));
    /* No text may spell a special token, not even one that is a piece by itself. */
    for (size_t i = 0; tok->bpe.ignore_merges && i < tok->added.count; i++)
        if (tok->added.items[i].special && (size_t)tok->added.items[i].id < tok->vocab.count)
            tok->vocab.pieces[tok->added.items[i].id].hidden = 1;
    SW_TRY(sw_vocab_index(&tok->vocab));
    WITH_SECTION(sections, unk_token, find_unk(tok, json));
    SW_TRY(read_merges(tok, &sections->merges));
    tok->bpe.bytes = tok->pre.byte_level;
    tok->bpe.byte_fallback = fallback && !tok->bpe.bytes;
    sw_find_byte_pieces(tok, !tok->bpe.bytes);
    /* A piece of text that is taken whole could hold several words. */
    return tok->bpe.bytes || tok->bpe.ignore_merges ? SW_OK : sw_bpe_find_joints(&tok->bpe);
}

static enum sw_status read_unigram_model(struct sw_tokenizer *tok, struct sections *sections)
{
    bool fallback;
    if (tok->pre.byte_level)
        return sw_fail(SW_EMODEL, "Unigram with pre_tokenizer ByteLevel is not supported");
    SW_TRY(read_flag(&sections->byte_fallback, "byte_fallback", &fallback));
    return sw_read_unigram(tok, &sections->vocab, &sections->unk_id, fallback);
}

static const struct model_kind {
    const char *type;
    enum sw_status (*read)(struct sw_tokenizer *, struct sections *);
} model_kinds[] = {{"BPE", read_bpe_model}, {"Unigram", read_unigram_model}};

static enum sw_status find_model_kind(const json_t *json, const struct model_kind **kind)
{
    const char *type = json ? json_string_value(json) : "BPE"; /* old files do not state it */
    for (size_t i = 0; type && i < sizeof model_kinds / sizeof model_kinds[0]; i++)
        if (strcmp(type, model_kinds[i].type) == 0) {
            *kind = &model_kinds[i];
            return SW_OK;
        }
    return sw_fail(SW_EMODEL, "tokenizer model \"%.40s\" is not supported; BPE and Unigram are",
                   type ? type : "(no type)");
}

enum sw_status sw_read_tokenizer_json(struct sw_tokenizer *tok, const char *bytes, size_t n)
{
    struct sections sections = {0};
    const struct model_kind *kind = NULL;
    SW_TRY(find_members(bytes, n, top_members, &sections));
    if (!sections.model.bytes)
        return sw_fail(SW_EMODEL, "it has no \"model\"; is this a tokenizer.json?");
    SW_TRY(find_members(sections.model.bytes, sections.model.length, model_members, &sections));
    WITH_SECTION(&sections, type, find_model_kind(json, &kind));
    WITH_SECTION(&sections, normalizer, sw_normalizer_parse(&tok->normalizer, json));
    WITH_SECTION(&sections, pre_tokenizer, sw_pretokenizer_parse(&tok->pre, json));
    WITH_SECTION(&sections, post_processor, read_post_processor(tok, json, 0));
    WITH_SECTION(&sections, decoder, read_decoder(tok, json, 0));
    WITH_SECTION(&sections, added_tokens, read_added(tok, json));
    SW_TRY(kind->read(tok, &sections));
    if (tok->pre.byte_level)
        tok->decoder = (struct sw_decoder){.byte_level = true};
    else if (tok->decoder.byte_level)
        return sw_fail(SW_EMODEL, "decoder ByteLevel without pre_tokenizer ByteLevel is not "
                                  "supported");
    else if (!tok->decoder.space[0] && !tok->decoder.byte_fallback)
        return sw_fail(SW_EMODEL, "it has no decoder that turns its pieces into text; ByteLevel, "
                                  "Metaspace or Replace is needed");
    return SW_OK;
}

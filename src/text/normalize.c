/* Owns the normalisation steps: a table of kinds, each from bytes to bytes. */
#include "text/normalize.h"

#include "base/utf8.h"
#include "text/base64.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define SPACE_PIECE "\xE2\x96\x81" /* U+2581, SentencePiece's visible space */
#define MARKS_MAX 1024             /* of a run of combining marks that are ordered together */

struct sw_normalize_step {
    const struct normalize_kind *kind;
    utf8proc_option_t form;
    struct sw_strbuf content; /* the text to insert (Replace, Prepend) */
    struct sw_strbuf pattern; /* the text to replace (Replace by String) */
    struct sw_regex *regex;   /* the pattern to replace (Replace by Regex) */
    bool left, right;         /* Strip */
    bool begins;              /* of the text at hand: nothing lies before it */
    struct sw_sentencepiece_rules rules;
};

typedef enum sw_status run_step(struct sw_normalize_step *, const char *, size_t,
                                struct sw_strbuf *);

struct normalize_kind {
    const char *type;
    enum sw_status (*parse)(struct sw_normalize_step *, const json_t *);
    run_step *run;
    utf8proc_option_t form;
};

static enum sw_status normalize_out_of_memory(void)
{
    return sw_fail(SW_ENOMEM, "no memory to normalise a text");
}

/*
 * Where a text may be cut so that both parts normalise by themselves: before a character that no
 * form changes, and before a run of marks gets longer than MARKS_MAX, whose ordering would take
 * quadratic time.
 */
static size_t normal_chunk(const char *text, size_t n)
{
    size_t marks = 0;
    int length;
    for (size_t i = 0; i < n; i += (size_t)length) {
        const uint32_t c = sw_utf8_decode(text + i, &length);
        if (sw_unicode_is_inert(c))
            return i;
        if (c < 0x300 || utf8proc_get_property((utf8proc_int32_t)c)->combining_class == 0)
            marks = 0;
        else if (++marks > MARKS_MAX)
            return i;
    }
    return n;
}

/* The bytes at the beginning of text that are characters which no form changes. */
static size_t inert_chunk(const char *text, size_t n)
{
    size_t i = 0;
    int length;
    for (; i < n && sw_unicode_is_inert(sw_utf8_decode(text + i, &length)); i += (size_t)length)
        ;
    return i;
}

static bool is_below_u0300(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] >= 0xCC) /* leads U+0300 and above */
            return false;
    return true;
}

static bool is_ascii(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] & 0x80)
            return false;
    return true;
}

static enum sw_status run_form(struct sw_normalize_step *step, const char *text, size_t n,
                               struct sw_strbuf *out)
{
    const bool nfc = step->form == UTF8PROC_COMPOSE;
    if (nfc ? is_below_u0300(text, n) : is_ascii(text, n)) {
        sw_strbuf_append(out, text, n);
        return SW_OK;
    }
    for (size_t chunk; n > 0; text += chunk, n -= chunk) {
        utf8proc_uint8_t *mapped = NULL;
        if ((chunk = inert_chunk(text, n)) > 0) {
            sw_strbuf_append(out, text, chunk);
            continue;
        }
        chunk = normal_chunk(text, n);
        const utf8proc_ssize_t length =
            utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)chunk, &mapped,
                         (utf8proc_option_t)(UTF8PROC_STABLE | step->form));
        if (length < 0)
            return sw_fail(SW_EINPUT, "normalising a text: %s", utf8proc_errmsg(length));
        sw_strbuf_append(out, (const char *)mapped, (size_t)length);
        free(mapped);
    }
    return SW_OK;
}

static enum sw_status run_lowercase(struct sw_normalize_step *step, const char *text, size_t n,
                                    struct sw_strbuf *out)
{
    (void)step;
    int length;
    char bytes[4];
    uint32_t lower[2];
    for (size_t i = 0; i < n; i += (size_t)length) {
        const int count = sw_unicode_lower(sw_utf8_decode(text + i, &length), lower);
        for (int k = 0; k < count; k++)
            sw_strbuf_append(out, bytes, (size_t)sw_utf8_encode(lower[k], bytes));
    }
    return SW_OK;
}

static enum sw_status replace_regex(struct sw_normalize_step *step, const char *text, size_t n,
                                    struct sw_strbuf *out)
{
    size_t from = 0, copied = 0;
    while (from <= n) {
        bool found;
        size_t start, end;
        SW_TRY(sw_regex_next(step->regex, text, n, from, &found, &start, &end));
        if (!found)
            break;
        sw_strbuf_append(out, text + copied, start - copied);
        sw_strbuf_append(out, step->content.text, step->content.length);
        copied = end;
        from = end;
        if (end == start) { /* past one character, so that an empty match is not met again */
            int length = 1;
            if (end < n)
                sw_utf8_decode(text + end, &length);
            from = end + (size_t)length;
        }
    }
    sw_strbuf_append(out, text + copied, n - copied);
    return SW_OK;
}

static enum sw_status run_replace(struct sw_normalize_step *step, const char *text, size_t n,
                                  struct sw_strbuf *out)
{
    if (step->regex)
        return replace_regex(step, text, n, out);
    for (;;) {
        const char *hit = memmem(text, n, step->pattern.text, step->pattern.length);
        if (!hit)
            break;
        sw_strbuf_append(out, text, (size_t)(hit - text));
        sw_strbuf_append(out, step->content.text, step->content.length);
        n -= (size_t)(hit - text) + step->pattern.length;
        text = hit + step->pattern.length;
    }
    sw_strbuf_append(out, text, n);
    return SW_OK;
}

static enum sw_status run_prepend(struct sw_normalize_step *step, const char *text, size_t n,
                                  struct sw_strbuf *out)
{
    if (n > 0)
        sw_strbuf_append(out, step->content.text, step->content.length);
    sw_strbuf_append(out, text, n);
    return SW_OK;
}

static enum sw_status run_strip(struct sw_normalize_step *step, const char *text, size_t n,
                                struct sw_strbuf *out)
{
    int length;
    while (step->left && n > 0 && sw_utf8_is_space(sw_utf8_decode(text, &length))) {
        text += length;
        n -= (size_t)length;
    }
    while (step->right && n > 0) {
        size_t last = n - 1;
        while (last > 0 && ((unsigned char)text[last] & 0xC0) == 0x80)
            last--;
        if (!sw_utf8_is_space(sw_utf8_decode(text + last, &length)))
            break;
        n = last;
    }
    sw_strbuf_append(out, text, n);
    return SW_OK;
}

/* What the text's next characters become, and how many bytes they are. */
static size_t next_normalized(const struct sw_sentencepiece_rules *rules, const char *text,
                              size_t n, const char **becomes, size_t *becomes_n)
{
    int32_t id;
    int length;
    size_t taken = rules->whole ? sw_trie_longest(rules->whole, text, n, &id) : 0;
    *becomes = text;
    *becomes_n = taken;
    if (taken > 0)
        return taken;
    taken = sw_charsmap_longest(&rules->charsmap, text, n, becomes);
    if (taken > 0) {
        *becomes_n = strlen(*becomes);
        return taken;
    }
    sw_utf8_decode(text, &length);
    *becomes_n = (size_t)length;
    return *becomes_n;
}

static void append_escaped(const struct sw_sentencepiece_rules *rules, const char *text, size_t n,
                           struct sw_strbuf *out)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] == ' ' && rules->escape_whitespaces)
            sw_strbuf_append(out, SPACE_PIECE, 3);
        else
            sw_strbuf_append(out, text + i, 1);
}

static enum sw_status run_sentencepiece(struct sw_normalize_step *step, const char *text, size_t n,
                                        struct sw_strbuf *out)
{
    const struct sw_sentencepiece_rules *rules = &step->rules;
    const char *becomes;
    size_t becomes_n, taken;
    const bool squeeze = rules->remove_extra_whitespaces;
    const size_t before = out->length;
    const bool prefix =
        rules->prefix == SW_PREFIX_ALWAYS || (rules->prefix == SW_PREFIX_FIRST && step->begins);
    bool begun = false, after_space = squeeze;
    for (; n > 0; text += taken, n -= taken) {
        taken = next_normalized(rules, text, n, &becomes, &becomes_n);
        if (!begun && squeeze && becomes_n == 1 && *becomes == ' ')
            continue;
        if (!begun && prefix)
            append_escaped(rules, " ", 1, out);
        begun = true;
        for (; after_space && becomes_n > 0 && *becomes == ' '; becomes_n--)
            becomes++;
        append_escaped(rules, becomes, becomes_n, out);
        if (becomes_n > 0)
            after_space = squeeze && becomes[becomes_n - 1] == ' ';
    }
    const char *space = rules->escape_whitespaces ? SPACE_PIECE : " ";
    const size_t space_n = strlen(space);
    while (squeeze && out->length - before >= space_n &&
           memcmp(out->text + out->length - space_n, space, space_n) == 0)
        out->length -= space_n;
    return SW_OK;
}

static enum sw_status run_precompiled(struct sw_normalize_step *step, const char *text, size_t n,
                                      struct sw_strbuf *out)
{
    sw_charsmap_by_clusters(&step->rules.charsmap, text, n, out);
    return SW_OK;
}

static enum sw_status text_member(const json_t *json, const char *type, const char *name,
                                  struct sw_strbuf *out)
{
    const json_t *value = json_object_get(json, name);
    if (!json_is_string(value))
        return sw_fail(SW_EMODEL, "normalizer %s: \"%s\" is not a string", type, name);
    sw_strbuf_append(out, json_string_value(value), json_string_length(value));
    return out->failed ? normalize_out_of_memory() : SW_OK;
}

static enum sw_status parse_replace(struct sw_normalize_step *step, const json_t *json)
{
    const json_t *pattern = json_object_get(json, "pattern");
    const char *kind = json_object_get(pattern, "Regex") ? "Regex" : "String";
    SW_TRY(text_member(json, "Replace", "content", &step->content));
    SW_TRY(text_member(pattern, "Replace", kind, &step->pattern));
    if (strcmp(kind, "Regex") == 0)
        return sw_regex_compile(step->pattern.text, step->pattern.length, &step->regex);
    if (step->pattern.length == 0)
        return sw_fail(SW_EMODEL, "normalizer Replace: its pattern is empty");
    return SW_OK;
}

static enum sw_status parse_prepend(struct sw_normalize_step *step, const json_t *json)
{
    return text_member(json, "Prepend", "prepend", &step->content);
}

static enum sw_status parse_strip(struct sw_normalize_step *step, const json_t *json)
{
    step->left = json_is_true(json_object_get(json, "strip_left"));
    step->right = json_is_true(json_object_get(json, "strip_right"));
    return SW_OK;
}

static enum sw_status parse_precompiled(struct sw_normalize_step *step, const json_t *json)
{
    const json_t *map = json_object_get(json, "precompiled_charsmap");
    struct sw_strbuf bytes = {0};
    const char *text = json_string_value(map);
    const bool good = text && (!*text || sw_base64_decode(text, json_string_length(map), &bytes));
    enum sw_status status =
        good ? sw_charsmap_parse(&step->rules.charsmap, bytes.text, bytes.length)
        : bytes.failed
            ? normalize_out_of_memory()
            : sw_fail(SW_EMODEL, "normalizer Precompiled: its charsmap is not base64 text");
    sw_strbuf_free(&bytes);
    return status;
}

#define COMPAT (UTF8PROC_COMPAT)
static const struct normalize_kind kinds[] = {
    {"NFC", NULL, run_form, UTF8PROC_COMPOSE},
    {"NFD", NULL, run_form, UTF8PROC_DECOMPOSE},
    {"NFKC", NULL, run_form, (utf8proc_option_t)(UTF8PROC_COMPOSE | COMPAT)},
    {"NFKD", NULL, run_form, (utf8proc_option_t)(UTF8PROC_DECOMPOSE | COMPAT)},
    {"Replace", parse_replace, run_replace, (utf8proc_option_t)0},
    {"Prepend", parse_prepend, run_prepend, (utf8proc_option_t)0},
    {"Strip", parse_strip, run_strip, (utf8proc_option_t)0},
    {"Lowercase", NULL, run_lowercase, (utf8proc_option_t)0},
    {"Precompiled", parse_precompiled, run_precompiled, (utf8proc_option_t)0},
};
static const struct normalize_kind sentencepiece_kind = {"SentencePiece", NULL, run_sentencepiece,
                                                         (utf8proc_option_t)0};

static enum sw_status normalize_add_step(struct sw_normalizer *normalizer,
                                         const struct normalize_kind *kind,
                                         struct sw_normalize_step **out)
{
    if (normalizer->n_steps == SW_NORMALIZE_STEPS_MAX)
        return sw_fail(SW_EMODEL, "the normalizer has more than %d steps", SW_NORMALIZE_STEPS_MAX);
    struct sw_normalize_step *step = calloc(1, sizeof *step);
    if (!step)
        return normalize_out_of_memory();
    step->kind = kind;
    step->form = kind->form;
    normalizer->steps[normalizer->n_steps++] = step;
    *out = step;
    return SW_OK;
}

static enum sw_status normalize_parse(struct sw_normalizer *normalizer, const json_t *json,
                                      int depth)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    if (!type)
        return sw_fail(SW_EMODEL, "normalizer: an entry has no \"type\"");
    if (strcmp(type, "Sequence") == 0 && depth < 4) {
        const json_t *list = json_object_get(json, "normalizers");
        for (size_t i = 0; i < json_array_size(list); i++)
            SW_TRY(normalize_parse(normalizer, json_array_get(list, i), depth + 1));
        return SW_OK;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct sw_normalize_step *step = NULL;
        if (strcmp(kinds[i].type, type) != 0)
            continue;
        SW_TRY(normalize_add_step(normalizer, &kinds[i], &step));
        return kinds[i].parse ? kinds[i].parse(step, json) : SW_OK;
    }
    return sw_fail(SW_EMODEL,
                   "normalizer \"%.40s\" is not supported; NFC, NFD, NFKC, NFKD, Replace, Prepend, "
                   "Strip, Lowercase, Precompiled and Sequence are",
                   type);
}

enum sw_status sw_normalizer_parse(struct sw_normalizer *normalizer, const json_t *json)
{
    return !json || json_is_null(json) ? SW_OK : normalize_parse(normalizer, json, 0);
}

enum sw_status sw_normalizer_add_nfc(struct sw_normalizer *normalizer)
{
    struct sw_normalize_step *step = NULL;
    return normalize_add_step(normalizer, &kinds[0], &step);
}

bool sw_normalizer_is_nfc(const struct sw_normalizer *normalizer, bool *none)
{
    *none = normalizer->n_steps == 0;
    return normalizer->n_steps == 1 && normalizer->steps[0]->kind == &kinds[0];
}

enum sw_status sw_normalizer_add_sentencepiece(struct sw_normalizer *normalizer,
                                               const struct sw_sentencepiece_rules *rules)
{
    struct sw_normalize_step *step = NULL;
    SW_TRY(normalize_add_step(normalizer, &sentencepiece_kind, &step));
    step->rules = *rules;
    return SW_OK;
}

void sw_normalizer_set_prefix(struct sw_normalizer *normalizer, enum sw_dummy_prefix prefix)
{
    for (size_t i = 0; i < normalizer->n_steps; i++)
        normalizer->steps[i]->rules.prefix = prefix;
}

enum sw_status sw_normalize(struct sw_normalizer *normalizer, const char *text, size_t n,
                            bool begins, const char **out, size_t *out_n)
{
    for (size_t i = 0; i < normalizer->n_steps; i++) {
        struct sw_normalize_step *step = normalizer->steps[i];
        struct sw_strbuf *to = &normalizer->scratch[i & 1];
        to->length = 0;
        step->begins = begins;
        sw_strbuf_append(to, "", 0);
        SW_TRY(step->kind->run(step, text, n, to));
        if (to->failed) {
            sw_strbuf_free(to);
            return normalize_out_of_memory();
        }
        text = to->text;
        n = to->length;
    }
    *out = text;
    *out_n = n;
    return SW_OK;
}

void sw_normalizer_free(struct sw_normalizer *normalizer)
{
    for (size_t i = 0; i < normalizer->n_steps; i++) {
        struct sw_normalize_step *step = normalizer->steps[i];
        sw_strbuf_free(&step->content);
        sw_strbuf_free(&step->pattern);
        sw_regex_free(step->regex);
        sw_charsmap_free(&step->rules.charsmap);
        free(step);
    }
    sw_strbuf_free(&normalizer->scratch[0]);
    sw_strbuf_free(&normalizer->scratch[1]);
    *normalizer = (struct sw_normalizer){0};
}

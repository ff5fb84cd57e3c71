/*
 * Owns the pre-tokenizer steps: each takes the pieces so far and writes finer ones. Spans and
 * behaviours follow Hugging Face tokenizers, whose files these are.
 */
#include "text/pretokenize.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

const char sw_pattern_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char sw_pattern_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char sw_pattern_qwen[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                               " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

enum behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };
static const char *const behaviors[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
enum scheme { ALWAYS, FIRST, NEVER };

struct sw_pretokenize_step {
    const struct pretokenize_kind *kind;
    /* A step searches one of these: a pattern, a text, or a class of characters. */
    struct sw_regex *regex;
    struct sw_strbuf pattern; /* of regex, as the file has it */
    struct sw_strbuf literal; /* of Split by String, and the replacement of Metaspace */
    bool (*class)(uint32_t);
    enum behavior behavior;
    bool invert;
    bool add_prefix_space; /* ByteLevel */
    bool split;            /* Metaspace */
    enum scheme scheme;
};

struct pretokenize_kind {
    const char *type;
    enum sw_status (*parse)(struct sw_pretokenize_step *, const json_t *);
    enum sw_status (*run)(struct sw_pretokenize_step *, const struct sw_pretokens *,
                          struct sw_pretokens *);
};

static enum sw_status pretokenize_out_of_memory(void)
{
    return sw_fail(SW_ENOMEM, "no memory to cut a text into pieces");
}

static enum sw_status pretokenize_too_long(void)
{
    return sw_fail(SW_EINPUT, "a text of more than %zu bytes is too long", SW_PRETOKENS_MAX);
}

static enum sw_status add_pretoken(struct sw_pretokens *pretokens, size_t start, size_t length,
                                   bool at_zero)
{
    if (length == 0)
        return SW_OK;
    if (length > SW_PRETOKENS_MAX || start > SW_PRETOKENS_MAX - length)
        return pretokenize_too_long();
    if (pretokens->count == pretokens->capacity) {
        const size_t capacity = pretokens->capacity ? pretokens->capacity * 2 : 64;
        struct sw_pretoken *items = realloc(pretokens->items, capacity * sizeof *items);
        if (!items)
            return pretokenize_out_of_memory();
        pretokens->items = items;
        pretokens->capacity = capacity;
    }
    pretokens->items[pretokens->count++] =
        (struct sw_pretoken){(uint32_t)start, (uint32_t)length & INT32_MAX, at_zero};
    return SW_OK;
}

/* The next match in text[0..n) from `from` on; *start = n when there is none. */
static enum sw_status next_match(struct sw_pretokenize_step *step, const char *text, size_t n,
                                 size_t from, size_t *start, size_t *end)
{
    bool found = false;
    *start = *end = n;
    if (step->regex) {
        /* An empty match cuts nothing off; go on behind the next character. */
        for (int length = 1; from < n; from += (size_t)length) {
            SW_TRY(sw_regex_next(step->regex, text, n, from, &found, start, end));
            if (!found || *end > *start)
                break;
            from = *end;
            if (from < n)
                sw_utf8_decode(text + from, &length);
        }
        if (!found || *end == *start)
            *start = *end = n;
        return SW_OK;
    }
    if (step->literal.length > 0) {
        const char *hit = memmem(text + from, n - from, step->literal.text, step->literal.length);
        if (hit) {
            *start = (size_t)(hit - text);
            *end = *start + step->literal.length;
        }
        return SW_OK;
    }
    int length;
    for (size_t i = from; i < n; i += (size_t)length)
        if (step->class(sw_utf8_decode(text + i, &length))) {
            *start = i;
            *end = i + (size_t)length;
            return SW_OK;
        }
    return SW_OK;
}

/* Joins matches and the texts between them into pre-tokens as the behaviour defines. */
struct cutter {
    struct sw_pretokens *out;
    size_t base;  /* of the piece in out->text */
    bool at_zero; /* of the piece */
    enum behavior behavior;
    size_t open, end; /* the span that may still grow, [open, end) */
    bool have, match; /* there is one; the last part was a match */
};

static enum sw_status cutter_close(struct cutter *cutter)
{
    if (!cutter->have)
        return SW_OK;
    cutter->have = false;
    return add_pretoken(cutter->out, cutter->base + cutter->open, cutter->end - cutter->open,
                        cutter->at_zero && cutter->open == 0);
}

static enum sw_status cutter_add(struct cutter *cutter, size_t start, size_t end, bool match)
{
    bool grow = false;
    if (start == end)
        return SW_OK;
    switch (cutter->behavior) {
    case REMOVED:
    case ISOLATED:
        break;
    case MERGED_WITH_PREVIOUS:
        grow = match && !cutter->match;
        break;
    case MERGED_WITH_NEXT:
        grow = !match && cutter->match;
        break;
    case CONTIGUOUS:
        grow = match == cutter->match;
        break;
    }
    if (!grow || !cutter->have) {
        SW_TRY(cutter_close(cutter));
        cutter->open = start;
        cutter->have = !(match && cutter->behavior == REMOVED);
    }
    cutter->end = end;
    cutter->match = match;
    return SW_OK;
}

/* out->text already holds the piece at `base`. */
static enum sw_status cut_pretoken(struct sw_pretokenize_step *step, struct sw_pretokens *out,
                                   size_t base, size_t n, bool at_zero)
{
    struct cutter cutter = {
        .out = out, .base = base, .at_zero = at_zero, .behavior = step->behavior};
    for (size_t from = 0, start, end; from < n; from = end) {
        SW_TRY(next_match(step, out->text.text + base, n, from, &start, &end));
        SW_TRY(cutter_add(&cutter, from, start, step->invert));
        SW_TRY(cutter_add(&cutter, start, end, !step->invert));
    }
    return cutter_close(&cutter);
}

static enum sw_status run_split(struct sw_pretokenize_step *step, const struct sw_pretokens *in,
                                struct sw_pretokens *out)
{
    sw_strbuf_append(&out->text, in->text.text, in->text.length);
    if (out->text.failed)
        return pretokenize_out_of_memory();
    for (size_t i = 0; i < in->count; i++)
        SW_TRY(
            cut_pretoken(step, out, in->items[i].start, in->items[i].length, in->items[i].at_zero));
    return SW_OK;
}

static enum sw_status run_byte_level(struct sw_pretokenize_step *step,
                                     const struct sw_pretokens *in, struct sw_pretokens *out)
{
    for (size_t i = 0; i < in->count; i++) {
        const struct sw_pretoken *from = &in->items[i];
        const char *text = in->text.text + from->start;
        const size_t base = out->text.length;
        if (step->add_prefix_space && text[0] != ' ')
            sw_strbuf_append(&out->text, " ", 1);
        sw_strbuf_append(&out->text, text, from->length);
        if (out->text.failed)
            return pretokenize_out_of_memory();
        const size_t n = out->text.length - base;
        if (step->regex)
            SW_TRY(cut_pretoken(step, out, base, n, from->at_zero));
        else
            SW_TRY(add_pretoken(out, base, n, from->at_zero));
    }
    return SW_OK;
}

static enum sw_status run_metaspace(struct sw_pretokenize_step *step, const struct sw_pretokens *in,
                                    struct sw_pretokens *out)
{
    const struct sw_strbuf *mark = &step->literal;
    for (size_t i = 0; i < in->count; i++) {
        const struct sw_pretoken *from = &in->items[i];
        const char *text = in->text.text + from->start;
        const size_t base = out->text.length;
        const bool marked = text[0] == ' ' || (from->length >= mark->length &&
                                               memcmp(text, mark->text, mark->length) == 0);
        if (!marked && (step->scheme == ALWAYS || (step->scheme == FIRST && from->at_zero)))
            sw_strbuf_append(&out->text, mark->text, mark->length);
        for (size_t k = 0, run; k < from->length; k += run) {
            const char *space = memchr(text + k, ' ', from->length - k);
            run = space ? (size_t)(space - (text + k)) : from->length - k;
            sw_strbuf_append(&out->text, text + k, run);
            if (space) {
                sw_strbuf_append(&out->text, mark->text, mark->length);
                run++;
            }
        }
        if (out->text.failed)
            return pretokenize_out_of_memory();
        const size_t n = out->text.length - base;
        if (step->split)
            SW_TRY(cut_pretoken(step, out, base, n, from->at_zero));
        else
            SW_TRY(add_pretoken(out, base, n, from->at_zero));
    }
    return SW_OK;
}

static enum sw_status parse_behavior(struct sw_pretokenize_step *step, const json_t *json)
{
    const char *name = json_string_value(json_object_get(json, "behavior"));
    for (size_t i = 0; name && i < sizeof behaviors / sizeof behaviors[0]; i++)
        if (strcmp(behaviors[i], name) == 0) {
            step->behavior = (enum behavior)i;
            return SW_OK;
        }
    return sw_fail(SW_EMODEL,
                   "pre_tokenizer: behavior \"%.40s\" is not supported; Removed, Isolated, "
                   "MergedWithPrevious, MergedWithNext and Contiguous are",
                   name ? name : "(none)");
}

static enum sw_status set_pattern(struct sw_pretokenize_step *step, const char *pattern, size_t n)
{
    sw_strbuf_append(&step->pattern, pattern, n);
    return step->pattern.failed ? pretokenize_out_of_memory()
                                : sw_regex_compile(pattern, n, &step->regex);
}

static enum sw_status parse_split(struct sw_pretokenize_step *step, const json_t *json)
{
    const json_t *pattern = json_object_get(json, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex");
    const json_t *literal = json_object_get(pattern, "String");
    SW_TRY(parse_behavior(step, json));
    step->invert = json_is_true(json_object_get(json, "invert"));
    if (json_is_string(regex))
        return set_pattern(step, json_string_value(regex), json_string_length(regex));
    if (!json_is_string(literal) || json_string_length(literal) == 0)
        return sw_fail(SW_EMODEL, "pre_tokenizer Split: its pattern is neither Regex nor String");
    sw_strbuf_append(&step->literal, json_string_value(literal), json_string_length(literal));
    return step->literal.failed ? pretokenize_out_of_memory() : SW_OK;
}

static enum sw_status parse_byte_level(struct sw_pretokenize_step *step, const json_t *json)
{
    const json_t *use_regex = json_object_get(json, "use_regex");
    step->behavior = ISOLATED;
    step->add_prefix_space = json_is_true(json_object_get(json, "add_prefix_space"));
    if (json_is_false(use_regex))
        return SW_OK;
    return set_pattern(step, sw_pattern_gpt2, strlen(sw_pattern_gpt2));
}

static enum sw_status parse_metaspace(struct sw_pretokenize_step *step, const json_t *json)
{
    const json_t *mark = json_object_get(json, "replacement");
    const char *scheme = json_string_value(json_object_get(json, "prepend_scheme"));
    const bool old = json_is_false(json_object_get(json, "add_prefix_space"));
    step->behavior = MERGED_WITH_NEXT;
    step->split = !json_is_false(json_object_get(json, "split"));
    if (!json_is_string(mark) || json_string_length(mark) == 0)
        return sw_fail(SW_EMODEL, "pre_tokenizer Metaspace: \"replacement\" is not a character");
    sw_strbuf_append(&step->literal, json_string_value(mark), json_string_length(mark));
    if (step->literal.failed)
        return pretokenize_out_of_memory();
    if (scheme && strcmp(scheme, "always") != 0 && strcmp(scheme, "first") != 0 &&
        strcmp(scheme, "never") != 0)
        return sw_fail(SW_EMODEL,
                       "pre_tokenizer Metaspace: prepend_scheme \"%.40s\" is not supported; "
                       "always, first and never are",
                       scheme);
    step->scheme = old || (scheme && scheme[0] == 'n')      ? NEVER
                   : scheme && strcmp(scheme, "first") == 0 ? FIRST
                                                            : ALWAYS;
    return SW_OK;
}

static enum sw_status parse_digits(struct sw_pretokenize_step *step, const json_t *json)
{
    step->class = sw_utf8_is_numeric;
    step->behavior =
        json_is_true(json_object_get(json, "individual_digits")) ? ISOLATED : CONTIGUOUS;
    return SW_OK;
}

static enum sw_status parse_whitespace_split(struct sw_pretokenize_step *step, const json_t *json)
{
    (void)json;
    step->class = sw_utf8_is_space;
    step->behavior = REMOVED;
    return SW_OK;
}

static enum sw_status parse_punctuation(struct sw_pretokenize_step *step, const json_t *json)
{
    step->class = sw_utf8_is_punctuation;
    step->behavior = ISOLATED;
    return json_object_get(json, "behavior") ? parse_behavior(step, json) : SW_OK;
}

static const struct pretokenize_kind kinds[] = {
    {"ByteLevel", parse_byte_level, run_byte_level},
    {"Split", parse_split, run_split},
    {"Metaspace", parse_metaspace, run_metaspace},
    {"Digits", parse_digits, run_split},
    {"WhitespaceSplit", parse_whitespace_split, run_split},
    {"Punctuation", parse_punctuation, run_split},
};

static enum sw_status pretokenize_add_step(struct sw_pretokenizer *pre,
                                           const struct pretokenize_kind *kind,
                                           struct sw_pretokenize_step **out)
{
    if (pre->n_steps == SW_PRETOKENIZE_STEPS_MAX)
        return sw_fail(SW_EMODEL, "the pre_tokenizer has more than %d steps",
                       SW_PRETOKENIZE_STEPS_MAX);
    if (pre->byte_level)
        return sw_fail(SW_EMODEL, "pre_tokenizer %s after ByteLevel is not supported", kind->type);
    struct sw_pretokenize_step *step = calloc(1, sizeof *step);
    if (!step)
        return pretokenize_out_of_memory();
    step->kind = kind;
    pre->steps[pre->n_steps++] = step;
    pre->byte_level = kind->run == run_byte_level;
    *out = step;
    return SW_OK;
}

static enum sw_status pretokenize_parse(struct sw_pretokenizer *pre, const json_t *json, int depth)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    if (!type)
        return sw_fail(SW_EMODEL, "pre_tokenizer: an entry has no \"type\"");
    if (strcmp(type, "Sequence") == 0 && depth < 4) {
        const json_t *list = json_object_get(json, "pretokenizers");
        for (size_t i = 0; i < json_array_size(list); i++)
            SW_TRY(pretokenize_parse(pre, json_array_get(list, i), depth + 1));
        return SW_OK;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct sw_pretokenize_step *step = NULL;
        if (strcmp(kinds[i].type, type) != 0)
            continue;
        SW_TRY(pretokenize_add_step(pre, &kinds[i], &step));
        return kinds[i].parse(step, json);
    }
    return sw_fail(SW_EMODEL,
                   "pre_tokenizer \"%.40s\" is not supported; ByteLevel, Split, Metaspace, Digits, "
                   "WhitespaceSplit, Punctuation and Sequence are",
                   type);
}

enum sw_status sw_pretokenizer_parse(struct sw_pretokenizer *pre, const json_t *json)
{
    return !json || json_is_null(json) ? SW_OK : pretokenize_parse(pre, json, 0);
}

enum sw_status sw_pretokenizer_add_split(struct sw_pretokenizer *pre, const char *pattern)
{
    struct sw_pretokenize_step *step = NULL;
    SW_TRY(pretokenize_add_step(pre, &kinds[1], &step));
    step->behavior = ISOLATED;
    return set_pattern(step, pattern, strlen(pattern));
}

const char *sw_pretokenizer_pattern(const struct sw_pretokenizer *pre, size_t i)
{
    for (size_t k = 0; k < pre->n_steps; k++) {
        const struct sw_pretokenize_step *step = pre->steps[k];
        const bool is_digit = step->class == sw_utf8_is_numeric;
        const bool isolates = step->behavior == ISOLATED && !step->invert &&
                              !step->add_prefix_space && (step->regex || is_digit);
        if (step->kind->run == run_byte_level && !step->regex && !step->add_prefix_space)
            continue; /* cuts nothing */
        if (i-- == 0)
            return !isolates ? "" : is_digit ? "\\p{N}" : step->pattern.text;
    }
    return NULL;
}

/* What a step has read is let go of where it is large: the ids will need the memory. */
#define KEPT_BYTES ((size_t)1 << 20)
static void pretokens_used(struct sw_pretokens *in)
{
    if (in->text.capacity <= KEPT_BYTES)
        return;
    sw_strbuf_free(&in->text);
    free(in->items);
    *in = (struct sw_pretokens){0};
}

enum sw_status sw_pretokenize(struct sw_pretokenizer *pre, const char *text, size_t n, bool at_zero,
                              const struct sw_pretokens **out)
{
    if (n > SW_PRETOKENS_MAX)
        return pretokenize_too_long();
    /* The whole is the caller's own text: steps only read what is given to them. */
    pre->one = (struct sw_pretoken){0, (uint32_t)n & INT32_MAX, at_zero};
    pre->whole = (struct sw_pretokens){
        .text = {.text = (char *)(uintptr_t)text, .length = n}, .items = &pre->one, .count = n > 0};
    const struct sw_pretokens *in = &pre->whole;
    for (size_t i = 0; i < pre->n_steps; i++) {
        struct sw_pretokens *to = &pre->pretokens[i & 1];
        to->text.length = to->count = 0;
        SW_TRY(pre->steps[i]->kind->run(pre->steps[i], in, to));
        if (i > 0)
            pretokens_used(&pre->pretokens[(i - 1) & 1]);
        in = to;
    }
    *out = in;
    return SW_OK;
}

void sw_pretokenizer_free(struct sw_pretokenizer *pre)
{
    for (size_t i = 0; i < pre->n_steps; i++) {
        sw_regex_free(pre->steps[i]->regex);
        sw_strbuf_free(&pre->steps[i]->pattern);
        sw_strbuf_free(&pre->steps[i]->literal);
        free(pre->steps[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        sw_strbuf_free(&pre->pretokens[i].text);
        free(pre->pretokens[i].items);
    }
    *pre = (struct sw_pretokenizer){0};
}

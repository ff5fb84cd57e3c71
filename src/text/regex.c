/* Owns the translation of patterns to PCRE2's dialect, and matching. */
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

#define PATTERN_MAX 4096
#define STEPS_MIN 200000 /* PCRE2 counts backtracking; one step a character is ordinary */
#define STEPS_PER_BYTE 8
#define JIT_STACK_MAX (1 << 20)

/* Unicode White_Space and what is not, as the inside of a class. PCRE2's own \s has U+180E. */
#define SPACES                                                                                     \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"    \
    "\\x{205f}\\x{3000}"
#define NOT_SPACES                                                                                 \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-"         \
    "\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"        \
    "\\x{3001}-\\x{10ffff}"
#define WORDS "\\p{L}\\p{M}\\p{N}\\p{Pc}"

struct sw_regex {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* What an escape becomes outside and inside a class; NULL inside: it has no form there. */
static const struct escape {
    char letter;
    const char *outside, *inside;
} escapes[] = {
    {'s', "[" SPACES "]", SPACES}, {'S', "[^" SPACES "]", NOT_SPACES}, {'w', "[" WORDS "]", WORDS},
    {'W', "[^" WORDS "]", NULL},   {'h', "[0-9A-Fa-f]", "0-9A-Fa-f"},  {'H', "[^0-9A-Fa-f]", NULL},
};

/* Scripts: to Oniguruma they are what letters belong to, to PCRE2 since 10.40 also what they are
 * used with ("、" with Han). */
#if PCRE2_MAJOR > 10 || PCRE2_MINOR >= 40
#define SCRIPT "sc:"
#else
#define SCRIPT ""
#endif
static const char *const scripts[] = {"Arabic",   "Bengali",  "Cyrillic", "Devanagari",
                                      "Greek",    "Han",      "Hangul",   "Hebrew",
                                      "Hiragana", "Katakana", "Latin",    "Thai"};

static enum sw_status fail_unsupported(const char *pattern, size_t n, const char *what)
{
    return sw_fail(SW_EMODEL, "pattern \"%.*s\": %s is not supported", (int)(n < 200 ? n : 200),
                   pattern, what);
}

/* "\\p{Han}", "\\P{Han}" or "\\p{^Han}"; at[0] is the backslash. 0: it is no script. */
static size_t translate_script(const char *at, size_t left, struct sw_strbuf *out)
{
    const size_t negated = left > 3 && at[3] == '^', from = 3 + negated;
    if (left < 5 || (at[1] != 'p' && at[1] != 'P') || at[2] != '{')
        return 0;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        const size_t n = strlen(scripts[i]);
        if (left <= from + n || memcmp(at + from, scripts[i], n) != 0 || at[from + n] != '}')
            continue;
        sw_strbuf_printf(out, "\\%c{%s" SCRIPT "%s}", at[1], negated ? "^" : "", scripts[i]);
        return from + n + 1;
    }
    return 0;
}

/* at[0] is a backslash. Returns the bytes taken, 0 for an escape that has no form in a class. */
static size_t translate_escape(const char *at, size_t left, bool in_class, struct sw_strbuf *out)
{
    if (left < 2) {
        sw_strbuf_append(out, at, left);
        return left;
    }
    for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
        if (escapes[i].letter != at[1])
            continue;
        const char *becomes = in_class ? escapes[i].inside : escapes[i].outside;
        if (!becomes)
            return 0;
        sw_strbuf_puts(out, becomes);
        return 2;
    }
    const size_t script = translate_script(at, left, out);
    if (script > 0)
        return script;
    if (at[1] == 'u' && left >= 6) { /* \u3040, which PCRE2 writes \x{3040} */
        sw_strbuf_printf(out, "\\x{%.4s}", at + 2);
        return 6;
    }
    sw_strbuf_append(out, at, 2);
    return 2;
}

/*
 * One class from its '[' to its ']'. A class inside a class is a union in Oniguruma; its members
 * are simply members of the outer one.
 */
static enum sw_status translate_class(const char *pattern, size_t n, size_t *at,
                                      struct sw_strbuf *out)
{
    int depth = 0;
    size_t i = *at;
    do {
        const char c = pattern[i];
        if (c == '[' && i + 1 < n && pattern[i + 1] == ':' && depth > 0) {
            const char *close = memmem(pattern + i, n - i, ":]", 2);
            if (!close)
                return fail_unsupported(pattern, n, "an unfinished [: :]");
            const size_t length = (size_t)(close - (pattern + i)) + 2;
            sw_strbuf_append(out, pattern + i, length);
            i += length;
        } else if (c == '[') {
            const bool negated = i + 1 < n && pattern[i + 1] == '^';
            if (depth++ > 0 && negated)
                return fail_unsupported(pattern, n, "a negated class inside a class");
            if (depth == 1)
                sw_strbuf_append(out, pattern + i, negated ? 2 : 1);
            i += negated && depth == 1 ? 2 : 1;
            if (i < n && pattern[i] == ']') { /* first in a class it means itself */
                sw_strbuf_puts(out, "\\]");
                i++;
            }
        } else if (c == ']') {
            if (--depth == 0)
                sw_strbuf_append(out, "]", 1);
            i++;
        } else if (c == '&' && i + 1 < n && pattern[i + 1] == '&') {
            return fail_unsupported(pattern, n, "an intersection of classes (&&)");
        } else if (c == '\\') {
            const size_t taken = translate_escape(pattern + i, n - i, true, out);
            if (taken == 0)
                return fail_unsupported(pattern, n, "\\W or \\H inside a class");
            i += taken;
        } else {
            sw_strbuf_append(out, pattern + i, 1);
            i++;
        }
    } while (depth > 0 && i < n);
    *at = i;
    return depth == 0 ? SW_OK : fail_unsupported(pattern, n, "an unfinished class");
}

enum sw_status sw_regex_translate(const char *pattern, size_t n, struct sw_strbuf *out)
{
    if (n > PATTERN_MAX)
        return sw_fail(SW_EMODEL, "a pattern has %zu bytes; at most %d are supported", n,
                       PATTERN_MAX);
    for (size_t i = 0; i < n;) {
        if (pattern[i] == '\\') {
            i += translate_escape(pattern + i, n - i, false, out);
        } else if (pattern[i] == '[') {
            SW_TRY(translate_class(pattern, n, &i, out));
        } else if (pattern[i] == '(' && i + 1 < n && pattern[i + 1] == '*') {
            return fail_unsupported(pattern, n, "a verb (*…)");
        } else {
            sw_strbuf_append(out, pattern + i++, 1);
        }
    }
    return out->failed ? sw_fail(SW_ENOMEM, "no memory for a pattern") : SW_OK;
}

/* Patterns are multi-line as in Ruby: ^ and $ match at lines. */
static enum sw_status compile_pattern(struct sw_regex *regex, const char *pattern, size_t n,
                                      const struct sw_strbuf *translated)
{
    int error = 0;
    PCRE2_SIZE offset = 0;
    regex->code = pcre2_compile(
        (PCRE2_SPTR)(translated->text ? translated->text : ""), translated->length,
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, NULL);
    if (!regex->code) {
        PCRE2_UCHAR text[160];
        pcre2_get_error_message(error, text, sizeof text);
        return sw_fail(SW_EMODEL, "pattern \"%.*s\": %s", (int)(n < 200 ? n : 200), pattern,
                       (const char *)text);
    }
    /* Without JIT (a platform that lacks it) the interpreter gives the same matches, slower. */
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    regex->match = pcre2_match_data_create(1, NULL);
    regex->context = pcre2_match_context_create(NULL);
    regex->stack = pcre2_jit_stack_create(32768, JIT_STACK_MAX, NULL);
    if (!regex->match || !regex->context || !regex->stack)
        return sw_fail(SW_ENOMEM, "no memory for a pattern");
    pcre2_set_heap_limit(regex->context, 64 << 10); /* KiB */
    pcre2_jit_stack_assign(regex->context, NULL, regex->stack);
    return SW_OK;
}

enum sw_status sw_regex_compile(const char *pattern, size_t n, struct sw_regex **out)
{
    struct sw_strbuf translated = {0};
    enum sw_status status = sw_regex_translate(pattern, n, &translated);
    if (status != SW_OK)
        goto undo_translate;
    struct sw_regex *regex = calloc(1, sizeof *regex);
    if (!regex) {
        status = sw_fail(SW_ENOMEM, "no memory for a pattern");
        goto undo_translate;
    }
    status = compile_pattern(regex, pattern, n, &translated);
    if (status == SW_OK)
        *out = regex;
    else
        sw_regex_free(regex);
undo_translate:
    sw_strbuf_free(&translated);
    return status;
}

void sw_regex_free(struct sw_regex *regex)
{
    if (!regex)
        return;
    pcre2_jit_stack_free(regex->stack);
    pcre2_match_context_free(regex->context);
    pcre2_match_data_free(regex->match);
    pcre2_code_free(regex->code);
    free(regex);
}

enum sw_status sw_regex_next(struct sw_regex *regex, const char *text, size_t n, size_t from,
                             bool *found, size_t *start, size_t *end)
{
    const size_t steps = STEPS_MIN + STEPS_PER_BYTE * n;
    pcre2_set_match_limit(regex->context, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    /* The text is known to be valid; checking it at each match would be quadratic. */
    const int rc = pcre2_match(regex->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK,
                               regex->match, regex->context);
    *found = rc >= 0;
    if (rc == PCRE2_ERROR_NOMATCH)
        return SW_OK;
    if (rc < 0) {
        PCRE2_UCHAR message[160];
        pcre2_get_error_message(rc, message, sizeof message);
        return sw_fail(SW_EINPUT, "the tokenizer's pattern failed at byte %zu of %zu: %s", from, n,
                       (const char *)message);
    }
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(regex->match);
    *start = at[0];
    *end = at[1] > at[0] ? at[1] : at[0]; /* \K in a look-ahead can turn them round */
    return SW_OK;
}

/* Grammars: which texts they take, what is refused, and that what is allowed token by token is what
 * the bytes allow. */
#include "grammar/grammar.h"
#include "grammar/guide.h"
#include "grammar/matcher.h"
#include "grammar/token_trie.h"
#include "unit.h"

#include "base/strbuf.h"

#include <time.h>

/* Seconds of this thread: other work does not count. */
static double cpu_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Whether the text is a word of the grammar; -1: only the beginning of some. */
static int takes(const char *gbnf, const char *text)
{
    struct sw_grammar *g;
    struct sw_matcher *m;
    CU_ASSERT_EQUAL_FATAL(sw_grammar_parse(gbnf, strlen(gbnf), &g), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_matcher_open(g, &m), SW_OK);
    int state = sw_matcher_start(m);
    for (; *text && state > 0; text++)
        state = sw_matcher_step(m, state, (unsigned char)*text);
    CU_ASSERT(state >= 0);
    const int out = state <= 0 ? 0 : sw_matcher_accepts(m, state) ? 1 : -1;
    sw_matcher_close(m);
    sw_grammar_free(g);
    return out;
}

static void words_of_grammars(void)
{
    static const struct {
        const char *gbnf, *text;
        int takes;
    } rows[] = {
        {"root ::= \"ab\"", "ab", 1},
        {"root ::= \"ab\"", "a", -1},
        {"root ::= \"ab\"", "abc", 0},
        {"root ::= \"\"", "", 1},
        {"root ::= \"a\" | \"b\" \"c\" |\n \"d\" # or\n", "bc", 1},
        {"root ::= \"a\" | \"b\" \"c\" |\n \"d\"", "d", 1},
        {"root ::= \"a\" |", "", 1},
        {"root ::= (\"a\"\n | \"b\")*", "abba", 1},
        {"root ::= \"a\"+", "", -1},
        {"root ::= \"a\"+", "aaa", 1},
        {"root ::= \"a\"? \"b\"", "b", 1},
        {"root ::= \"a\"? \"b\"", "aab", 0},
        {"root ::= \"a\"{3}", "aaa", 1},
        {"root ::= \"a\"{3}", "aaaa", 0},
        {"root ::= \"a\"{2,}", "a", -1},
        {"root ::= \"a\"{2,}", "aaaaa", 1},
        {"root ::= \"a\"{0,2}", "", 1},
        {"root ::= \"a\"{0,2}", "aaa", 0},
        {"root ::= \"a\"{1,3} \"a\"", "aaaa", 1},
        {"root ::= \"a\"{0} \"b\"", "b", 1},
        {"root ::= (\"ab\" | \"c\"){2,3}", "abcab", 1},
        {"root ::= (\"ab\" | \"c\"){2,3}", "c", -1},
        {"root ::= (\"a\"{2}){2}", "aaaa", 1},
        {"root ::= [a-cx]+", "abcx", 1},
        {"root ::= [a-cx]+", "d", 0},
        {"root ::= [^a\\n]", "b", 1},
        {"root ::= [^a\\n]", "\n", 0},
        {"root ::= [^a]", "\xc3\xa9", 1},
        {"root ::= [^a]", "\xc3", -1},
        {"root ::= [^a]", "\xed\xa0\x80", 0}, /* a surrogate */
        {"root ::= [^\\u00e9]", "\xc3\xa9", 0},
        {"root ::= [\\u00e0-\\u20ac]", "\xe2\x82\xac", 1},
        {"root ::= [\\u00e0-\\u20ac]", "\xe2\x82\xad", 0},
        {"root ::= .", "\xf0\x9f\x98\x80", 1},
        {"root ::= .", "\xf4\x90\x80\x80", 0},
        {"root ::= \"\\x41\\u00e9\\U0001F600\\n\\\"\"", "A\xc3\xa9\xf0\x9f\x98\x80\n\"", 1},
        {"root ::= [\\]\\-a]+", "]-a", 1},
        {"root ::= [a-]+", "a-", 1},
        {"root ::= list\nlist ::= \"[\" (list (\",\" list)*)? \"]\"", "[[],[[]]]", 1},
        {"root ::= list\nlist ::= \"[\" (list (\",\" list)*)? \"]\"", "[[]", -1},
        {"root ::= a\na ::= \"x\" a | \"y\"", "xxxxxxxy", 1},
        {"root ::= a a\na ::= \"x\"*", "xxxx", 1},
        {"root ::= (\"x\"*)*", "xxxx", 1},
        {"root ::= e\ne ::= n (\"+\" n)*\nn ::= [0-9]+ | \"(\" e \")\"", "(1+22)+3", 1},
        {"root ::= e\ne ::= n (\"+\" n)*\nn ::= [0-9]+ | \"(\" e \")\"", "(1+22)+", -1},
        {"a-1_B ::= \"q\"\r\nroot ::= a-1_B\r\n", "q", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int got = takes(rows[i].gbnf, rows[i].text);
        if (got != rows[i].takes)
            printf("    %s of \"%s\": %d\n", rows[i].gbnf, rows[i].text, got);
        CU_ASSERT_EQUAL(got, rows[i].takes);
    }
}

static void what_is_refused_is_named(void)
{
    static const struct {
        const char *gbnf, *message;
    } rows[] = {
        {"", "no rule \"root\""},
        {"a ::= \"x\"", "no rule \"root\""},
        {"root ::= b", "line 1: there is no rule \"b\""},
        {"root = b", "line 1, column 6: expected ::=, found '='"},
        {"root ::= \"a", "line 1, column 12: expected a character, found the end"},
        {"root ::= \"a\"\n\nroot ::= \"b\"", "line 3, column 9: a second rule \"root\""},
        {"root ::= (\"a\"", "line 1, column 14: expected ')', found the end"},
        {"root ::= \"a\" )", "line 1, column 14: expected the end of the rule, found ')'"},
        {"root ::= [", "line 1, column 11: expected a character"},
        {"root ::= a\na ::= \"\xc3\xa9\" [b\n",
         "line 2, column 13: expected a character, found the end of the line"},
        {"root ::= []", "no characters"},
        {"root ::= [b-a]", "ends before"},
        {"root ::= \"\\q\"", "after a backslash"},
        {"root ::= \"\\ud800\"", "U+D800 is not a character"},
        {"root ::= \"\\U00110000\"", "not a character"},
        {"root ::= \"\\xg0\"", "hexadecimal"},
        {"root ::= \"\xff\"", "UTF-8"},
        {"root ::= \"a\"{3,2}", "least is above the most"},
        {"root ::= \"a\"{10001}", "more than 10000 times"},
        {"root ::= \"a\"{2", "expected '}'"},
        {"root ::= ((\"a\"{10000}){100}){10}", "too large"},
        {"root ::= root \"a\"", "\"root\" begins with itself"},
        {"root ::= a\na ::= b \"x\"\nb ::= \"y\"? a", "begins with itself"},
        {"root ::= root", "begins with itself"},
        {"root ::= (root | \"a\")*", "begins with itself"},
        {"root ::= *", "expected the end of the rule"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_grammar *g;
        CU_ASSERT_EQUAL(sw_grammar_parse(rows[i].gbnf, strlen(rows[i].gbnf), &g), SW_EINPUT);
        if (!strstr(sw_error_message(), rows[i].message))
            printf("    %s: %s\n", rows[i].gbnf, sw_error_message());
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), rows[i].message));
        sw_error_clear();
    }
}

static void put_token(struct sw_strbuf *block, const char *text, size_t n, unsigned end)
{
    const unsigned head = (unsigned)n | end;
    const char bytes[2] = {(char)(head & 0xff), (char)(head >> 8)};
    sw_strbuf_append(block, bytes, 2);
    sw_strbuf_append(block, text, n);
}

static uint32_t random_state = 1;
static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

#define JSON                                                                                       \
    "root ::= ws value\n"                                                                          \
    "value ::= object | array | string | number | \"true\" | \"false\" | \"null\"\n"               \
    "object ::= \"{\" ws (pair (\",\" ws pair)*)? \"}\" ws\n"                                      \
    "pair ::= string \":\" ws value ws\n"                                                          \
    "array ::= \"[\" ws (value ws (\",\" ws value ws)*)? \"]\"\n"                                  \
    "string ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-f]{4}))* " \
    "\"\\\"\"\n"                                                                                   \
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]*) (\".\" [0-9]+)?\n"                                   \
    "ws ::= [ \\n]*\n"

/* What follows from bytes alone. */
static bool fits(const char *gbnf, const struct sw_strbuf *so_far, const char *token, size_t n)
{
    struct sw_grammar *g;
    struct sw_matcher *m;
    CU_ASSERT_EQUAL_FATAL(sw_grammar_parse(gbnf, strlen(gbnf), &g), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_matcher_open(g, &m), SW_OK);
    int state = sw_matcher_start(m);
    for (size_t i = 0; i < so_far->length && state > 0; i++)
        state = sw_matcher_step(m, state, (unsigned char)so_far->text[i]);
    for (size_t i = 0; i < n && state > 0; i++)
        state = sw_matcher_step(m, state, (unsigned char)token[i]);
    const bool out = state > 0 && (n > 0 || sw_matcher_accepts(m, state));
    sw_matcher_close(m);
    sw_grammar_free(g);
    return out;
}

/* Random texts: at every place the ids allowed are those whose bytes go on, and the end where it
 * may end. */
static void tokens_are_as_bytes(void)
{
    static const char *const grammars[] = {
        JSON, "root ::= \"\\\"\" [^\"]{0,9} \"\\\"\" (\", \" root)?",
        "root ::= (\"a\" | \"ab\" | \"b\" [ac]){3,7} (\"{\" root \"}\")?",
        "root ::= x x x\nx ::= y* \"1\"?\ny ::= [\\u00e9a\\\"] | \"{\" x \"}\""};
    static const char *const pieces[] = {"\"", "{", "}", "[", "]",    ",",    ":",        " ",
                                         "\n", "a", "b", "1", "\xc3", "\xa9", "\xf0\x9f", "\\",
                                         "u",  "0", "-", ".", "true", "null"};
    enum { TOKENS = 600 };
    struct sw_strbuf block = {0}, texts[TOKENS] = {0};
    struct sw_guides *guides;
    for (int i = 0; i < TOKENS; i++) {
        const uint32_t n = i < 22 ? 1 : i % 50 == 49 ? 0 : 1 + random_below(4);
        for (uint32_t j = 0; j < n; j++)
            sw_strbuf_puts(&texts[i], pieces[i < 22 ? (uint32_t)i : random_below(22)]);
        put_token(&block, texts[i].text ? texts[i].text : "", texts[i].length, 0);
    }
    put_token(&block, "</s>", 4, SW_TOKEN_END);
    CU_ASSERT_EQUAL_FATAL(sw_guides_open(block.text, block.length, &guides), SW_OK);
    int ended = 0;
    for (int round = 0; round < 24; round++) {
        const char *gbnf = grammars[round % 4];
        struct sw_guide *guide;
        struct sw_strbuf text = {0};
        const uint64_t *allowed;
        CU_ASSERT_EQUAL_FATAL(sw_guide_open(guides, gbnf, strlen(gbnf), &guide), SW_OK);
        for (int step = 0; step < 25; step++) {
            int good[TOKENS + 1], n = 0;
            CU_ASSERT_EQUAL_FATAL(sw_guide_allowed(guide, &allowed), SW_OK);
            for (int i = 0; i <= TOKENS; i++) {
                const bool is_allowed = allowed[i / 64] >> (i % 64) & 1;
                /* What is allowed is tried at each place, of the rest some. */
                if ((step + i) % 37 == 0 || is_allowed) {
                    const bool right = i == TOKENS
                                           ? fits(gbnf, &text, "", 0)
                                           : texts[i].length > 0 &&
                                                 fits(gbnf, &text, texts[i].text, texts[i].length);
                    CU_ASSERT_EQUAL(is_allowed, right);
                }
                if (is_allowed)
                    good[n++] = i;
            }
            CU_ASSERT_FATAL(n > 0);
            const int id = good[random_below((uint32_t)n)];
            CU_ASSERT_EQUAL(sw_guide_take(guide, id), SW_OK);
            if (id == TOKENS) {
                CU_ASSERT_EQUAL(sw_guide_allowed(guide, &allowed), SW_OK);
                CU_ASSERT(!(allowed[0] & 1) && allowed[TOKENS / 64] >> (TOKENS % 64) & 1);
                ended++;
                break;
            }
            sw_strbuf_append(&text, texts[id].text, texts[id].length);
        }
        CU_ASSERT_EQUAL(sw_guide_take(guide, 49), SW_EINPUT); /* has no text */
        sw_error_clear();
        sw_strbuf_free(&text);
        sw_guide_close(guide);
    }
    CU_ASSERT(ended > 2);
    sw_guides_close(guides);
    sw_strbuf_free(&block);
    for (int i = 0; i < TOKENS; i++)
        sw_strbuf_free(&texts[i]);
}

/* Where nothing fits, or the text is too deep, it is said. */
static void dead_ends_are_said(void)
{
    struct sw_strbuf block = {0};
    struct sw_guides *guides;
    struct sw_guide *guide;
    const uint64_t *allowed;
    put_token(&block, "a", 1, 0);
    put_token(&block, "((((", 4, 0);
    put_token(&block, "", 0, SW_TOKEN_END);
    CU_ASSERT_EQUAL(sw_guides_open(block.text, block.length - 1, &guides), SW_EINPUT);
    CU_ASSERT_EQUAL_FATAL(sw_guides_open(block.text, block.length, &guides), SW_OK);
    CU_ASSERT_EQUAL(sw_guide_open(guides, "root", 4, &guide), SW_EINPUT);
    const char *gbnf = "root ::= \"ab\"";
    CU_ASSERT_EQUAL_FATAL(sw_guide_open(guides, gbnf, strlen(gbnf), &guide), SW_OK);
    CU_ASSERT_EQUAL(sw_guide_allowed(guide, &allowed), SW_OK);
    CU_ASSERT_EQUAL(allowed[0], 1);
    CU_ASSERT_EQUAL(sw_guide_take(guide, 1), SW_EINPUT);
    CU_ASSERT_EQUAL(sw_guide_take(guide, 0), SW_OK);
    CU_ASSERT_EQUAL(sw_guide_allowed(guide, &allowed), SW_EINPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "no token of this model"));
    sw_guide_close(guide);
    gbnf = "root ::= \"(\" root \")\" \"x\" | \"a\"";
    CU_ASSERT_EQUAL_FATAL(sw_guide_open(guides, gbnf, strlen(gbnf), &guide), SW_OK);
    enum sw_status status = SW_OK;
    int steps = 0;
    for (; steps < 10000 && status == SW_OK; steps++)
        if ((status = sw_guide_allowed(guide, &allowed)) == SW_OK)
            status = sw_guide_take(guide, 1);
    CU_ASSERT(status == SW_EINPUT && steps > SW_MATCHER_DEPTH_MAX / 4 - 10);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "nested too deeply"));
    sw_error_clear();
    sw_guide_close(guide);
    sw_guides_close(guides);
    sw_strbuf_free(&block);
}

/* 128 Ki tokens like a model's: printed, and far below a decode step. */
static void large_vocabularies_are_quick(void)
{
    enum { VOCAB = 128 << 10, STEPS = 150 };
    struct sw_strbuf block = {0};
    struct sw_guides *guides;
    struct sw_guide *guide;
    const uint64_t *allowed;
    for (int i = 0; i < VOCAB - 1; i++) {
        char text[16];
        size_t n = 0;
        if (i < 256) {
            text[n++] = (char)i;
        } else {
            if (random_below(2))
                text[n++] = ' ';
            for (uint32_t left = 2 + random_below(8); left > 0; left--)
                text[n++] = random_below(40) == 0 ? (char)(32 + random_below(32))
                                                  : (char)('a' + random_below(26));
        }
        put_token(&block, text, n, 0);
    }
    put_token(&block, "", 0, SW_TOKEN_END);
    double start = cpu_clock();
    CU_ASSERT_EQUAL_FATAL(sw_guides_open(block.text, block.length, &guides), SW_OK);
    printf("\n    128 Ki tokens: %.0f ms once", 1e3 * (cpu_clock() - start));
    static const char *const grammars[] = {JSON,
                                           "root ::= \"\\\"\" [^\"\\x00-\\x1f]{0,2000} \"\\\"\""};
    for (int k = 0; k < 4; k++) {
        const char *gbnf = grammars[k / 2];
        double all = 0, most = 0;
        CU_ASSERT_EQUAL_FATAL(sw_guide_open(guides, gbnf, strlen(gbnf), &guide), SW_OK);
        int steps = 0;
        for (; steps < STEPS; steps++) {
            start = cpu_clock();
            CU_ASSERT_EQUAL_FATAL(sw_guide_allowed(guide, &allowed), SW_OK);
            int id = (int)random_below(VOCAB - 1), tries = 0;
            while (!(allowed[id / 64] >> (id % 64) & 1) && tries++ < 2 * VOCAB)
                id = (id + 1) % (VOCAB - 1);
            if (!(allowed[id / 64] >> (id % 64) & 1))
                break;
            CU_ASSERT_EQUAL(sw_guide_take(guide, id), SW_OK);
            const double took = cpu_clock() - start;
            all += took;
            most = took > most ? took : most;
        }
        printf("\n    %s, %s: %.0f us a token, at most %.0f", k / 2 ? "counted text" : "JSON",
               k % 2 ? "again" : "first", 1e6 * all / steps, 1e6 * most);
        CU_ASSERT(all / steps < 0.02); /* generous: a sanitizer may be at work */
        sw_guide_close(guide);
    }
    printf("\n ");
    sw_guides_close(guides);
    sw_strbuf_free(&block);
}

SW_UNIT_TESTS({"words of grammars", words_of_grammars},
              {"what is refused is named", what_is_refused_is_named},
              {"tokens are as bytes", tokens_are_as_bytes},
              {"dead ends are said", dead_ends_are_said},
              {"large vocabularies are quick", large_vocabularies_are_quick})

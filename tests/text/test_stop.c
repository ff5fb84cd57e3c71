/* Stop strings: where the text ends, what is held back, and that cutting changes nothing. */
#include "text/stop_strings.h"
#include "unit.h"

/* Pushes the text in pieces of `step` bytes; the result as a new string. */
static char *run(const char *const *strings, size_t n, const char *text, size_t step, int *which)
{
    struct sw_stop *stop = NULL;
    struct sw_strbuf out = {0};
    CU_ASSERT_EQUAL_FATAL(sw_stop_create(strings, n, &stop), SW_OK);
    const size_t length = strlen(text);
    for (size_t i = 0; i < length; i += step)
        sw_stop_push(stop, text + i, length - i < step ? length - i : step, &out);
    sw_stop_finish(stop, &out);
    *which = sw_stop_which(stop);
    sw_stop_free(stop);
    sw_strbuf_puts(&out, "");
    return out.text;
}

static void the_text_ends_before_the_first_one(void)
{
    static const struct {
        const char *strings[3];
        const char *text, *expected;
        int which;
    } cases[] = {
        {{"END"}, "some text END more", "some text ", 0},
        {{"END"}, "some text EN", "some text EN", -1},
        {{"aab"}, "aaab", "a", 0},
        {{"abc", "b"}, "xabc", "xa", 1},
        {{"b", "abc"}, "xacbc", "xac", 0},
        {{"bc", "abc"}, "xabc", "x", 1}, /* both end here: the longer one */
        {{"\n\n", "User:"}, "hi\nUser: x", "hi\n", 1},
        {{"\n\n"}, "a\nb\n\nc", "a\nb", 0},
        {{"ababac"}, "abababac!", "ab", 0},
        {{NULL}, "anything", "anything", -1},
        {{"x"}, "", "", -1},
        {{"\xE4\xBD\xA0"}, "a\xE4\xBD\xA1\xE4\xBD\xA0z", "a\xE4\xBD\xA1", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = 0;
        while (n < 3 && cases[i].strings[n])
            n++;
        for (size_t step = 1; step <= 20; step++) {
            int which;
            char *out = run(cases[i].strings, n, cases[i].text, step, &which);
            CU_ASSERT_STRING_EQUAL(out, cases[i].expected);
            CU_ASSERT_EQUAL(which, cases[i].which);
            free(out);
        }
    }
}

static void only_what_may_become_one_is_held_back(void)
{
    static const char *const strings[] = {"stop", "<end>"};
    struct sw_stop *stop = NULL;
    struct sw_strbuf out = {0};
    CU_ASSERT_EQUAL_FATAL(sw_stop_create(strings, 2, &stop), SW_OK);
    CU_ASSERT(!sw_stop_push(stop, "go st", 5, &out));
    CU_ASSERT_STRING_EQUAL(out.text, "go ");
    CU_ASSERT(!sw_stop_push(stop, "and <e", 6, &out));
    CU_ASSERT_STRING_EQUAL(out.text, "go stand ");
    CU_ASSERT(sw_stop_push(stop, "nd> never", 9, &out));
    CU_ASSERT(sw_stop_push(stop, "more", 4, &out));
    sw_stop_finish(stop, &out);
    CU_ASSERT_STRING_EQUAL(out.text, "go stand ");
    CU_ASSERT_EQUAL(sw_stop_which(stop), 1);
    sw_stop_reset(stop);
    CU_ASSERT(!sw_stop_push(stop, "st", 2, &out));
    sw_stop_finish(stop, &out);
    CU_ASSERT_STRING_EQUAL(out.text, "go stand st");
    sw_stop_free(stop);
    sw_strbuf_free(&out);
}

static void bad_ones_are_refused(void)
{
    static char long_one[SW_STOP_LENGTH_MAX + 2];
    memset(long_one, 'a', SW_STOP_LENGTH_MAX + 1);
    const char *const empty[] = {"ok", ""}, *const too_long[] = {long_one};
    const char *many[SW_STOP_STRINGS_MAX + 1];
    struct sw_stop *stop = NULL;
    for (size_t i = 0; i <= SW_STOP_STRINGS_MAX; i++)
        many[i] = "x";
    CU_ASSERT_EQUAL(sw_stop_create(empty, 2, &stop), SW_EINPUT);
    CU_ASSERT_EQUAL(sw_stop_create(too_long, 1, &stop), SW_EINPUT);
    CU_ASSERT_EQUAL(sw_stop_create(many, SW_STOP_STRINGS_MAX + 1, &stop), SW_EINPUT);
    CU_ASSERT_PTR_NULL(stop);
    /* The longest that is allowed, met at its last byte. */
    long_one[SW_STOP_LENGTH_MAX] = '\0';
    CU_ASSERT_EQUAL_FATAL(sw_stop_create(too_long, 1, &stop), SW_OK);
    struct sw_strbuf out = {0};
    for (size_t i = 0; i < SW_STOP_LENGTH_MAX; i++)
        CU_ASSERT_EQUAL(sw_stop_push(stop, "a", 1, &out), i + 1 == SW_STOP_LENGTH_MAX);
    CU_ASSERT_EQUAL(out.length, 0);
    sw_stop_free(stop);
    sw_strbuf_free(&out);
}

SW_UNIT_TESTS({"the text ends before the first one", the_text_ends_before_the_first_one},
              {"only what may become one is held back", only_what_may_become_one_is_held_back},
              {"bad ones are refused", bad_ones_are_refused})

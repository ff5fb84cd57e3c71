/* Control bytes of others' texts in messages. */
#include "base/printable.h"
#include "base/status.h"
#include "unit.h"

#include <string.h>

static void control_bytes_are_spelled(void)
{
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"plain \xC3\xA9 \xE4\xBD\xA0\n\tthere", "plain \xC3\xA9 \xE4\xBD\xA0\n\tthere"},
        {"\x1B[2J\x07\r\b\x7F", "\\x1b[2J\\x07\\x0d\\x08\\x7f"},
        {"\xC2\x9B\x31m", "\\x9b1m"}, /* CSI as one character */
        {"\xC2\xA0\xC2", "\xC2\xA0\xC2"},
    };
    char out[256], small[6];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t n = sw_printable(rows[i].text, strlen(rows[i].text), out, sizeof out);
        CU_ASSERT_STRING_EQUAL(out, rows[i].expected);
        CU_ASSERT_EQUAL(n, strlen(rows[i].expected));
    }
    CU_ASSERT_EQUAL(sw_printable("a\x1B\x1B", 3, small, sizeof small), 5); /* none is cut */
    CU_ASSERT_STRING_EQUAL(small, "a\\x1b");
    for (size_t cap = 1; cap < sizeof small; cap++) { /* nor is anything behind the end touched */
        memset(small, '#', sizeof small);
        const size_t n = sw_printable("a\x1B", 2, small, cap);
        CU_ASSERT_EQUAL(n, cap > 1);
        CU_ASSERT(small[n] == '\0' && small[cap] == '#');
    }
    CU_ASSERT_EQUAL(sw_printable("\xC2\x85", 1, out, sizeof out), 1); /* half a character */
    CU_ASSERT_EQUAL(sw_printable("\0a", 2, out, sizeof out), 5);
}

static void messages_carry_none(void)
{
    CU_ASSERT_EQUAL(sw_fail(SW_EMODEL, "tensor '%s'", "w\x1B]0;x\x07"), SW_EMODEL);
    CU_ASSERT_STRING_EQUAL(sw_error_message(), "tensor 'w\\x1b]0;x\\x07'");
    sw_error_context("%s", "dir\x1B");
    CU_ASSERT_STRING_EQUAL(sw_error_message(), "dir\\x1b: tensor 'w\\x1b]0;x\\x07'");
}

SW_UNIT_TESTS({"control bytes are spelled", control_bytes_are_spelled},
              {"messages carry none", messages_carry_none})

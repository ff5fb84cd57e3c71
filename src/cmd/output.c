/* Owns errors of standard output and standard input. */
#include "cmd/output.h"

#include "base/printable.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum sw_status sw_output_flush(void)
{
    errno = 0;
    const bool failed = fflush(stdout) != 0;
    if (!failed && !ferror(stdout))
        return SW_OK;
    if (failed && errno == EPIPE)
        return sw_fail(SW_EIO, "cannot write to standard output: the reader closed the pipe");
    return sw_fail(SW_EIO,
                   "cannot write to standard output%s%s; make room or redirect it, and run the "
                   "command again",
                   failed ? ": " : "", failed ? strerror(errno) : "");
}

void sw_output_text(const char *text, size_t n)
{
    enum { PIECE = 1024 };
    char shown[4 * PIECE + 1];
    if (!isatty(STDOUT_FILENO)) {
        fwrite(text, 1, n, stdout);
        return;
    }
    while (n > 0) {
        size_t piece = n < PIECE ? n : PIECE;
        while (piece < n && piece > 1 && (text[piece] & 0xC0) == 0x80)
            piece--;
        fwrite(shown, 1, sw_printable(text, piece, shown, sizeof shown), stdout);
        text += piece;
        n -= piece;
    }
}

enum sw_status sw_json_print(json_t *root)
{
    if (!root)
        return sw_fail(SW_ENOMEM, "no memory for the report");
    const int failed = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    printf("\n");
    json_decref(root);
    if (!failed)
        return SW_OK;
    SW_TRY(sw_output_flush());
    return sw_fail(SW_EIO, "the report cannot be written as JSON");
}

enum sw_status sw_input_check(void)
{
    return ferror(stdin) ? sw_fail(SW_EIO, "standard input cannot be read: %s", strerror(errno))
                         : SW_OK;
}

/* Owns errors of standard output and standard input. */
#include "cmd/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

enum sw_status sw_input_check(void)
{
    return ferror(stdin) ? sw_fail(SW_EIO, "standard input cannot be read: %s", strerror(errno))
                         : SW_OK;
}

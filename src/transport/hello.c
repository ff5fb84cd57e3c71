/* Owns the first message between ranks: which program each runs, and whether all are the same. */
#include "transport/start.h"

#include "base/strbuf.h"
#include "base/version.h"
#include "transport/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KINDS_LISTED 8

/* The kind of program of a rank: what follows the name of its host. */
static const char *hello_kind(const char *hello)
{
    const char *end = strchr(hello, '\n');
    return end ? end + 1 : "?\n?\n?";
}

static bool hello_kind_repeats(const char (*hellos)[SW_HELLO_BYTES], int i)
{
    for (int k = 0; k < i; k++)
        if (strcmp(hello_kind(hellos[k]), hello_kind(hellos[i])) == 0)
            return true;
    return false;
}

/* "0.1.0 (source 1234…, Open MPI v4.1.4) on h1, h3" */
static void hello_append_kind(const char (*hellos)[SW_HELLO_BYTES], int size, int first,
                              struct sw_strbuf *out)
{
    char kind[SW_HELLO_BYTES];
    const char *last = "", *comma = " on ";
    snprintf(kind, sizeof kind, "%s", hello_kind(hellos[first]));
    char *rest = kind;
    const char *version = strsep(&rest, "\n"), *source = rest ? strsep(&rest, "\n") : "?";
    sw_strbuf_printf(out, "%s (source %s, %s)", version, source, rest ? rest : "?");
    int listed = 0;
    for (int i = first; i < size; i++) {
        if (strcmp(hello_kind(hellos[i]), hello_kind(hellos[first])) != 0)
            continue;
        const size_t length = strcspn(hellos[i], "\n");
        if (length == strcspn(last, "\n") && strncmp(last, hellos[i], length) == 0)
            continue;
        last = hellos[i];
        if (++listed <= KINDS_LISTED)
            sw_strbuf_printf(out, "%s%.*s", comma, (int)length, last);
        comma = ", ";
    }
    if (listed > KINDS_LISTED)
        sw_strbuf_printf(out, " and %d more", listed - KINDS_LISTED);
}

enum sw_status sw_hello_judge(const char (*hellos)[SW_HELLO_BYTES], int size)
{
    struct sw_strbuf text = {0};
    int kinds = 0;
    for (int i = 0; i < size; i++)
        if (!hello_kind_repeats(hellos, i) && kinds++ < KINDS_LISTED) {
            sw_strbuf_puts(&text, kinds > 1 ? "; " : "");
            hello_append_kind(hellos, size, i, &text);
        }
    if (kinds > 1)
        (void)sw_fail(SW_EDEVICE,
                      "the ranks are not the same program on the same MPI library: %s; install the "
                      "same ones on all hosts",
                      text.text ? text.text : "");
    sw_strbuf_free(&text);
    return kinds > 1 ? SW_EDEVICE : SW_OK;
}

enum sw_status sw_start_same(MPI_Comm comm)
{
    char mine[SW_HELLO_BYTES] = "", host[SW_HOST_MAX] = "?";
    char library[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int rank, size, length;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    MPI_Get_library_version(library, &length);
    gethostname(host, sizeof host - 1);
    library[strcspn(library, ",\n")] = 0; /* "Open MPI v4.1.4, package: …" */
    snprintf(mine, sizeof mine, "%.60s\n%.40s\n%.20s\n%.80s", host, sw_version(), sw_source_id(),
             library);
    char(*all)[SW_HELLO_BYTES] = calloc((size_t)size, sizeof *all);
    if (!all)
        return sw_fail(SW_ENOMEM, "no memory to join %d ranks", size);
    MPI_Allgather(mine, sizeof mine, MPI_CHAR, all, sizeof mine, MPI_CHAR, comm);
    for (int i = 0; i < size; i++)
        all[i][sizeof mine - 1] = 0;
    const enum sw_status status = sw_hello_judge((const char(*)[SW_HELLO_BYTES])all, size);
    free(all);
    if (rank != 0)
        sw_error_clear();
    return status;
}

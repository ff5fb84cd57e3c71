/* Owns the first pass over an input file. */
#include "jobs/input_scan.h"

#include "base/file.h"
#include "base/hash.h"
#include "jobs/input_kind.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK (1u << 20)

static const uint64_t known_key[2] = {0x5370696c6c776179, 0x696e707574};

struct scan_state {
    struct sw_input_scan *out;
    struct sw_hash hash;
    uint64_t begin_bytes;
    uint64_t line; /* bytes of the line under way */
    bool filled;   /* it has more than white space */
};

static void scan_end_line(struct scan_state *l)
{
    l->out->lines += l->filled;
    if (l->line > l->out->longest)
        l->out->longest = l->line;
    l->line = 0;
    l->filled = false;
}

static void scan_count_lines(struct scan_state *l, const char *block, size_t n)
{
    for (size_t at = 0; at < n;) {
        const char *newline = memchr(block + at, '\n', n - at);
        const size_t end = newline ? (size_t)(newline - block) : n;
        l->line += end - at;
        for (; !l->filled && at < end; at++)
            l->filled = block[at] != ' ' && block[at] != '\t' && block[at] != '\r';
        at = end + 1;
        if (newline)
            scan_end_line(l);
    }
}

static void scan_add(struct scan_state *l, const char *block, size_t n)
{
    const uint64_t before = l->out->bytes;
    scan_count_lines(l, block, n);
    if (l->begin_bytes >= before && l->begin_bytes <= before + n) {
        const size_t head = (size_t)(l->begin_bytes - before);
        sw_hash_add(&l->hash, block, head);
        sw_digest_text(sw_hash_end(&l->hash), l->out->begin);
        sw_hash_add(&l->hash, block + head, n - head);
    } else {
        sw_hash_add(&l->hash, block, n);
    }
    l->out->bytes += n;
}

static enum sw_status scan_read_all(int fd, const char *path, struct scan_state *l,
                                    enum sw_status (*keepalive)(void *), void *context)
{
    enum sw_status status = SW_OK;
    char *block = malloc(BLOCK);
    if (!block)
        return sw_fail(SW_ENOMEM, "no memory to read %s", path);
    scan_add(l, block, 0);
    while (status == SW_OK) {
        const ssize_t n = read(fd, block, BLOCK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = sw_fail(SW_EIO, "%s: cannot read: %s", path, strerror(errno));
        if (n <= 0)
            break;
        scan_add(l, block, (size_t)n);
        if (keepalive)
            status = keepalive(context);
    }
    free(block);
    return status;
}

static enum sw_status scan_open(const char *path, int *fd)
{
    enum sw_file_kind kind;
    if (strcmp(path, "-") == 0)
        return sw_fail(SW_EUSAGE, "the input cannot be standard input, because a resumed job reads "
                                  "it again; write it to a file first");
    SW_TRY(sw_file_find(path, &kind));
    if (kind != SW_FILE_DIRECTORY && kind != SW_FILE_OTHER)
        return sw_file_open(path, fd, NULL);
    return sw_fail(SW_EINPUT,
                   "%s: is not a regular file; a resumed job reads its input again, so write it to "
                   "a file first",
                   path);
}

enum sw_status sw_input_scan_check(const char *path)
{
    int fd;
    size_t n = 0;
    SW_TRY(scan_open(path, &fd));
    char *head = malloc(SW_INPUT_HEAD);
    enum sw_status status = head ? SW_OK : sw_fail(SW_ENOMEM, "no memory to read %s", path);
    for (ssize_t got = 1; status == SW_OK && got != 0 && n < SW_INPUT_HEAD;) {
        got = read(fd, head + n, SW_INPUT_HEAD - n);
        if (got < 0 && errno != EINTR)
            status = sw_fail(SW_EIO, "%s: cannot read: %s", path, strerror(errno));
        n += got > 0 ? (size_t)got : 0;
    }
    if (status == SW_OK)
        status = sw_input_kind_check(path, head, n, n < SW_INPUT_HEAD);
    free(head);
    close(fd);
    return status;
}

enum sw_status sw_input_scan_make(const char *path, uint64_t begin_bytes,
                                  enum sw_status (*keepalive)(void *context), void *context,
                                  struct sw_input_scan *out)
{
    struct scan_state l = {.out = out, .begin_bytes = begin_bytes};
    int fd;
    *out = (struct sw_input_scan){0};
    sw_hash_begin(&l.hash, known_key);
    SW_TRY(scan_open(path, &fd));
    const enum sw_status status = scan_read_all(fd, path, &l, keepalive, context);
    close(fd);
    scan_end_line(&l);
    sw_digest_text(sw_hash_end(&l.hash), out->digest);
    return status;
}

/* Owns reading a file line by line in bounded memory. */
#include "jobs/jsonl_reader.h"

#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_CAPACITY (256u << 10)

struct sw_jsonl {
    int fd;
    bool owned; /* sw_jsonl_close closes fd */
    char *path;
    size_t limit;
    char *buffer; /* [begin, end) is read and not handed out yet */
    size_t begin, end, capacity;
    uint64_t most; /* bytes of the file to read */
    uint64_t read; /* bytes of the file that were read so far */
    bool at_end;
    int64_t number;
};

enum sw_status sw_jsonl_over(int fd, const char *path, size_t limit, struct sw_jsonl **out)
{
    struct sw_jsonl *l = calloc(1, sizeof *l);
    if (!l)
        return sw_fail(SW_ENOMEM, "no memory to read %s", path);
    *l =
        (struct sw_jsonl){.fd = fd, .limit = limit, .most = UINT64_MAX, .capacity = FIRST_CAPACITY};
    l->path = strdup(path);
    l->buffer = malloc(l->capacity);
    if (!l->path || !l->buffer) {
        sw_jsonl_close(l);
        return sw_fail(SW_ENOMEM, "no memory to read %s", path);
    }
    *out = l;
    return SW_OK;
}

enum sw_status sw_jsonl_open(const char *path, size_t limit, uint64_t most, struct sw_jsonl **out)
{
    int fd;
    SW_TRY(sw_file_open(path, &fd, NULL));
    const enum sw_status status = sw_jsonl_over(fd, path, limit, out);
    if (status != SW_OK) {
        close(fd);
        return status;
    }
    (*out)->owned = true;
    (*out)->most = most;
    return SW_OK;
}

void sw_jsonl_close(struct sw_jsonl *l)
{
    if (!l)
        return;
    if (l->owned)
        close(l->fd);
    free(l->buffer);
    free(l->path);
    free(l);
}

/* Makes room for more bytes behind `end`: moves [begin, end) to the front, or doubles the buffer.
 */
static enum sw_status jsonl_reader_make_room(struct sw_jsonl *l)
{
    if (l->begin > 0) {
        memmove(l->buffer, l->buffer + l->begin, l->end - l->begin);
        l->end -= l->begin;
        l->begin = 0;
    }
    if (l->end < l->capacity)
        return SW_OK;
    char *grown = realloc(l->buffer, 2 * l->capacity);
    if (!grown)
        return sw_fail(SW_ENOMEM, "%s: no memory for line %lld", l->path, (long long)l->number + 1);
    l->buffer = grown;
    l->capacity *= 2;
    return SW_OK;
}

static enum sw_status jsonl_reader_fill(struct sw_jsonl *l)
{
    SW_TRY(jsonl_reader_make_room(l));
    for (;;) {
        const size_t room = l->capacity - l->end;
        const uint64_t left = l->most - l->read;
        const ssize_t n =
            pread(l->fd, l->buffer + l->end, left < room ? (size_t)left : room, (off_t)l->read);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sw_fail(SW_EIO, "%s: cannot read at byte %llu: %s", l->path,
                           (unsigned long long)l->read, strerror(errno));
        l->end += (size_t)n;
        l->read += (uint64_t)n;
        l->at_end = n == 0;
        return SW_OK;
    }
}

/* Drops the rest of a line that is too long; its first `limit` bytes stay at `begin`. */
static enum sw_status jsonl_reader_skip_rest(struct sw_jsonl *l, struct sw_jsonl_line *line)
{
    const size_t kept = l->begin + l->limit;
    line->too_long = true;
    for (;;) {
        const char *newline = memchr(l->buffer + kept, '\n', l->end - kept);
        if (newline) {
            const size_t skip = (size_t)(newline - (l->buffer + kept));
            memmove(l->buffer + kept, newline, l->end - kept - skip);
            l->end -= skip;
            return SW_OK;
        }
        l->end = kept;
        if (l->at_end)
            return SW_OK;
        SW_TRY(jsonl_reader_fill(l));
    }
}

enum sw_status sw_jsonl_next(struct sw_jsonl *l, struct sw_jsonl_line *line, bool *more)
{
    size_t scanned = 0;
    const char *newline = NULL;
    *line =
        (struct sw_jsonl_line){.number = l->number + 1, .offset = l->read - (l->end - l->begin)};
    for (;;) {
        newline = memchr(l->buffer + l->begin + scanned, '\n', l->end - l->begin - scanned);
        scanned = newline ? (size_t)(newline - l->buffer) - l->begin : l->end - l->begin;
        if (scanned > l->limit) {
            if (l->begin > 0) { /* so that what is kept starts at the front */
                memmove(l->buffer, l->buffer + l->begin, l->end - l->begin);
                l->end -= l->begin;
                l->begin = 0;
            }
            SW_TRY(jsonl_reader_skip_rest(l, line));
            scanned = l->limit;
            newline = l->end > scanned ? l->buffer + scanned : NULL;
        }
        if (newline || l->at_end)
            break;
        SW_TRY(jsonl_reader_fill(l));
    }
    *more = newline || scanned > 0;
    if (!*more)
        return SW_OK;
    l->number++;
    line->bytes = l->buffer + l->begin;
    line->n = scanned;
    line->ended = newline;
    l->begin += scanned + (newline ? 1 : 0);
    if (l->number == 1 && line->n >= 3 && memcmp(line->bytes, "\xEF\xBB\xBF", 3) == 0) {
        line->bytes += 3; /* a byte order mark; Windows programs write one */
        line->offset += 3;
        line->n -= 3;
    }
    if (line->n > 0 && line->bytes[line->n - 1] == '\r')
        line->n--;
    return SW_OK;
}

bool sw_jsonl_is_blank(const struct sw_jsonl_line *line)
{
    for (size_t i = 0; i < line->n; i++)
        if (!strchr(" \t\r", line->bytes[i]) || line->bytes[i] == '\0')
            return false;
    return true;
}

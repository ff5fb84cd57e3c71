/* Owns OUT.part and its journal: what is on the disk for sure, and when OUT appears. */
#include "jobs/quantize_file.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_MAX (16u << 20) /* bytes that are read of a journal */
#define OPEN_FLAGS (O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

static enum sw_status part_fail(const char *path, int error)
{
    const char *what = error == ENOSPC || error == EDQUOT || error == EFBIG
                           ? "; what is finished stays: make room and run the command again"
                           : "";
    return sw_fail(SW_EIO, "%s: cannot be written: %s%s", path, strerror(error), what);
}

static enum sw_status part_write_at(int fd, const char *path, uint64_t offset, const void *bytes,
                                    size_t n)
{
    const char *at = bytes;
    while (n > 0) {
        const ssize_t written = pwrite(fd, at, n, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return part_fail(path, errno);
        at += written;
        offset += (uint64_t)written;
        n -= (size_t)written;
    }
    return SW_OK;
}

static enum sw_status part_sync(int fd, const char *path)
{
    return fdatasync(fd) == 0 ? SW_OK : part_fail(path, errno);
}

/* A new name, or a file, must survive a power cut; file systems without this are ignored. */
static void part_sync_folder(const char *path)
{
    char *copy = strdup(path);
    const int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(copy);
}

/* Opens a regular file of ours, or creates it; *is_new. */
static enum sw_status part_open_file(const char *path, bool create, int *fd, bool *is_new)
{
    struct stat st;
    *is_new = false;
    *fd = open(path, OPEN_FLAGS);
    if (*fd < 0 && errno == ENOENT && create) {
        *fd = open(path, OPEN_FLAGS | O_CREAT | O_EXCL, 0666);
        *is_new = true;
    }
    if (*fd < 0)
        return sw_fail(SW_EIO, "%s: cannot be %s: %s", path, create ? "created" : "opened",
                       strerror(errno));
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode))
        return sw_fail(SW_EUSAGE, "%s: is no regular file; remove it or name another output", path);
    return SW_OK;
}

static enum sw_status part_name(const char *path, struct sw_quantize_file *out)
{
    *out = (struct sw_quantize_file){.fd = -1, .journal_fd = -1, .path = strdup(path)};
    if (asprintf(&out->part, "%s.part", path) < 0)
        out->part = NULL;
    if (asprintf(&out->journal, "%s.part.journal", path) < 0)
        out->journal = NULL;
    return out->path && out->part && out->journal ? SW_OK
                                                  : sw_fail(SW_ENOMEM, "no memory for a path");
}

/* ---- the journal: the identity, then the number of a part a line */

/* Whether the journal is that of these bytes; fills in `done`. A torn line at its end is none. */
static enum sw_status journal_read(struct sw_quantize_file *f, const char *identity, bool *same)
{
    char *text;
    size_t length;
    const size_t n_identity = strlen(identity);
    SW_TRY(sw_file_read(f->journal, JOURNAL_MAX, &text, &length));
    *same =
        length > n_identity && memcmp(text, identity, n_identity) == 0 && text[n_identity] == '\n';
    for (size_t at = *same ? n_identity + 1 : length; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        char *stop;
        if (!end)
            break;
        const unsigned long long part = strtoull(text + at, &stop, 10);
        if (stop == end && part < f->n)
            f->done[part] = 1;
        at = (size_t)(end - text) + 1;
    }
    free(text);
    return SW_OK;
}

static enum sw_status journal_begin(struct sw_quantize_file *f, const char *identity)
{
    struct sw_strbuf line = {0};
    sw_strbuf_printf(&line, "%s\n", identity);
    enum sw_status status = line.failed ? sw_fail(SW_ENOMEM, "no memory for a journal") : SW_OK;
    if (status == SW_OK && ftruncate(f->journal_fd, 0) != 0)
        status = part_fail(f->journal, errno);
    if (status == SW_OK)
        status = part_write_at(f->journal_fd, f->journal, 0, line.text, line.length);
    if (status == SW_OK)
        status = part_sync(f->journal_fd, f->journal);
    sw_strbuf_free(&line);
    return status;
}

enum sw_status sw_quantize_file_note(struct sw_quantize_file *f, const uint64_t *parts, size_t n)
{
    struct sw_strbuf lines = {0};
    struct stat st;
    for (size_t i = 0; i < n; i++) {
        sw_strbuf_printf(&lines, "%llu\n", (unsigned long long)parts[i]);
        f->done[parts[i]] = 1;
    }
    enum sw_status status = lines.failed ? sw_fail(SW_ENOMEM, "no memory for a journal") : SW_OK;
    if (status == SW_OK && n > 0 && fstat(f->journal_fd, &st) != 0)
        status = part_fail(f->journal, errno);
    if (status == SW_OK && n > 0)
        status = part_write_at(f->journal_fd, f->journal, (uint64_t)st.st_size, lines.text,
                               lines.length);
    if (status == SW_OK && n > 0)
        status = part_sync(f->journal_fd, f->journal);
    sw_strbuf_free(&lines);
    return status;
}

/* ---- OUT.part */

/* Room for the whole file, so that a full disk is known at once; where it cannot be had that way
 * the size alone. */
static enum sw_status part_reserve(const struct sw_quantize_file *f, uint64_t size)
{
    if (ftruncate(f->fd, 0) != 0)
        return part_fail(f->part, errno);
    if (fallocate(f->fd, 0, 0, (off_t)size) == 0)
        return SW_OK;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) {
        const int error = errno;
        (void)ftruncate(f->fd, 0);
        return sw_fail(SW_EIO, "%s: there is no room for its %llu bytes: %s", f->part,
                       (unsigned long long)size, strerror(error));
    }
    return ftruncate(f->fd, (off_t)size) == 0 ? SW_OK : part_fail(f->part, errno);
}

static enum sw_status part_begin(struct sw_quantize_file *f, const char *identity,
                                 const struct sw_strbuf *header, uint64_t size)
{
    memset(f->done, 0, f->n);
    SW_TRY(part_reserve(f, size));
    SW_TRY(part_write_at(f->fd, f->part, 0, header->text, header->length));
    if (fsync(f->fd) != 0)
        return part_fail(f->part, errno);
    SW_TRY(journal_begin(f, identity));
    part_sync_folder(f->part);
    return SW_OK;
}

enum sw_status sw_quantize_file_check(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0)
        return sw_fail(SW_EUSAGE, "%s: is there already; remove it or name another output", path);
    return errno == ENOENT ? SW_OK : sw_file_fail(path, "written", errno);
}

enum sw_status sw_quantize_file_open(const char *path, const char *identity,
                                     const struct sw_strbuf *header, uint64_t size, size_t n,
                                     struct sw_quantize_file *f)
{
    bool is_new, journal_is_new, same = false;
    struct stat st;
    SW_TRY(part_name(path, f));
    SW_TRY(sw_quantize_file_check(path));
    f->n = n;
    f->done = calloc(n + 1, 1);
    if (!f->done)
        return sw_fail(SW_ENOMEM, "no memory for a journal");
    SW_TRY(part_open_file(f->part, true, &f->fd, &is_new));
    if (flock(f->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return sw_fail(SW_EUSAGE, "%s: another process is writing it", f->part);
    SW_TRY(part_open_file(f->journal, true, &f->journal_fd, &journal_is_new));
    if (!is_new && !journal_is_new && fstat(f->fd, &st) == 0 && (uint64_t)st.st_size == size)
        SW_TRY(journal_read(f, identity, &same));
    return same ? SW_OK : part_begin(f, identity, header, size);
}

enum sw_status sw_quantize_file_join(const char *path, const char *identity, uint64_t size,
                                     size_t n, struct sw_quantize_file *f)
{
    bool is_new, same = false;
    struct stat st;
    SW_TRY(part_name(path, f));
    f->n = n;
    f->done = calloc(n + 1, 1);
    if (!f->done)
        return sw_fail(SW_ENOMEM, "no memory for a journal");
    enum sw_status status = part_open_file(f->part, false, &f->fd, &is_new);
    if (status == SW_OK)
        status = journal_read(f, identity, &same);
    if (status == SW_OK && (fstat(f->fd, &st) != 0 || (uint64_t)st.st_size != size || !same))
        status = sw_fail(SW_EIO, "%s: is not the file that rank 0 writes", f->part);
    if (status != SW_OK)
        sw_error_context("OUT must lie where all hosts see the same files");
    return status;
}

enum sw_status sw_quantize_file_write(const struct sw_quantize_file *f, uint64_t offset,
                                      const void *bytes, size_t n)
{
    return part_write_at(f->fd, f->part, offset, bytes, n);
}

enum sw_status sw_quantize_file_sync(const struct sw_quantize_file *f)
{
    return part_sync(f->fd, f->part);
}

enum sw_status sw_quantize_file_finish(struct sw_quantize_file *f)
{
    if (fsync(f->fd) != 0)
        return part_fail(f->part, errno);
    if (renameat2(AT_FDCWD, f->part, AT_FDCWD, f->path, RENAME_NOREPLACE) != 0) {
        if (errno != EINVAL && errno != ENOSYS)
            return sw_fail(SW_EIO, "%s: cannot be renamed to %s: %s", f->part, f->path,
                           strerror(errno));
        SW_TRY(sw_quantize_file_check(f->path)); /* a file system without that flag */
        if (rename(f->part, f->path) != 0)
            return sw_fail(SW_EIO, "%s: cannot be renamed to %s: %s", f->part, f->path,
                           strerror(errno));
    }
    part_sync_folder(f->path);
    (void)unlink(f->journal);
    return SW_OK;
}

void sw_quantize_file_close(struct sw_quantize_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->journal_fd >= 0)
        close(f->journal_fd);
    free(f->path);
    free(f->part);
    free(f->journal);
    free(f->done);
    *f = (struct sw_quantize_file){.fd = -1, .journal_fd = -1};
}

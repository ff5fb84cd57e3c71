/* Owns opening and reading of files. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The status and the advice for an errno of a path. */
static const struct cause {
    int error;
    enum sw_status status;
    const char *advice;
} causes[] = {
    {ENOENT, SW_EINPUT, ""},
    {ENOTDIR, SW_EINPUT, ""},
    {ELOOP, SW_EINPUT, "; its links form a loop"},
    {ENAMETOOLONG, SW_EINPUT, ""},
    {EACCES, SW_EINPUT, "; give the user who runs spillway permission"},
    {EPERM, SW_EINPUT, "; give the user who runs spillway permission"},
    {EISDIR, SW_EINPUT, ""},
    {EROFS, SW_EINPUT, ""},
    {ENXIO, SW_EINPUT, "; it is a socket, or a FIFO without a reader"},
    {EMFILE, SW_EIO, "; raise the limit of open files (ulimit -n)"},
    {ENFILE, SW_EIO, "; the machine has too many open files"},
    {ESTALE, SW_EIO, "; it was replaced on the file server, run the command again"},
    {ENOMEM, SW_ENOMEM, ""},
};

enum sw_status sw_file_fail(const char *path, const char *done, int error)
{
    const struct cause *cause = NULL;
    for (size_t i = 0; i < sizeof causes / sizeof causes[0] && !cause; i++)
        if (causes[i].error == error)
            cause = &causes[i];
    return sw_fail(cause ? cause->status : SW_EIO, "%s: cannot be %s: %s%s", path, done,
                   strerror(error), cause ? cause->advice : "");
}

bool sw_file_is_absence(int error)
{
    return error == ENOENT || error == ENOTDIR;
}

/* stat, or lstat, as often as signals interrupt it; 0 or an errno. */
static int file_stat(const char *path, bool follow, struct stat *st)
{
    while ((follow ? stat(path, st) : lstat(path, st)) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* After ENOENT or ENOTDIR: SW_EINPUT when there is a link whose target is missing. */
static enum sw_status file_check_dangling(const char *path)
{
    char target[PATH_MAX];
    struct stat st;
    const int error = file_stat(path, false, &st);
    if (error != 0 && !sw_file_is_absence(error))
        return sw_file_fail(path, "examined", error);
    if (error != 0 || !S_ISLNK(st.st_mode))
        return SW_OK;
    const ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    return sw_fail(SW_EINPUT,
                   "%s: is a link to %s, which does not exist; download it again, or copy the "
                   "file that the link should name",
                   path, n > 0 ? target : "a file");
}

static enum sw_file_kind file_kind(const struct stat *st)
{
    return S_ISREG(st->st_mode)   ? SW_FILE_REGULAR
           : S_ISDIR(st->st_mode) ? SW_FILE_DIRECTORY
                                  : SW_FILE_OTHER;
}

enum sw_status sw_file_find(const char *path, enum sw_file_kind *kind)
{
    struct stat st;
    *kind = SW_FILE_ABSENT;
    const int error = file_stat(path, true, &st);
    if (sw_file_is_absence(error))
        return file_check_dangling(path);
    if (error != 0)
        return sw_file_fail(path, "examined", error);
    *kind = file_kind(&st);
    return SW_OK;
}

enum sw_status sw_file_find_in(const char *dir, const char *name, enum sw_file_kind *kind)
{
    char *path = sw_path_join(dir, name);
    const enum sw_status status =
        path ? sw_file_find(path, kind) : sw_fail(SW_ENOMEM, "no memory for a path");
    free(path);
    return status;
}

static enum sw_status file_refuse_kind(const char *path, const struct stat *st)
{
    const char *what = S_ISDIR(st->st_mode)    ? "a directory"
                       : S_ISFIFO(st->st_mode) ? "a FIFO (a named pipe)"
                       : S_ISSOCK(st->st_mode) ? "a socket"
                                               : "a device";
    return sw_fail(SW_EINPUT, "%s: is %s, not a regular file", path, what);
}

static enum sw_status file_check_opened(int fd, const char *path, uint64_t *size)
{
    struct stat st;
    while (fstat(fd, &st) != 0)
        if (errno != EINTR)
            return sw_file_fail(path, "examined", errno);
    if (!S_ISREG(st.st_mode))
        return file_refuse_kind(path, &st);
    if (size)
        *size = (uint64_t)st.st_size;
    return SW_OK;
}

enum sw_status sw_file_open_optional(const char *path, int *fd, uint64_t *size)
{
    /* Without waiting for a FIFO's other end, nor becoming the owner of a terminal. */
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, opened;
    struct stat st;
    *fd = -1;
    while ((opened = open(path, flags)) < 0) {
        if (errno == EAGAIN && (flags & O_NONBLOCK)) /* another process holds a lease: wait */
            flags &= ~O_NONBLOCK;
        else if (errno != EINTR)
            break;
    }
    if (opened < 0) {
        const int error = errno;
        if (sw_file_is_absence(error))
            return file_check_dangling(path);
        if (error == ENXIO && file_stat(path, true, &st) == 0 && !S_ISREG(st.st_mode))
            return file_refuse_kind(path, &st);
        return sw_file_fail(path, "opened", error);
    }
    const enum sw_status status = file_check_opened(opened, path, size);
    if (status != SW_OK)
        close(opened);
    else
        *fd = opened;
    return status;
}

enum sw_status sw_file_open(const char *path, int *fd, uint64_t *size)
{
    SW_TRY(sw_file_open_optional(path, fd, size));
    return *fd >= 0 ? SW_OK : sw_file_fail(path, "opened", ENOENT);
}

enum sw_status sw_file_read_at(int fd, const char *path, uint64_t offset, void *out, size_t length)
{
    char *at = out;
    while (length > 0) {
        const ssize_t n = pread(fd, at, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sw_fail(SW_EIO, "%s: cannot read at byte %llu: %s", path,
                           (unsigned long long)offset, strerror(errno));
        if (n == 0)
            return sw_fail(SW_EMODEL,
                           "%s: ends at byte %llu, %zu bytes more were expected; the file is "
                           "truncated, copy it again",
                           path, (unsigned long long)offset, length);
        at += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return SW_OK;
}

enum sw_status sw_file_refuse_pointer(const char *path, const void *bytes, size_t n)
{
    static const char pointer[] = "version https://";
    if (n < strlen(pointer) || memcmp(bytes, pointer, strlen(pointer)) != 0)
        return SW_OK;
    return sw_fail(SW_EMODEL,
                   "%s: is a Git LFS pointer, not the file itself; run \"git lfs pull\" in its "
                   "directory",
                   path);
}

static enum sw_status file_read_whole(int fd, const char *path, uint64_t size, size_t limit,
                                      char **bytes, size_t *length)
{
    if (size > limit)
        return sw_fail(SW_EINPUT, "%s: has %llu bytes; at most %zu are expected", path,
                       (unsigned long long)size, limit);
    char *buffer = malloc((size_t)size + 1);
    if (!buffer)
        return sw_fail(SW_ENOMEM, "%s: no memory for its %llu bytes", path,
                       (unsigned long long)size);
    enum sw_status status = sw_file_read_at(fd, path, 0, buffer, (size_t)size);
    if (status == SW_OK)
        status = sw_file_refuse_pointer(path, buffer, (size_t)size);
    if (status != SW_OK) {
        free(buffer);
        return status;
    }
    buffer[size] = '\0';
    *bytes = buffer;
    *length = (size_t)size;
    return SW_OK;
}

enum sw_status sw_file_read_optional(const char *path, size_t limit, char **bytes, size_t *length)
{
    uint64_t size = 0;
    int fd;
    *bytes = NULL;
    *length = 0;
    SW_TRY(sw_file_open_optional(path, &fd, &size));
    if (fd < 0)
        return SW_OK;
    const enum sw_status status = file_read_whole(fd, path, size, limit, bytes, length);
    close(fd);
    return status;
}

enum sw_status sw_file_read_in(const char *dir, const char *name, size_t limit, char **bytes,
                               size_t *length)
{
    char *path = sw_path_join(dir, name);
    *bytes = NULL;
    *length = 0;
    const enum sw_status status = path ? sw_file_read_optional(path, limit, bytes, length)
                                       : sw_fail(SW_ENOMEM, "no memory for a path");
    free(path);
    return status;
}

enum sw_status sw_file_read(const char *path, size_t limit, char **bytes, size_t *length)
{
    SW_TRY(sw_file_read_optional(path, limit, bytes, length));
    return *bytes ? SW_OK : sw_file_fail(path, "opened", ENOENT);
}

enum sw_status sw_file_read_kernel(const char *path, size_t limit, char **bytes, size_t *length)
{
    enum sw_status status = SW_OK;
    int fd;
    *bytes = NULL;
    *length = 0;
    SW_TRY(sw_file_open_optional(path, &fd, NULL));
    if (fd < 0)
        return SW_OK;
    char *buffer = malloc(limit + 1);
    size_t have = 0;
    if (!buffer)
        status = sw_fail(SW_ENOMEM, "%s: no memory to read it", path);
    while (status == SW_OK && have < limit) {
        const ssize_t n = read(fd, buffer + have, limit - have);
        if (n < 0 && errno != EINTR)
            status = sw_file_fail(path, "read", errno);
        if (n == 0)
            break;
        have += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (status != SW_OK) {
        free(buffer);
        return status;
    }
    buffer[have] = '\0';
    *bytes = buffer;
    *length = have;
    return SW_OK;
}

char *sw_path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir) + strlen(name) + 2;
    char *path = malloc(n);
    if (path)
        snprintf(path, n, "%s/%s", dir, name);
    return path;
}

enum sw_status sw_file_line(FILE *file, size_t limit, char **line, size_t *capacity, size_t *n)
{
    *n = 0;
    for (int c; (c = getc_unlocked(file)) != EOF;) {
        if (*n == limit)
            return sw_fail(SW_EINPUT, "is longer than %zu MiB", limit >> 20);
        if (*n == *capacity) {
            const size_t more = *capacity ? 2 * *capacity : 4096;
            char *grown = realloc(*line, more);
            if (!grown)
                return sw_fail(SW_ENOMEM, "no memory for a line of more than %zu bytes", *n);
            *line = grown;
            *capacity = more;
        }
        (*line)[(*n)++] = (char)c;
        if (c == '\n')
            break;
    }
    return ferror(file) ? sw_fail(SW_EIO, "cannot be read: %s", strerror(errno)) : SW_OK;
}

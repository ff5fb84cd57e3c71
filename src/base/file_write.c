/* Owns opening of files that are written. */
#include "base/file_write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int sw_file_write_descriptor(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        const size_t n = strlen(folders[i]);
        if (strncmp(path, folders[i], n) != 0 || !path[n] ||
            path[n + strspn(path + n, "0123456789")])
            continue;
        const long fd = strtol(path + n, NULL, 10);
        return fd <= INT_MAX ? (int)fd : -1;
    }
    return -1;
}

static enum sw_status file_write_fail(const char *path, int error)
{
    return sw_fail(SW_EIO, "%s: cannot be written: %s", path, strerror(error));
}

static enum sw_status file_write_refuse_kind(const char *path, mode_t mode)
{
    return sw_fail(SW_EUSAGE, "%s: is %s, not a regular file; name a file", path,
                   S_ISDIR(mode)    ? "a directory"
                   : S_ISFIFO(mode) ? "a FIFO (a named pipe)"
                   : S_ISSOCK(mode) ? "a socket"
                                    : "a disk");
}

/* The failure of an open: a FIFO without a reader or a socket, or the system's message. */
static enum sw_status file_write_open_failed(const char *path, int error)
{
    struct stat st;
    if ((error == ENXIO || error == EISDIR) && stat(path, &st) == 0 && !S_ISREG(st.st_mode) &&
        !S_ISCHR(st.st_mode))
        return file_write_refuse_kind(path, st.st_mode);
    return file_write_fail(path, error);
}

/* Checks the kind of the opened file and truncates it for SW_WRITE_ANEW. */
static enum sw_status file_write_prepare(int fd, const char *path, enum sw_write_mode mode)
{
    struct stat st;
    int failed;
    while (fstat(fd, &st) != 0)
        if (errno != EINTR)
            return file_write_fail(path, errno);
    if (!S_ISREG(st.st_mode))
        return S_ISCHR(st.st_mode) ? SW_OK : file_write_refuse_kind(path, st.st_mode);
    do
        failed = mode == SW_WRITE_ANEW ? ftruncate(fd, 0) : 0;
    while (failed && errno == EINTR);
    return failed ? file_write_fail(path, errno) : SW_OK;
}

enum sw_status sw_file_write_open(const char *path, enum sw_write_mode mode, int *fd)
{
    const int named = sw_file_write_descriptor(path);
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
                      (mode == SW_WRITE_APPEND ? O_APPEND : 0);
    int opened;
    *fd = -1;
    if (named >= 0) {
        *fd = fcntl(named, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        return *fd >= 0 ? SW_OK : file_write_fail(path, errno);
    }
    do
        opened = open(path, flags, 0666);
    while (opened < 0 && errno == EINTR);
    if (opened < 0)
        return file_write_open_failed(path, errno);
    enum sw_status status = file_write_prepare(opened, path, mode);
    if (status == SW_OK && fcntl(opened, F_SETFL, flags & O_APPEND) != 0) /* a terminal may wait */
        status = file_write_fail(path, errno);
    if (status != SW_OK)
        close(opened);
    else
        *fd = opened;
    return status;
}

enum sw_status sw_file_write_stream(const char *path, enum sw_write_mode mode, FILE **file)
{
    int fd;
    *file = NULL;
    SW_TRY(sw_file_write_open(path, mode, &fd));
    *file = fdopen(fd, mode == SW_WRITE_APPEND ? "a" : "w");
    if (*file)
        return SW_OK;
    const enum sw_status status = file_write_fail(path, errno);
    close(fd);
    return status;
}

enum sw_status sw_file_write_new(const char *path, int *fd)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    for (int tries = 0; (*fd = open(path, flags, 0666)) < 0; tries++) {
        const int error = errno;
        if (error != EINTR && (error != EEXIST || tries > 0 || unlink(path) != 0))
            return sw_fail(SW_EIO, "%s: cannot be created: %s", path, strerror(error));
    }
    return SW_OK;
}

/* Owns reading of files: every other module is given bytes or an open descriptor. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

enum sw_status sw_file_read(const char *path, size_t limit, char **bytes, size_t *length)
{
    enum sw_status status = SW_OK;
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sw_fail(SW_EINPUT, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        status = sw_fail(SW_EINPUT, "%s: is not a regular file", path);
        goto undo_open;
    }
    if ((uint64_t)st.st_size > limit) {
        status = sw_fail(SW_EINPUT, "%s: has %lld bytes, more than the %zu that can be right", path,
                         (long long)st.st_size, limit);
        goto undo_open;
    }
    const size_t size = (size_t)st.st_size;
    char *buffer = malloc(size + 1);
    if (!buffer) {
        status = sw_fail(SW_ENOMEM, "%s: no memory for its %zu bytes", path, size);
        goto undo_open;
    }
    status = sw_file_read_at(fd, path, 0, buffer, size);
    if (status != SW_OK) {
        free(buffer);
        goto undo_open;
    }
    buffer[size] = '\0';
    *bytes = buffer;
    *length = size;
undo_open:
    close(fd);
    return status;
}

bool sw_file_exists(const char *path)
{
    return access(path, R_OK) == 0;
}

bool sw_file_is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *sw_path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir) + strlen(name) + 2;
    char *path = malloc(n);
    if (path)
        snprintf(path, n, "%s/%s", dir, name);
    return path;
}

/* Owns replacing small files so that they last. */
#include "base/file_replace.h"

#include "base/strbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int sw_file_sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    const int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    if (fd < 0)
        return -1;
    const int failed = fsync(fd);
    close(fd);
    return failed && errno != EINVAL ? -1 : 0; /* some file systems cannot sync a folder */
}

static int file_write_all(int fd, const char *text, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t written = write(fd, text + done, n - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        done += (size_t)written;
    }
    return fsync(fd);
}

/* Others can guess the name of the part and put a link there, so it must be a new file. */
static enum sw_status file_replace_by(const char *path, const char *part, const char *text)
{
    (void)unlink(part); /* from a run that was killed */
    const int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return sw_fail(SW_EIO, "%s: cannot write: %s", part, strerror(errno));
    int failed = file_write_all(fd, text, strlen(text));
    failed = close(fd) != 0 || failed;
    failed = failed || rename(part, path) != 0 || sw_file_sync_folder(path) != 0;
    if (!failed)
        return SW_OK;
    const int error = errno;
    unlink(part);
    if (error == ENOMEM)
        return sw_fail(SW_ENOMEM, "%s: no memory to write it", path);
    return sw_fail(SW_EIO, "%s: cannot write: %s; make room there", path, strerror(error));
}

enum sw_status sw_file_replace(const char *path, const char *text)
{
    struct sw_strbuf part = {0};
    sw_strbuf_printf(&part, "%s.part", path);
    const enum sw_status status = part.failed ? sw_fail(SW_ENOMEM, "%s: no memory for a path", path)
                                              : file_replace_by(path, part.text, text);
    sw_strbuf_free(&part);
    return status;
}

/* Owns temporary files of rows. */
#include "jobs/row_file.h"

#include "base/checked.h"
#include "base/file.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct sw_row_file {
    int fd;
    char *folder;
    size_t row_bytes;
    uint64_t n;
};

static enum sw_status row_file_fail(const char *folder, const char *done, int error)
{
    const enum sw_status status = sw_file_fail(folder, done, error);
    sw_error_context("a temporary file (TMPDIR names its folder)");
    return status == SW_EINPUT ? SW_EIO : status;
}

/* Opens a file without a name, or takes its name away where the file system needs one. */
static enum sw_status row_file_make(const char *folder, int *fd)
{
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0)
        return SW_OK;
    char *path = sw_path_join(folder, "spillway-XXXXXX");
    if (!path)
        return sw_fail(SW_ENOMEM, "no memory for a path");
    *fd = mkostemp(path, O_CLOEXEC);
    const int error = errno;
    if (*fd >= 0)
        unlink(path);
    free(path);
    return *fd >= 0 ? SW_OK : row_file_fail(folder, "written to", error);
}

static enum sw_status row_file_check_room(const char *folder, int fd, uint64_t bytes)
{
    struct statvfs room;
    char needed[16], left[16];
    if (fstatvfs(fd, &room) != 0)
        return SW_OK; /* writing will show it */
    const uint64_t free_bytes = (uint64_t)room.f_bavail * room.f_frsize;
    if (free_bytes >= bytes)
        return SW_OK;
    return sw_fail(SW_EIO,
                   "%s: a temporary file of %s is needed there, but %s are free; set TMPDIR to a "
                   "folder with more room, or take fewer --windows",
                   folder, sw_size_format(bytes, needed, sizeof needed),
                   sw_size_format(free_bytes, left, sizeof left));
}

enum sw_status sw_row_file_open(size_t row_bytes, uint64_t n, struct sw_row_file **out)
{
    const char *folder = getenv("TMPDIR");
    uint64_t bytes;
    *out = NULL;
    if (!folder || !*folder)
        folder = "/var/tmp";
    if (!sw_mul_u64(row_bytes, n, &bytes) || bytes > INT64_MAX)
        return sw_fail(SW_EIO, "a temporary file of %llu rows of %zu bytes is too large",
                       (unsigned long long)n, row_bytes);
    struct sw_row_file *f = calloc(1, sizeof *f);
    char *copy = strdup(folder);
    if (!f || !copy) {
        free(f);
        free(copy);
        return sw_fail(SW_ENOMEM, "no memory for a temporary file");
    }
    *f = (struct sw_row_file){.fd = -1, .folder = copy, .row_bytes = row_bytes, .n = n};
    enum sw_status status = row_file_make(folder, &f->fd);
    if (status == SW_OK)
        status = row_file_check_room(folder, f->fd, bytes);
    if (status == SW_OK)
        *out = f;
    else
        sw_row_file_close(f);
    return status;
}

void sw_row_file_close(struct sw_row_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    free(f->folder);
    free(f);
}

uint64_t sw_row_file_bytes(const struct sw_row_file *f)
{
    return f->row_bytes * f->n;
}

enum sw_status sw_row_file_write(struct sw_row_file *f, uint64_t row, const void *rows, uint64_t n)
{
    const char *bytes = rows;
    for (uint64_t at = row * f->row_bytes, end = at + n * f->row_bytes; at < end;) {
        const ssize_t got = pwrite(f->fd, bytes, end - at, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return row_file_fail(f->folder, "written to", got < 0 ? errno : ENOSPC);
        bytes += got;
        at += (uint64_t)got;
    }
    return SW_OK;
}

enum sw_status sw_row_file_read(const struct sw_row_file *f, uint64_t row, void *rows, uint64_t n)
{
    return sw_file_read_at(f->fd, f->folder, row * f->row_bytes, rows, n * f->row_bytes);
}

/* Owns the short read that measures the disk of a model. */
#include "base/clock.h"
#include "base/file.h"
#include "probe/measure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (8 << 20)
#define ALIGNMENT 4096
#define SIZE_ENOUGH (1 << 20) /* bytes; a smaller file is too short to measure with */

static enum sw_status disk_file_size(const char *path, uint64_t *size)
{
    int fd;
    SW_TRY(sw_file_open(path, &fd, size));
    close(fd);
    return SW_OK;
}

/* Writes the path of the largest regular file of a directory into `out`; skips unreadable ones. */
static enum sw_status disk_largest_file(const char *path, char *out, size_t cap, uint64_t *largest)
{
    DIR *dir = opendir(path);
    if (!dir)
        return sw_file_fail(path, "listed", errno);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char name[4096];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (stat(name, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > *largest &&
            strlen(name) < cap) {
            *largest = (uint64_t)st.st_size;
            snprintf(out, cap, "%s", name);
        }
    }
    closedir(dir);
    return SW_OK;
}

/* Opens the file to read without the page cache; else the kernel drops its pages first. */
static enum sw_status disk_open_uncached(const char *name, uint64_t from, uint64_t length, int *fd)
{
    SW_TRY(sw_file_open(name, fd, NULL));
    if (fcntl(*fd, F_SETFL, O_DIRECT) != 0)
        posix_fadvise(*fd, (off_t)from, (off_t)length, POSIX_FADV_DONTNEED);
    return SW_OK;
}

/* Reads one block; *n: its bytes, 0 at the end. */
static enum sw_status disk_read_block(int fd, const char *name, char *block, uint64_t at, size_t *n)
{
    ssize_t got;
    do
        got = pread(fd, block, BLOCK, (off_t)at);
    while (got < 0 && errno == EINTR);
    *n = got > 0 ? (size_t)got : 0;
    return got < 0 ? sw_file_fail(name, "read", errno) : SW_OK;
}

enum sw_status sw_disk_rate(const char *path, int part, int parts, double seconds, double *rate)
{
    char name[4096];
    enum sw_file_kind kind;
    uint64_t size = 0;
    int fd;
    *rate = 0;
    snprintf(name, sizeof name, "%s", path);
    SW_TRY(sw_file_find(path, &kind));
    if (kind == SW_FILE_DIRECTORY)
        SW_TRY(disk_largest_file(path, name, sizeof name, &size));
    else
        SW_TRY(disk_file_size(path, &size));
    if (size < SIZE_ENOUGH)
        return sw_fail(SW_EINPUT,
                       "%s: holds no file of 1 MiB or more, too little to measure the disk with",
                       path);
    const uint64_t from = size / (uint64_t)parts * (uint64_t)part / ALIGNMENT * ALIGNMENT;
    SW_TRY(disk_open_uncached(name, from, size - from, &fd));
    char *block = aligned_alloc(ALIGNMENT, BLOCK);
    enum sw_status status = block ? SW_OK : sw_fail(SW_ENOMEM, "no memory to read %s", name);
    const double begin = sw_clock();
    double bytes = 0, time = begin;
    for (uint64_t at = from; status == SW_OK && time < begin + seconds && at < size;
         time = sw_clock()) {
        size_t n;
        status = disk_read_block(fd, name, block, at, &n);
        if (n == 0)
            break;
        bytes += (double)n;
        at += n;
    }
    *rate = time > begin ? bytes / (time - begin) : 0;
    free(block);
    close(fd);
    return status;
}

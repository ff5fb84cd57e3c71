/* Owns the short read that tells how fast a model's disk is. */
#include "base/clock.h"
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
#define SIZE_ENOUGH (1 << 20) /* a smaller file says nothing about the disk */

/* The largest regular file of a directory into `out`. */
static uint64_t largest_in(const char *path, char *out, size_t cap)
{
    DIR *dir = opendir(path);
    uint64_t largest = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char name[4096];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (stat(name, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > largest &&
            strlen(name) < cap) {
            largest = (uint64_t)st.st_size;
            snprintf(out, cap, "%s", name);
        }
    }
    if (dir)
        closedir(dir);
    return largest;
}

static int open_uncached(const char *name, uint64_t from, uint64_t length)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (fd >= 0)
        return fd;
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        posix_fadvise(fd, (off_t)from, (off_t)length, POSIX_FADV_DONTNEED);
    return fd;
}

enum sw_status sw_disk_rate(const char *path, int part, int parts, double seconds, double *rate)
{
    char name[4096];
    struct stat st;
    *rate = 0;
    if (stat(path, &st) != 0)
        return sw_fail(SW_EINPUT, "%s: %s", path, strerror(errno));
    snprintf(name, sizeof name, "%s", path);
    const uint64_t size =
        S_ISDIR(st.st_mode) ? largest_in(path, name, sizeof name) : (uint64_t)st.st_size;
    if (size < SIZE_ENOUGH)
        return sw_fail(SW_EINPUT,
                       "%s: holds no file of 1 MiB or more, too little to measure the disk with",
                       path);
    const uint64_t from = size / (uint64_t)parts * (uint64_t)part / ALIGNMENT * ALIGNMENT;
    const int fd = open_uncached(name, from, size - from);
    char *block = aligned_alloc(ALIGNMENT, BLOCK);
    if (fd < 0 || !block) {
        const enum sw_status status = fd < 0 ? sw_fail(SW_EINPUT, "%s: %s", name, strerror(errno))
                                             : sw_fail(SW_ENOMEM, "no memory to read %s", name);
        free(block);
        if (fd >= 0)
            close(fd);
        return status;
    }
    const double begin = sw_clock();
    double bytes = 0, time = begin;
    for (uint64_t at = from; time < begin + seconds && at < size; time = sw_clock()) {
        const ssize_t n = pread(fd, block, BLOCK, (off_t)at);
        if (n <= 0)
            break;
        bytes += (double)n;
        at += (uint64_t)n;
    }
    *rate = time > begin ? bytes / (time - begin) : 0;
    free(block);
    close(fd);
    return *rate > 0 ? SW_OK : sw_fail(SW_EIO, "%s: cannot be read: %s", name, strerror(errno));
}

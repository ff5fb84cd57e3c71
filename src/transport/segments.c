/* Owns the job's folder in /dev/shm on this host: its name, its lock, and what dead jobs have left.
 */
#include "transport/segments.h"

#include "transport/verdict.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE "/dev/shm"
#define LOCK_NAME "lock"
#define MAKE_TRIES 5 /* a sweep of another job may take away what is not locked yet */

static struct {
    char folder[NAME_MAX + 1]; /* in PLACE; "": none */
    int lock;
} held;

/* What all ranks of the job on this host have alike; false: nothing is. */
static bool segments_name(char *out, size_t cap)
{
    const char *job = sw_verdict_job();
    if (!*job)
        job = getenv("PMIX_NAMESPACE");
    if (!job || !*job || strlen(job) > 100)
        return false;
    snprintf(out, cap, "spillway-%lu-%s", (unsigned long)geteuid(), job);
    for (char *c = out; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '-')
            *c = '.';
    return true;
}

/* Opens the folder `name` of `place`, if it is a folder of this user's own; -1: not so. */
static int folder_open(int place, const char *name)
{
    const int fd = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid())
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* All files of the folder and itself. */
static void folder_remove(int place, const char *name, int folder)
{
    DIR *dir = fdopendir(dup(folder));
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, LOCK_NAME) != 0)
            (void)unlinkat(folder, e->d_name, 0);
    if (dir)
        closedir(dir);
    (void)unlinkat(folder, LOCK_NAME,
                   0); /* last: without it nobody would dare to remove the rest */
    (void)unlinkat(place, name, AT_REMOVEDIR);
}

/* Whose lock is free has no rank that lives. One without a lock is only being made. */
static void sweep_one(int place, const char *name)
{
    const int folder = folder_open(place, name);
    const int lock =
        folder < 0 ? -1 : openat(folder, LOCK_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
        folder_remove(place, name, folder);
    if (lock >= 0)
        close(lock);
    if (folder >= 0)
        close(folder);
}

void sw_segments_sweep(const char *path, const char *except)
{
    char prefix[40];
    const int length = snprintf(prefix, sizeof prefix, "spillway-%lu-", (unsigned long)geteuid());
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strncmp(e->d_name, prefix, (size_t)length) == 0 && strcmp(e->d_name, except) != 0)
            sweep_one(dirfd(dir), e->d_name);
    if (dir)
        closedir(dir);
}

/* Makes the folder or joins it, and takes a share of its lock; -1: none. */
static int segments_join(int place, const char *name)
{
    for (int i = 0; i < MAKE_TRIES; i++) {
        struct stat st;
        if (mkdirat(place, name, 0700) != 0 && errno != EEXIST)
            return -1;
        const int folder = folder_open(place, name);
        if (folder < 0 && errno != ENOENT)
            return -1;
        const int lock =
            folder < 0 ? -1
                       : openat(folder, LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (folder >= 0)
            close(folder);
        if (lock >= 0 && flock(lock, LOCK_SH) == 0 && fstat(lock, &st) == 0 && st.st_nlink > 0)
            return lock;
        if (lock >= 0)
            close(lock); /* it was taken away before it was locked */
    }
    return -1;
}

void sw_segments_open(void)
{
    char path[PATH_MAX];
    if (held.folder[0] || !segments_name(held.folder, sizeof held.folder))
        return;
    sw_segments_sweep(PLACE, held.folder);
    const int place = open(PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    held.lock = place >= 0 ? segments_join(place, held.folder) : -1;
    if (place >= 0)
        close(place);
    if (held.lock < 0) {
        held.folder[0] = 0;
        return;
    }
    snprintf(path, sizeof path, PLACE "/%s", held.folder);
    setenv("OMPI_MCA_btl_vader_backing_directory", path, 0);
}

void sw_segments_close(void)
{
    if (!held.folder[0])
        return;
    if (flock(held.lock, LOCK_EX | LOCK_NB) == 0) {
        const int place = open(PLACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const int folder = place >= 0 ? folder_open(place, held.folder) : -1;
        if (folder >= 0) {
            folder_remove(place, held.folder, folder);
            close(folder);
        }
        if (place >= 0)
            close(place);
    }
    close(held.lock);
    held.folder[0] = 0;
}

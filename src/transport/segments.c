/* Owns the job's folder in /dev/shm on this host: its name, its lock, and removing dead jobs' ones.
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
#define MAKE_TRIES 5 /* the sweep of another job may remove a folder that is not locked yet */

static struct {
    char folder[NAME_MAX + 1]; /* in PLACE; "": none */
    int lock;
} held;

/* A name that all ranks of the job on this host share; false: there is none. */
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

/* Opens the folder `name` in `place`; -1 when it is not a folder of this user. */
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

/* Removes the folder and all its files. */
static void folder_remove(int place, const char *name, int folder)
{
    DIR *dir = fdopendir(dup(folder));
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, LOCK_NAME) != 0)
            (void)unlinkat(folder, e->d_name, 0);
    if (dir)
        closedir(dir);
    (void)unlinkat(folder, LOCK_NAME, 0); /* last: without a lock no sweep removes the rest */
    (void)unlinkat(place, name, AT_REMOVEDIR);
}

/* Removes a folder whose lock is free: no rank uses it. One without a lock is still being made. */
static void segments_sweep_folder(int place, const char *name)
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
            segments_sweep_folder(dirfd(dir), e->d_name);
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
            close(lock); /* the file was removed before it was locked */
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

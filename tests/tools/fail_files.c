/*
 * For LD_PRELOAD: one call on a file fails. SPILLWAY_FAIL_BELOW names folders or files, with colons
 * between them; of the calls that open, look at or read what lies below them the one of number
 * SPILLWAY_FAIL_AT (from 1) fails with errno SPILLWAY_FAIL_ERRNO, and that call and the path are
 * written to the file SPILLWAY_FAIL_NOTE. Links are not followed to tell what lies below.
 * SPILLWAY_FAIL_CALL: only calls whose name begins with this are counted.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS 1024

static atomic_int calls;
static char *_Atomic paths[FDS]; /* of descriptors that count; never freed: the process is short */

static bool counts(const char *path)
{
    const char *below = getenv("SPILLWAY_FAIL_BELOW");
    while (path && below && *below) {
        const size_t n = strcspn(below, ":");
        if (n > 0 && strncmp(path, below, n) == 0 && (path[n] == '/' || path[n] == '\0'))
            return true;
        below += n + (below[n] == ':');
    }
    return false;
}

/* Is this the call that fails? errno is set then. */
static bool fails(const char *call, const char *path)
{
    const char *at = getenv("SPILLWAY_FAIL_AT"), *error = getenv("SPILLWAY_FAIL_ERRNO");
    const char *note = getenv("SPILLWAY_FAIL_NOTE"), *only = getenv("SPILLWAY_FAIL_CALL");
    char text[4300];
    if (!at || !error || !counts(path) || (only && strncmp(call, only, strlen(only)) != 0) ||
        atomic_fetch_add(&calls, 1) + 1 != atoi(at))
        return false;
    const int fd =
        note ? (int)syscall(SYS_openat, AT_FDCWD, note, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    const int n = snprintf(text, sizeof text, "%s %s\n", call, path);
    if (fd >= 0 && write(fd, text, (size_t)n) == n)
        close(fd);
    errno = atoi(error);
    return true;
}

static const char *path_of(int fd)
{
    return fd >= 0 && fd < FDS ? atomic_load(&paths[fd]) : NULL;
}

static int remember(int fd, const char *path)
{
    if (fd >= 0 && fd < FDS)
        atomic_store(&paths[fd], path && counts(path) ? strdup(path) : NULL);
    return fd;
}

/* The function of this name that would have been called. */
#define NEXT(name)                                                                                 \
    static __typeof__(&name) next;                                                                 \
    if (!next)                                                                                     \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

#define MODE(flags)                                                                                \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode = va_arg(list, mode_t);                                                               \
        va_end(list);                                                                              \
    }

int open(const char *path, int flags, ...)
{
    MODE(flags)
    NEXT(open);
    return fails("open", path) ? -1 : remember(next(path, flags, mode), path);
}

int open64(const char *path, int flags, ...)
{
    MODE(flags)
    NEXT(open64);
    return fails("open", path) ? -1 : remember(next(path, flags, mode), path);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE(flags)
    NEXT(openat);
    return fails("openat", path) ? -1 : remember(next(folder, path, flags, mode), path);
}

int openat64(int folder, const char *path, int flags, ...)
{
    MODE(flags)
    NEXT(openat64);
    return fails("openat", path) ? -1 : remember(next(folder, path, flags, mode), path);
}

FILE *fopen(const char *path, const char *mode)
{
    NEXT(fopen);
    return fails("fopen", path) ? NULL : next(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    NEXT(fopen64);
    return fails("fopen", path) ? NULL : next(path, mode);
}

DIR *opendir(const char *path)
{
    NEXT(opendir);
    return fails("opendir", path) ? NULL : next(path);
}

int close(int fd)
{
    NEXT(close);
    remember(fd, NULL);
    return next(fd);
}

int access(const char *path, int mode)
{
    NEXT(access);
    return fails("access", path) ? -1 : next(path, mode);
}

ssize_t readlink(const char *path, char *out, size_t cap)
{
    NEXT(readlink);
    return fails("readlink", path) ? -1 : next(path, out, cap);
}

char *realpath(const char *path, char *out)
{
    NEXT(realpath);
    return fails("realpath", path) ? NULL : next(path, out);
}

ssize_t read(int fd, void *out, size_t n)
{
    NEXT(read);
    return fails("read", path_of(fd)) ? -1 : next(fd, out, n);
}

ssize_t pread(int fd, void *out, size_t n, off_t at)
{
    NEXT(pread);
    return fails("pread", path_of(fd)) ? -1 : next(fd, out, n, at);
}

ssize_t pread64(int fd, void *out, size_t n, off_t at)
{
    NEXT(pread64);
    return fails("pread", path_of(fd)) ? -1 : next(fd, out, n, at);
}

int stat(const char *path, struct stat *st)
{
    NEXT(stat);
    return fails("stat", path) ? -1 : next(path, st);
}

int stat64(const char *path, struct stat64 *st)
{
    NEXT(stat64);
    return fails("stat", path) ? -1 : next(path, st);
}

int lstat(const char *path, struct stat *st)
{
    NEXT(lstat);
    return fails("lstat", path) ? -1 : next(path, st);
}

int lstat64(const char *path, struct stat64 *st)
{
    NEXT(lstat64);
    return fails("lstat", path) ? -1 : next(path, st);
}

int fstat(int fd, struct stat *st)
{
    NEXT(fstat);
    return fails("fstat", path_of(fd)) ? -1 : next(fd, st);
}

int fstatat(int folder, const char *path, struct stat *st, int flags)
{
    NEXT(fstatat);
    return fails("fstatat", path) ? -1 : next(folder, path, st, flags);
}

int fstat64(int fd, struct stat64 *st)
{
    NEXT(fstat64);
    return fails("fstat", path_of(fd)) ? -1 : next(fd, st);
}

int fstatat64(int folder, const char *path, struct stat64 *st, int flags)
{
    NEXT(fstatat64);
    return fails("fstatat", path) ? -1 : next(folder, path, st, flags);
}

/* Owns appending results and the thread that syncs them (group commit). */
#include "jobs/result_writer.h"

#include "base/thread_fail.h"
#include "base/thread_start.h"
#include "base/timed_wait.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct sw_result_writer {
    int fd;
    const char *path;
    uint64_t size; /* bytes of the file's whole lines */
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work, safe_now;
    int64_t lines_written, lines_safe;
    uint64_t bytes_written, bytes_safe;
    bool hurry, closing;
    int error;               /* errno of a failed sync */
    char lost[SW_ERROR_MAX]; /* how the file changed under us; "": it did not */
};

static void result_writer_delay(struct sw_result_writer *a)
{
    const struct timespec until = sw_timed_wait_until(SW_SYNC_INTERVAL);
    while (!a->hurry && !a->closing &&
           pthread_cond_timedwait(&a->work, &a->lock, &until) != ETIMEDOUT)
        ;
}

/* The path at which the opened file is now; "" when it is not known. */
static void result_writer_current_path(const struct sw_result_writer *a, char *out, size_t cap)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", a->fd);
    const ssize_t n = readlink(name, out, cap - 1);
    out[n > 0 ? n : 0] = '\0';
    if (strstr(out, " (deleted)")) /* one of its names is gone; it has others */
        out[0] = '\0';
}

/* `size`: bytes that must be there. */
static enum sw_status result_writer_verify(const struct sw_result_writer *a, uint64_t size)
{
    struct stat own, named;
    char now[PATH_MAX];
    if (fstat(a->fd, &own) != 0) /* the next write says why */
        return SW_OK;
    if (own.st_nlink == 0)
        return sw_fail(SW_EIO,
                       "%s: was removed while the job ran, with all results in it; the same "
                       "command starts over",
                       a->path);
    if (stat(a->path, &named) != 0 ? errno == ENOENT || errno == ENOTDIR || errno == ESTALE
                                   : named.st_dev != own.st_dev || named.st_ino != own.st_ino) {
        result_writer_current_path(a, now, sizeof now);
        return sw_fail(SW_EIO,
                       "%s: was moved or replaced while the job ran; the results are in %s. Move "
                       "it back, then the same command resumes the job",
                       a->path, now[0] ? now : "the file that was moved");
    }
    if ((uint64_t)own.st_size < size)
        return sw_fail(SW_EIO,
                       "%s: was truncated while the job ran: it has %llu bytes, %llu were written. "
                       "The same command computes what is missing",
                       a->path, (unsigned long long)own.st_size, (unsigned long long)size);
    return SW_OK;
}

enum sw_status sw_result_writer_check(struct sw_result_writer *a)
{
    pthread_mutex_lock(&a->lock);
    const uint64_t size = a->size;
    const bool lost = a->lost[0];
    pthread_mutex_unlock(&a->lock);
    return lost ? sw_fail(SW_EIO, "%s", a->lost) : result_writer_verify(a, size);
}

static void *result_writer_sync_loop(void *context)
{
    struct sw_result_writer *a = context;
    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (a->lines_safe == a->lines_written && !a->closing)
            pthread_cond_wait(&a->work, &a->lock);
        if (a->lines_safe == a->lines_written)
            break;
        result_writer_delay(a);
        const int64_t lines = a->lines_written;
        const uint64_t bytes = a->bytes_written, size = a->size;
        a->hurry = false;
        pthread_mutex_unlock(&a->lock);
        const int error = fdatasync(a->fd) == 0 ? 0 : errno;
        const bool lost = result_writer_verify(a, size) != SW_OK;
        pthread_mutex_lock(&a->lock);
        a->error = error;
        if (lost)
            snprintf(a->lost, sizeof a->lost, "%s", sw_error_message());
        if (!error && !lost) {
            a->lines_safe = lines;
            a->bytes_safe = bytes;
        }
        pthread_cond_broadcast(&a->safe_now);
        if (error || lost)
            break;
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

enum sw_status sw_result_writer_open(int fd, const char *path, uint64_t size,
                                     struct sw_result_writer **out)
{
    struct sw_result_writer *a = calloc(1, sizeof *a);
    sigset_t all, before;
    if (!a)
        return sw_fail(SW_ENOMEM, "%s: no memory to write it", path);
    a->fd = fd;
    a->path = path;
    a->size = size;
    pthread_mutex_init(&a->lock, NULL);
    sw_timed_wait_init(&a->work);
    sw_timed_wait_init(&a->safe_now);
    sigfillset(&all); /* other threads handle the signals */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = sw_thread_start(&a->thread, NULL, result_writer_sync_loop, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    a->running = error == 0;
    if (error) {
        sw_result_writer_close(a);
        (void)sw_thread_fail("the thread that syncs results", error, "");
        sw_error_context("%s", path);
        return SW_EDEVICE;
    }
    *out = a;
    return SW_OK;
}

static enum sw_status result_writer_fail(const struct sw_result_writer *a, int error)
{
    return sw_fail(SW_EIO, "%s: cannot write: %s; make room there", a->path, strerror(error));
}

/* With the lock held: waits until at most `lines` and `bytes` are not safe. */
static enum sw_status result_writer_wait(struct sw_result_writer *a, int64_t lines, uint64_t bytes)
{
    while (!a->error && !a->lost[0] &&
           (a->lines_written - a->lines_safe > lines || a->bytes_written - a->bytes_safe > bytes)) {
        a->hurry = true;
        pthread_cond_signal(&a->work);
        pthread_cond_wait(&a->safe_now, &a->lock);
    }
    return a->error     ? result_writer_fail(a, a->error)
           : a->lost[0] ? sw_fail(SW_EIO, "%s", a->lost)
                        : SW_OK;
}

enum sw_status sw_result_writer_write(struct sw_result_writer *a, const char *line, size_t n)
{
    pthread_mutex_lock(&a->lock);
    const enum sw_status status = result_writer_wait(a, SW_UNSAFE_LINES, SW_UNSAFE_BYTES);
    pthread_mutex_unlock(&a->lock);
    SW_TRY(status);
    for (size_t done = 0; done < n;) { /* after a short write the second reports the reason */
        const ssize_t written = write(a->fd, line + done, n - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            const int error = written < 0 ? errno : ENOSPC;
            if (done > 0 && ftruncate(a->fd, (off_t)a->size) != 0)
                return sw_fail(SW_EIO, "%s: %s, and the torn line cannot be cut off", a->path,
                               strerror(error));
            return result_writer_fail(a, error);
        }
        done += (size_t)written;
    }
    pthread_mutex_lock(&a->lock);
    a->size += n;
    a->bytes_written += n;
    a->lines_written++;
    pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->lock);
    return SW_OK;
}

enum sw_status sw_result_writer_flush(struct sw_result_writer *a)
{
    pthread_mutex_lock(&a->lock);
    const enum sw_status status = result_writer_wait(a, 0, 0);
    pthread_mutex_unlock(&a->lock);
    return status;
}

int64_t sw_result_writer_safe(struct sw_result_writer *a)
{
    pthread_mutex_lock(&a->lock);
    const int64_t n = a->lines_safe;
    pthread_mutex_unlock(&a->lock);
    return n;
}

void sw_result_writer_close(struct sw_result_writer *a)
{
    if (!a)
        return;
    if (a->running) {
        pthread_mutex_lock(&a->lock);
        a->closing = true;
        pthread_cond_signal(&a->work);
        pthread_mutex_unlock(&a->lock);
        pthread_join(a->thread, NULL);
    }
    pthread_cond_destroy(&a->work);
    pthread_cond_destroy(&a->safe_now);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

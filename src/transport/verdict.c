/* Owns the status file: written under a temporary name, synced, then given its name. */
#include "transport/verdict.h"

#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

const char *sw_verdict_folder(void)
{
    const char *folder = getenv("SPILLWAY_STATUS");
    return folder && *folder && access(folder, W_OK | X_OK) == 0 ? folder : NULL;
}

const char *sw_verdict_job(void)
{
    const char *job = getenv("SPILLWAY_JOB");
    size_t n = 0;
    while (job && isalnum((unsigned char)job[n]))
        n++;
    return n > 0 && n < SW_JOB_NAME_MAX && job[n] == 0 ? job : "";
}

void sw_verdict_name(char out[SW_JOB_NAME_MAX])
{
    uint64_t number[2];
    if (getrandom(number, sizeof number, 0) != (ssize_t)sizeof number) {
        number[0] = (uint64_t)(sw_clock() * 1e9);
        number[1] = (uint64_t)getpid();
    }
    snprintf(out, SW_JOB_NAME_MAX, "%016llx%016llx", (unsigned long long)number[0],
             (unsigned long long)number[1]);
}

static bool verdict_write_durably(const char *path, const char *text, size_t length)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    size_t done = 0;
    if (fd < 0)
        return false;
    while (done < length) {
        const ssize_t n = write(fd, text + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    const bool whole = done == length && fsync(fd) == 0;
    return close(fd) == 0 && whole;
}

/* Gives the file its name, unless there is a file of that name already, which stays. */
static bool verdict_link(const char *aside, const char *path)
{
    if (link(aside, path) == 0 || errno == EEXIST)
        return true;
    /* rename: for a file system without hard links */
    return access(path, F_OK) == 0 || rename(aside, path) == 0;
}

bool sw_verdict_write(const char *folder, const char *job, int writer,
                      const struct sw_verdict *verdict)
{
    char aside[PATH_MAX], path[PATH_MAX], text[SW_VERDICT_MAX + 256];
    if (snprintf(aside, sizeof aside, "%s/.status.%s.%d.%ld", folder, job, writer,
                 (long)getpid()) >= (int)sizeof aside)
        return false;
    snprintf(path, sizeof path, "%s/status.%s", folder, job);
    const int length =
        snprintf(text, sizeof text, "job %s\nexit %d\nstatus %s\nrank %d\nmessage %s\nend %s\n",
                 job, sw_status_exit_code(verdict->status), sw_status_name(verdict->status),
                 verdict->rank, verdict->text, job);
    const bool ours = verdict_write_durably(aside, text, (size_t)length);
    const bool there = ours && verdict_link(aside, path);
    if (ours || errno != EEXIST)
        unlink(aside);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    return there;
}

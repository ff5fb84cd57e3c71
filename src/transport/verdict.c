/* Owns the status file: written aside, made durable, then given its name. */
#include "transport/verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *sw_verdict_folder(void)
{
    const char *folder = getenv("SPILLWAY_STATUS");
    return folder && *folder && access(folder, W_OK | X_OK) == 0 ? folder : NULL;
}

static bool write_durably(const char *path, const char *text, size_t length)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    const bool whole = write(fd, text, length) == (ssize_t)length && fsync(fd) == 0;
    return close(fd) == 0 && whole;
}

bool sw_verdict_write(const char *folder, int writer, const struct sw_verdict *verdict)
{
    char aside[PATH_MAX], path[PATH_MAX], text[SW_VERDICT_MAX + 128];
    snprintf(aside, sizeof aside, "%s/.status.%d.%ld", folder, writer, (long)getpid());
    snprintf(path, sizeof path, "%s/status", folder);
    const int length = snprintf(text, sizeof text, "exit %d\nstatus %s\nrank %d\nmessage %s\n",
                                sw_status_exit_code(verdict->status),
                                sw_status_name(verdict->status), verdict->rank, verdict->text);
    bool there = write_durably(aside, text, (size_t)length);
    if (there && link(aside, path) != 0 && errno != EEXIST)
        there = rename(aside, path) == 0; /* a file system without hard links */
    unlink(aside);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    return there;
}

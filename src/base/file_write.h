/*
 * Opens files for writing, without waiting, and truncates nothing before it is known to be a file.
 *
 * Regular files, which are created if absent, and character devices (/dev/null) can be written. A
 * FIFO, a socket, a block device or a folder is SW_EUSAGE; what the system refuses is SW_EIO; both
 * name the path. The paths /dev/stdout, /dev/stderr, /dev/fd/N and /proc/self/fd/N are that
 * descriptor, whatever it is: also a pipe; a file is written from its present offset on.
 */
#ifndef SW_BASE_FILE_WRITE_H
#define SW_BASE_FILE_WRITE_H

#include "base/status.h"

#include <stdio.h>

enum sw_write_mode { SW_WRITE_ANEW, SW_WRITE_APPEND };

/* The caller closes *fd, which is -1 after a failure. */
enum sw_status sw_file_write_open(const char *path, enum sw_write_mode mode, int *fd);
/* As sw_file_write_open, as a stream; the caller closes it with fclose. */
enum sw_status sw_file_write_stream(const char *path, enum sw_write_mode mode, FILE **file);
/*
 * Creates a new file under a name that others can guess: links are not followed, and a file that is
 * there (from a run that was killed) is removed first. The caller closes *fd.
 */
enum sw_status sw_file_write_new(const char *path, int *fd);
/* The descriptor that the path names, in one of the four forms above; -1 for any other path. */
int sw_file_write_descriptor(const char *path);

#endif

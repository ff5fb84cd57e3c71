/*
 * Opening of files that are written, at once: nothing is waited for, and nothing is emptied before
 * it is known to be a file.
 *
 * Written are regular files, new ones too, and character devices (/dev/null). A FIFO, a socket, a
 * disk or a folder is SW_EUSAGE; what the system refuses is SW_EIO; both name the path. The names
 * /dev/stdout, /dev/stderr, /dev/fd/N and /proc/self/fd/N stand for the descriptor itself, whatever
 * it is: a pipe is fine, and a file behind it goes on where it is.
 */
#ifndef SW_BASE_FILE_WRITE_H
#define SW_BASE_FILE_WRITE_H

#include "base/status.h"

#include <stdio.h>

enum sw_write_mode { SW_WRITE_ANEW, SW_WRITE_APPEND };

/* The caller closes *fd, which is -1 after a failure. */
enum sw_status sw_file_write_open(const char *path, enum sw_write_mode mode, int *fd);
/* The same as a stream; the caller closes it with fclose. */
enum sw_status sw_file_write_stream(const char *path, enum sw_write_mode mode, FILE **file);
/*
 * A file that is not there yet, under a name that others can guess: a link is not followed, what is
 * there (of a run that was killed) is removed first. The caller closes *fd.
 */
enum sw_status sw_file_write_new(const char *path, int *fd);
/* The descriptor that a path of the four forms above names, -1: it is another path. */
int sw_file_write_descriptor(const char *path);

#endif

/*
 * Reading of files, with messages that name the path and the cause.
 *
 * A file is absent only when the system reports ENOENT, or ENOTDIR (a part of the path is a file).
 * Any other failure is an error, because a file that cannot be examined may exist. A dangling link
 * is an error, too, because a file was meant to be there. What a user can correct (absence,
 * permissions, links, not a file) is SW_EINPUT; what the machine or its limits refuse is SW_EIO.
 * Calls that a signal interrupts are repeated.
 */
#ifndef SW_BASE_FILE_H
#define SW_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum sw_file_kind {
    SW_FILE_ABSENT,
    SW_FILE_REGULAR,
    SW_FILE_DIRECTORY,
    SW_FILE_OTHER /* a FIFO, a socket or a device */
};

/* The kind of file at `path`, after following links. */
enum sw_status sw_file_find(const char *path, enum sw_file_kind *kind);
/* As sw_file_find, at dir/name. */
enum sw_status sw_file_find_in(const char *dir, const char *name, enum sw_file_kind *kind);
/*
 * Opens a regular file for reading, without waiting for a FIFO; anything else is SW_EINPUT.
 * *size: bytes; `size` may be NULL. The caller closes *fd, which is -1 after a failure.
 */
enum sw_status sw_file_open(const char *path, int *fd, uint64_t *size);
/* As sw_file_open, but an absent file is SW_OK with *fd -1. */
enum sw_status sw_file_open_optional(const char *path, int *fd, uint64_t *size);
/*
 * SW_EMODEL if bytes[0..n), the file's beginning (16 bytes are enough), is a Git LFS pointer: what
 * Git leaves in place of a large file that was not fetched.
 */
enum sw_status sw_file_refuse_pointer(const char *path, const void *bytes, size_t n);
/*
 * Reads the whole file. SW_EINPUT when it is absent or has more than `limit` bytes, SW_EMODEL when
 * it is a Git LFS pointer. *bytes has a NUL after *length bytes; the caller frees it.
 */
enum sw_status sw_file_read(const char *path, size_t limit, char **bytes, size_t *length);
/* As sw_file_read, but an absent file is SW_OK with *bytes NULL and *length 0. */
enum sw_status sw_file_read_optional(const char *path, size_t limit, char **bytes, size_t *length);
/* As sw_file_read_optional, at dir/name. */
enum sw_status sw_file_read_in(const char *dir, const char *name, size_t limit, char **bytes,
                               size_t *length);
/*
 * As sw_file_read for files of the kernel (/proc, /sys), whose size is only known after reading.
 * Bytes past `limit` are left out.
 */
enum sw_status sw_file_read_kernel(const char *path, size_t limit, char **bytes, size_t *length);
/* Reads exactly `length` bytes at `offset`. SW_EMODEL: the file is too short; SW_EIO: read error.
 */
enum sw_status sw_file_read_at(int fd, const char *path, uint64_t offset, void *out, size_t length);
/*
 * A line of a stream, its newline with it, into *line, which grows to *capacity (NULL and 0 at
 * first; the caller frees it). *n: its bytes; 0: the end. SW_EINPUT when it has more than `limit`
 * bytes, of which no more are kept; SW_EIO; SW_ENOMEM.
 */
enum sw_status sw_file_line(FILE *file, size_t limit, char **line, size_t *capacity, size_t *n);
/*
 * Fails with "path: cannot be DONE: cause; what to do" and the status for `error`, an errno. For
 * system calls that have no function here.
 */
enum sw_status sw_file_fail(const char *path, const char *done, int error);
/* Whether the errno means absence: ENOENT or ENOTDIR. */
bool sw_file_is_absence(int error);
/* "dir/name" as a new string; the caller frees it. NULL: no memory. */
char *sw_path_join(const char *dir, const char *name);

#endif

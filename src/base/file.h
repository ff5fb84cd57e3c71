/*
 * Reading of files, with messages that name the path and the cause.
 *
 * Only a name that the system says is not there (ENOENT, or ENOTDIR: something above it is a file)
 * is absent. Whatever else fails is an error: a file that cannot be looked at is not one that is
 * not there. A link that leads nowhere is an error, too, because somebody meant something to be
 * there. What a person can mend by name (absence, permissions, links, not a file) is SW_EINPUT,
 * what the machine or its limits refuse is SW_EIO. Calls that a signal interrupts are made again.
 */
#ifndef SW_BASE_FILE_H
#define SW_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_file_kind {
    SW_FILE_ABSENT,
    SW_FILE_REGULAR,
    SW_FILE_DIRECTORY,
    SW_FILE_OTHER /* a FIFO, a socket or a device */
};

/* What lies at `path`, links followed. */
enum sw_status sw_file_find(const char *path, enum sw_file_kind *kind);
/* The same at dir/name. */
enum sw_status sw_file_find_in(const char *dir, const char *name, enum sw_file_kind *kind);
/*
 * Opens a regular file for reading, at once: anything else is refused, a FIFO is not waited for.
 * size may be NULL. The caller closes *fd, which is -1 after a failure.
 */
enum sw_status sw_file_open(const char *path, int *fd, uint64_t *size);
/* The same, but a file that is absent is no failure: *fd is -1. */
enum sw_status sw_file_open_optional(const char *path, int *fd, uint64_t *size);
/*
 * SW_EMODEL if what the file begins with, bytes[0..n) (16 are enough), is what Git leaves in the
 * place of a large file that was not fetched.
 */
enum sw_status sw_file_refuse_pointer(const char *path, const void *bytes, size_t n);
/*
 * Reads all of `path`, at most `limit` bytes (SW_EINPUT beyond); a Git LFS pointer is refused.
 * *bytes is NUL-terminated one past *length; the caller frees it. A missing file is SW_EINPUT.
 */
enum sw_status sw_file_read(const char *path, size_t limit, char **bytes, size_t *length);
/* The same, but a file that is absent is no failure: *bytes is NULL and *length 0. */
enum sw_status sw_file_read_optional(const char *path, size_t limit, char **bytes, size_t *length);
/*
 * The same for files of the kernel (/proc, /sys), whose size is known when they have been read.
 * What is more than `limit` is left out.
 */
enum sw_status sw_file_read_kernel(const char *path, size_t limit, char **bytes, size_t *length);
/* Reads exactly `length` bytes at `offset`; a short file is SW_EMODEL, a failed read SW_EIO. */
enum sw_status sw_file_read_at(int fd, const char *path, uint64_t offset, void *out, size_t length);
/*
 * "path: cannot be DONE: cause; what to do", with the status that `error`, an errno, stands for.
 * For calls that this header does not have.
 */
enum sw_status sw_file_fail(const char *path, const char *done, int error);
/* Is `error` one of the two that mean absence? */
bool sw_file_is_absence(int error);
/* "dir/name" as a new string (caller frees), NULL when memory is short. */
char *sw_path_join(const char *dir, const char *name);

#endif

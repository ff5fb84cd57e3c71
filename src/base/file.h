/* Whole files and exact reads, with messages that name the path. */
#ifndef SW_BASE_FILE_H
#define SW_BASE_FILE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads all of `path`, at most `limit` bytes (SW_EINPUT beyond). *bytes is NUL-terminated one past
 * *length; the caller frees it. A missing file is SW_EINPUT.
 */
enum sw_status sw_file_read(const char *path, size_t limit, char **bytes, size_t *length);
/* Reads exactly `length` bytes at `offset`; a short file is SW_EMODEL, a failed read SW_EIO. */
enum sw_status sw_file_read_at(int fd, const char *path, uint64_t offset, void *out, size_t length);
bool sw_file_exists(const char *path);
bool sw_file_is_directory(const char *path);
/* "dir/name" as a new string (caller frees), NULL when memory is short. */
char *sw_path_join(const char *dir, const char *name);

#endif

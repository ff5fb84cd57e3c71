/* Decides from a file's first bytes whether it can hold lines of a job. */
#ifndef SW_JOBS_INPUT_KIND_H
#define SW_JOBS_INPUT_KIND_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define SW_INPUT_HEAD (64u << 10) /* bytes that sw_input_kind_check needs at most */

/*
 * head[0..n) is the file's beginning; `whole`: it is the whole file. SW_EINPUT when the file is
 * compressed, in UTF-16 or UTF-32, one JSON value over several lines, a table, or when none of its
 * first lines is an object. The message says what it looks like and what to do. Bad lines among
 * good ones are accepted here.
 */
enum sw_status sw_input_kind_check(const char *path, const char *head, size_t n, bool whole);

#endif

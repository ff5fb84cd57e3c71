/* Whether a file can hold lines of a job, by its first bytes: what it looks like when it cannot. */
#ifndef SW_JOBS_INPUT_KIND_H
#define SW_JOBS_INPUT_KIND_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define SW_INPUT_LOOK (64u << 10) /* bytes that are enough */

/*
 * head[0..n): the file's beginning, all of it when `whole`. SW_EINPUT: it is packed, in UTF-16, one
 * JSON value over all lines, a table, or none of its first lines is an object; the message says so,
 * and what to do. A single bad line among good ones is nothing to this.
 */
enum sw_status sw_input_kind_check(const char *path, const char *head, size_t n, bool whole);

#endif

/* A file's lines one after the other, in a buffer no larger than the longest line allowed. */
#ifndef SW_JOBS_JSONL_READER_H
#define SW_JOBS_JSONL_READER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_jsonl_line {
    const char *bytes; /* (n), without "\n" or "\r\n"; valid until the next call */
    size_t n;
    int64_t number;  /* from 1 */
    uint64_t offset; /* of its first byte in the file */
    bool ended;      /* by a newline, not by the end of the file */
    bool too_long;   /* more than `limit` bytes: only the first ones are here */
};

struct sw_jsonl;

/* Regular files only (they can be read again); a missing or other one is SW_EINPUT. What lies
 * beyond the first `most` bytes is not read. */
enum sw_status sw_jsonl_open(const char *path, size_t limit, uint64_t most, struct sw_jsonl **out);
/* As sw_jsonl_open over an open descriptor, from its beginning; the caller closes `fd` later. */
enum sw_status sw_jsonl_over(int fd, const char *path, size_t limit, struct sw_jsonl **out);
void sw_jsonl_close(struct sw_jsonl *lines);
/* *more false: there is no further line. SW_EIO when the file cannot be read. A byte order mark at
 * the beginning of the file is no part of its first line. */
enum sw_status sw_jsonl_next(struct sw_jsonl *lines, struct sw_jsonl_line *line, bool *more);
/* Nothing but white space. */
bool sw_jsonl_is_blank(const struct sw_jsonl_line *line);

#endif

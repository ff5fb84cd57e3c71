/* Reads a file line by line into a buffer no larger than the longest line allowed. */
#ifndef SW_JOBS_JSONL_READER_H
#define SW_JOBS_JSONL_READER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_jsonl_line {
    const char *bytes; /* (n), without "\n" or "\r\n"; valid until the next call */
    size_t n;
    int64_t number;  /* of the line, from 1 */
    uint64_t offset; /* of the line's first byte in the file */
    bool ended;      /* the line ends with a newline; false: with the end of the file */
    bool too_long;   /* the line has more than `limit` bytes; only the first `limit` are here */
};

struct sw_jsonl;

/* Opens a regular file; SW_EINPUT when it is missing or not regular. At most the first `most` bytes
 * are read. The caller closes *out. */
enum sw_status sw_jsonl_open(const char *path, size_t limit, uint64_t most, struct sw_jsonl **out);
/* As sw_jsonl_open for an open descriptor, from offset 0. The caller closes *out, then `fd`. */
enum sw_status sw_jsonl_over(int fd, const char *path, size_t limit, struct sw_jsonl **out);
void sw_jsonl_close(struct sw_jsonl *lines);
/* Reads the next line. *more false: there is none. SW_EIO when the file cannot be read. A byte
 * order mark at the beginning of the file is not part of the first line. */
enum sw_status sw_jsonl_next(struct sw_jsonl *lines, struct sw_jsonl_line *line, bool *more);
/* Whether the line is empty or white space only. */
bool sw_jsonl_is_blank(const struct sw_jsonl_line *line);

#endif

/* One pass over the input file before anything is loaded: its size and its digest. */
#ifndef SW_JOBS_INPUT_SCAN_H
#define SW_JOBS_INPUT_SCAN_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SW_LINE_MAX (64u << 20) /* bytes of an input line; longer ones get an error record */

struct sw_input_scan {
    int64_t lines;    /* lines that are not blank */
    uint64_t longest; /* bytes of the longest line */
    uint64_t bytes;   /* of the file */
    char digest[33];  /* of all bytes */
    char begin[33];   /* digest of the first `begin_bytes`; "" when the file has fewer */
};

/* Checks that the path can be the input of a job and that its first bytes are lines
 * (jobs/input_kind.h). SW_EUSAGE or SW_EINPUT when not. */
enum sw_status sw_input_scan_check(const char *path);
/* Reads the whole file. `keepalive` (may be NULL) is called after each block; its failure ends the
 * scan. SW_EIO when the file cannot be read. */
enum sw_status sw_input_scan_make(const char *path, uint64_t begin_bytes,
                                  enum sw_status (*keepalive)(void *context), void *context,
                                  struct sw_input_scan *out);

#endif

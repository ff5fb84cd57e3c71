/* One look over the input before anything is loaded: how much there is, and which input it is. */
#ifndef SW_JOBS_INPUT_SCAN_H
#define SW_JOBS_INPUT_SCAN_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SW_LINE_MAX (64u << 20) /* bytes of an input line; longer ones get an error record */

struct sw_input_scan {
    int64_t lines;    /* that are not blank */
    uint64_t longest; /* bytes of the longest line */
    uint64_t bytes;   /* of the file */
    char digest[33];  /* of all bytes, */
    char begin[33];   /* and of the first `begin_bytes`; empty when the file has fewer */
};

/* Whether the path can be the input of a job, and its first bytes are lines (jobs/input_kind.h):
 * SW_EUSAGE or SW_EINPUT say why not. */
enum sw_status sw_input_scan_check(const char *path);
/* `alive` is called now and then (may be NULL); its failure ends the survey. */
enum sw_status sw_input_scan_make(const char *path, uint64_t begin_bytes,
                                  enum sw_status (*alive)(void *context), void *context,
                                  struct sw_input_scan *out);

#endif

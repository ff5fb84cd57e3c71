/*
 * Appends lines to a file so that they last: each with one write(), and a thread that syncs them in
 * groups, so that the pipeline does not wait for the disk. A line is safe when it was synced.
 */
#ifndef SW_JOBS_RESULT_WRITER_H
#define SW_JOBS_RESULT_WRITER_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SW_UNSAFE_BYTES (4u << 20) /* most bytes that are written but not yet safe */
#define SW_UNSAFE_LINES 1000       /* most lines that are written but not yet safe */
#define SW_SYNC_INTERVAL 0.2       /* seconds from a write to the sync */

struct sw_result_writer;

/* fd: open for appending, `size` bytes long; the caller closes it after *out. `path` is borrowed.
 * SW_EDEVICE when the thread cannot start. */
enum sw_status sw_result_writer_open(int fd, const char *path, uint64_t size,
                                     struct sw_result_writer **out);
/*
 * Appends one line with its newline. SW_EIO when it cannot be written (none of it stays in the file
 * then) or when an earlier line could not be synced.
 */
enum sw_status sw_result_writer_write(struct sw_result_writer *a, const char *line, size_t n);
/* Waits until all written lines are safe. SW_EIO as above. */
enum sw_status sw_result_writer_flush(struct sw_result_writer *a);
/*
 * SW_EIO when the file changed under the writer: it was removed, moved or replaced, or written
 * bytes are gone. The thread checks this after every sync, too, and then ends.
 */
enum sw_status sw_result_writer_check(struct sw_result_writer *a);
/* The number of safe lines. */
int64_t sw_result_writer_safe(struct sw_result_writer *a);
/* Syncs what it can, ends the thread and frees the writer. */
void sw_result_writer_close(struct sw_result_writer *a);

#endif

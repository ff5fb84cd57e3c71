/*
 * Appends lines to a file so that they last: each with one write(), made safe in groups by a thread
 * of its own, so that the pipeline does not wait for the disk.
 */
#ifndef SW_JOBS_RESULT_WRITER_H
#define SW_JOBS_RESULT_WRITER_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define SW_UNSAFE_BYTES (4u << 20) /* more than this is never written and not yet safe */
#define SW_UNSAFE_LINES 1000
#define SW_SYNC_INTERVAL 0.2 /* seconds until the disk is asked to keep what was written */

struct sw_result_writer;

/* fd: open for appending, `size` bytes long; stays the caller's. */
enum sw_status sw_result_writer_open(int fd, const char *path, uint64_t size,
                                     struct sw_result_writer **out);
/*
 * One line with its newline. SW_EIO when it cannot be written (nothing of it is left in the file
 * then) or when an earlier one could not be made safe.
 */
enum sw_status sw_result_writer_write(struct sw_result_writer *a, const char *line, size_t n);
/* Waits until all that was written is safe. */
enum sw_status sw_result_writer_flush(struct sw_result_writer *a);
/*
 * SW_EIO when the file is not what was opened any more: it was removed, another one has its name,
 * or bytes that were written are gone. Looked at after every sync as well, which ends the writing.
 */
enum sw_status sw_result_writer_look(struct sw_result_writer *a);
/* Lines on disk for certain. */
int64_t sw_result_writer_safe(struct sw_result_writer *a);
/* Flushes as well as it can. */
void sw_result_writer_close(struct sw_result_writer *a);

#endif

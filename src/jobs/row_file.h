/*
 * A temporary file of rows of equal size, for what does not fit in memory. It has no name, so
 * nothing is left of it however the process ends.
 */
#ifndef SW_JOBS_ROW_FILE_H
#define SW_JOBS_ROW_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct sw_row_file;

/*
 * Makes a file for n rows of row_bytes in the folder $TMPDIR, or /var/tmp. SW_EIO: it cannot be
 * made, or the disk has less room; the message says how much is needed. The caller closes *out.
 */
enum sw_status sw_row_file_open(size_t row_bytes, uint64_t n, struct sw_row_file **out);
void sw_row_file_close(struct sw_row_file *file); /* may be NULL */
/* Bytes of the whole file. */
uint64_t sw_row_file_bytes(const struct sw_row_file *file);
/* Writes n rows from `row` on, or reads them. SW_EIO. */
enum sw_status sw_row_file_write(struct sw_row_file *file, uint64_t row, const void *rows,
                                 uint64_t n);
enum sw_status sw_row_file_read(const struct sw_row_file *file, uint64_t row, void *rows,
                                uint64_t n);

#endif

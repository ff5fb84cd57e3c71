/*
 * A large output that is written in parts, in any order, and survives being killed: OUT.part has
 * the bytes, OUT.part.journal says which parts of them are safe on the disk. A part that is not in
 * the journal is made again, so the finished file is the same however often it was interrupted.
 * Nothing that is there under the name OUT is ever written over.
 */
#ifndef SW_JOBS_QUANTIZE_FILE_H
#define SW_JOBS_QUANTIZE_FILE_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sw_quantize_file {
    char *path, *part, *journal;
    int fd, journal_fd;
    unsigned char *done; /* (n) 1: safe on the disk */
    size_t n;
};

/*
 * Opens OUT.part for a file of `size` bytes that begins with `header` and has `n` parts. Goes on
 * where an earlier run ended, if its journal has the same `identity` (a line of text that says of
 * what the bytes are made); else begins anew. SW_EUSAGE: there is an OUT already, or another
 * process is writing it. SW_EIO: cannot be created, or there is no room for it. The caller closes
 * *out, also after a failure.
 */
enum sw_status sw_quantize_file_open(const char *path, const char *identity,
                                     const struct sw_strbuf *header, uint64_t size, size_t n,
                                     struct sw_quantize_file *out);
/* SW_EUSAGE: there is an OUT already. */
enum sw_status sw_quantize_file_check(const char *path);
/* Another rank opens what rank 0 has opened. SW_EIO: it sees another file, or none. */
enum sw_status sw_quantize_file_join(const char *path, const char *identity, uint64_t size,
                                     size_t n, struct sw_quantize_file *out);
/* Writes at an offset. SW_EIO names the path: the disk is full or failed. */
enum sw_status sw_quantize_file_write(const struct sw_quantize_file *file, uint64_t offset,
                                      const void *bytes, size_t n);
/* Makes what this process has written safe on the disk. */
enum sw_status sw_quantize_file_sync(const struct sw_quantize_file *file);
/* Notes that parts, which are safe on the disk, are done. */
enum sw_status sw_quantize_file_note(struct sw_quantize_file *file, const uint64_t *parts,
                                     size_t n);
/* All parts are done: OUT.part becomes OUT, and the journal goes. */
enum sw_status sw_quantize_file_finish(struct sw_quantize_file *file);
void sw_quantize_file_close(struct sw_quantize_file *file);

#endif

/*
 * The bytes for a header parser: an open file, or memory (tests, fuzzing). Reads outside the source
 * are refused, so a parser cannot read past its end.
 */
#ifndef SW_CHECKPOINT_SOURCE_H
#define SW_CHECKPOINT_SOURCE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct sw_source {
    const char *path;  /* for messages; not owned */
    uint64_t size;     /* bytes */
    int fd;            /* -1: memory */
    const void *bytes; /* (size) when fd is -1; not owned */
};

/* Opens a regular file for reading headers. SW_EINPUT when it cannot be opened. */
enum sw_status sw_source_open(const char *path, struct sw_source *out);
struct sw_source sw_source_of_memory(const char *name, const void *bytes, size_t size);
void sw_source_close(struct sw_source *source);

/* Reads exactly `length` bytes at `offset`. SW_EMODEL when the source is too short; SW_EIO. */
enum sw_status sw_source_read(const struct sw_source *source, uint64_t offset, void *out,
                              size_t length);
/* As sw_source_read, into a new buffer with a NUL at its end; the caller frees it. */
enum sw_status sw_source_read_new(const struct sw_source *source, uint64_t offset, size_t length,
                                  void **out);

#endif

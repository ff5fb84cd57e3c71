/*
 * One range of a file, read in pieces by several threads at once, so that a disk has more than one
 * request to work at.
 */
#ifndef SW_FORMAT_READ_PIECES_H
#define SW_FORMAT_READ_PIECES_H

#include "base/status.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SW_READ_THREADS 4
#define SW_READ_PIECE ((uint64_t)1 << 20)

struct sw_pool;

struct sw_pieces {
    struct sw_pool *pool; /* started for the first range of several pieces; NULL: none could be */
    int tried;
};

/*
 * Exactly `length` bytes at `offset` into `out`; `bytes` counts what has come. Of several failures
 * the one that lies first in the file is told, as sw_file_read_at has it.
 */
enum sw_status sw_pieces_read(struct sw_pieces *pieces, int fd, const char *path, uint64_t offset,
                              void *out, uint64_t length, atomic_uint_fast64_t *bytes);
void sw_pieces_free(struct sw_pieces *pieces);

#endif

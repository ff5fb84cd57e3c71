/*
 * Reads one range of a file in pieces, by several threads at once, so that the disk has several
 * requests under way.
 */
#ifndef SW_CHECKPOINT_READ_PIECES_H
#define SW_CHECKPOINT_READ_PIECES_H

#include "base/status.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SW_READ_THREADS 4
#define SW_READ_PIECE ((uint64_t)1 << 20) /* bytes */

struct sw_pool;

struct sw_pieces {
    struct sw_pool
        *pool; /* started for the first range of several pieces; NULL: the caller alone */
    int tried; /* whether starting the pool was tried */
};

/*
 * Reads exactly `length` bytes at `offset` into `out`; adds the bytes read to *bytes. Of several
 * failures returns the one at the lowest offset, as sw_file_read_at reports it.
 */
enum sw_status sw_pieces_read(struct sw_pieces *pieces, int fd, const char *path, uint64_t offset,
                              void *out, uint64_t length, atomic_uint_fast64_t *bytes);
/* The threads; NULL: they cannot be started, so the caller works alone. */
struct sw_pool *sw_pieces_pool(struct sw_pieces *pieces);
void sw_pieces_free(struct sw_pieces *pieces);

#endif

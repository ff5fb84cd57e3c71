/*
 * A weight file that several threads read in large pieces, each into a buffer of its own (private
 * to src/checkpoint). What the page cache has comes from there; the rest is read past it (O_DIRECT)
 * where the caller asks for that and the file system can: the cache would take as much memory as
 * the weights do.
 */
#ifndef SW_CHECKPOINT_DIRECT_FILE_H
#define SW_CHECKPOINT_DIRECT_FILE_H

#include "base/status.h"
#include "tensor/tensors.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_DIRECT_ALIGN 4096u

struct sw_direct_file {
    const char *path;    /* of the file it was opened for */
    uint64_t size;       /* bytes */
    int cached;          /* descriptor that reads through the page cache */
    int direct;          /* the same file past it; -1: not possible */
    void *map;           /* (size) never read: it tells what the cache has; NULL: unknown */
    atomic_bool refused; /* a read past the cache was refused */
};

/*
 * Opens a file, whose size must still be the one of its header; without past_cache it is read
 * through the page cache alone. The reason why it cannot be read
 * past the page cache is logged once for each process. SW_EMODEL, SW_EINPUT, SW_EIO.
 */
enum sw_status sw_direct_open(const struct sw_tensor_file *file, bool past_cache,
                              struct sw_direct_file *out);
void sw_direct_close(struct sw_direct_file *file);

/* Bytes of a buffer for sw_direct_read of `length` bytes. */
static inline size_t sw_direct_room(size_t length)
{
    return (length + 2 * SW_DIRECT_ALIGN - 1) / SW_DIRECT_ALIGN * SW_DIRECT_ALIGN + SW_DIRECT_ALIGN;
}

/*
 * Reads exactly `length` bytes at `offset` into `buffer`, which is aligned to SW_DIRECT_ALIGN and
 * has sw_direct_room(length) bytes; *data: where in it they begin, aligned to `element` bytes (a
 * power of two); *is_past: they were read past the page cache. Any number of threads at once.
 * SW_EMODEL: the file ends early; SW_EIO.
 */
enum sw_status sw_direct_read(struct sw_direct_file *file, uint64_t offset, size_t length,
                              size_t element, void *buffer, const void **data, bool *is_past);
/* Reads `length` bytes through the page cache in any case, which keeps them for the next time: of
 * little that is read over and over. Failures as sw_direct_read. */
enum sw_status sw_direct_read_kept(const struct sw_direct_file *file, uint64_t offset, void *out,
                                   size_t length);

#endif

/*
 * Reads many tensors at once: threads take one piece after the other, in the order in which they
 * lie in their files, and each gives what it has read to the tensor's sink. So what is read is
 * packed while it is in the thread's cache, and while some threads pack others wait for the disk.
 */
#ifndef SW_CHECKPOINT_READ_LIST_H
#define SW_CHECKPOINT_READ_LIST_H

#include "checkpoint/read_shape.h"
#include "checkpoint/reader.h"

#include <stdbool.h>

/* At least so many threads, so that the disk has several requests under way while others pack. */
#define SW_LIST_THREADS 16
#define SW_LIST_PIECE ((size_t)512 << 10) /* bytes of a small piece, unless its rows are longer */
#define SW_LIST_THREADS_MAX 31 /* whose buffers have room for a piece and what lies around it */

struct sw_read_item {
    const struct sw_tensor *tensor; /* sw_read_list_takes it; all rows are read */
    /* Called by several threads at once, each with other rows. */
    sw_reader_sink *sink;
    void *context;
};

struct sw_read_list_options {
    int threads; /* that pack what was read; SW_LIST_THREADS are used at least */
    /* What the page cache does not have is read past it, so that no memory goes there; else it is
     * there for whoever reads the files next. */
    bool past_cache;
    /* Called by the calling thread after each of its pieces and at the end; a failure ends the
     * reading. May be NULL. */
    enum sw_status (*pulse)(void *context);
    void *context;
};

/* Whether a list can have the tensor of this directory: its rows lie as they are in one file, or
 * each is made of bytes of its own and little else, and they are not too long for the buffers.
 * Others are read by sw_reader_each_chunk. */
bool sw_read_list_takes(const struct sw_tensors *tensors, const struct sw_tensor *tensor);

/*
 * Reads all tensors; items: (n), reordered. Peak memory: SW_LIST_BYTES, kept until the reader is
 * closed. Of several failures returns one of those that lie first; failures as
 * sw_reader_rows.
 */
enum sw_status sw_read_list_run(struct sw_reader *reader, struct sw_read_item *items, size_t n,
                                const struct sw_read_list_options *options);

/* For src/checkpoint only: the threads of a reader's lists and their buffers; all zeros at first.
 */
struct sw_read_crew {
    struct sw_pool *pool; /* NULL: the caller alone */
    int threads;          /* 0: not started */
    char *buffers;        /* (SW_LIST_BYTES) */
    struct sw_read_rates rates;
};
void sw_read_crew_free(struct sw_read_crew *crew);

#endif

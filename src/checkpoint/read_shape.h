/*
 * How large the pieces are that are read past the page cache, and how many at once (private to
 * src/checkpoint, and for who measures disks). Some disks want large requests, for others what is
 * read should fit into a cache, and no property of a disk tells; so both ways are tried while
 * something is read, and the faster one is gone on with.
 */
#ifndef SW_CHECKPOINT_READ_SHAPE_H
#define SW_CHECKPOINT_READ_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#define SW_LIST_BYTES ((size_t)16 << 20) /* of all threads' buffers, in huge pages */

enum sw_read_shape_id {
    SW_READ_SMALL, /* pieces of SW_LIST_PIECE by all threads; also what the page cache has */
    SW_READ_LARGE, /* a quarter of the buffers by each of four threads */
    SW_READ_SHAPES
};

struct sw_read_shape {
    int threads;  /* that read at once */
    size_t piece; /* bytes, unless its rows are longer */
    size_t step;  /* from one thread's buffer to the next */
    size_t room;  /* bytes that can be read into a buffer */
};

/* The shape for so many threads (1 to SW_LIST_THREADS_MAX). */
struct sw_read_shape sw_read_shape(enum sw_read_shape_id id, int threads);

/* What is known of a disk; all zeros at first. */
struct sw_read_rates {
    double rate[SW_READ_SHAPES]; /* bytes per second, of the last readings; 0: unknown */
    uint64_t readings;
};

/* The shape to read with next, and how many bytes before this is asked again. */
enum sw_read_shape_id sw_read_rates_next(const struct sw_read_rates *rates, uint64_t *bytes);
/* So many bytes were read past the page cache in so many seconds; few of them say nothing. */
void sw_read_rates_saw(struct sw_read_rates *rates, enum sw_read_shape_id id, uint64_t bytes,
                       double seconds);

#endif

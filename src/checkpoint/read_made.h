/*
 * Reads matrices that are made of several parts of their files (private to src/checkpoint). Parts
 * with bytes of each row are read a chunk of rows at a time; others whole, once, and kept until
 * another matrix is read.
 */
#ifndef SW_CHECKPOINT_READ_MADE_H
#define SW_CHECKPOINT_READ_MADE_H

#include "checkpoint/reader.h"

struct sw_pool;

/* All zeros at first. */
struct sw_made_reader {
    const struct sw_made *of;   /* NULL: no matrix; else what the following belongs to */
    void *whole[SW_MADE_PARTS]; /* parts without bytes of each row; NULL: the others */
    void *state;                /* what the form prepared of them */
    char *rows;                 /* (capacity) bytes of a chunk's rows, of all parts */
    size_t capacity;
};

/*
 * As sw_reader_rows, of a tensor that is made of `made`; threads of `pool` (NULL: the caller alone)
 * share the rows. SW_EMODEL: what the parts hold is not what the form expects.
 */
enum sw_status sw_made_read(struct sw_reader *reader, struct sw_pool *pool,
                            struct sw_made_reader *m, const struct sw_made *made,
                            const struct sw_tensor *tensor, int64_t row0, int64_t n_rows,
                            void *buffer);
void sw_made_reader_free(struct sw_made_reader *m);

#endif

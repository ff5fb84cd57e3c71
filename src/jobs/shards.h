/*
 * The tensors of a `trace` on disk, cut into shards. In a folder, each tensor NAME of shard K is
 * the file NAME-KKKKK.safetensors with the one tensor NAME.KKKKK, (positions, shape of one
 * position). The files of the last shard grow, under the same names with ".part": what is appended
 * is synced by threads in groups (jobs/result_writer.h). A full shard becomes files of its final
 * names, and index.json lists them all, in the form of Hugging Face's indices:
 *   {"metadata": {"total_size", …}, "weight_map": {"NAME.KKKKK": "NAME-KKKKK.safetensors", …}}
 * Where shards are cut follows from what is appended alone.
 */
#ifndef SW_JOBS_SHARDS_H
#define SW_JOBS_SHARDS_H

#include "base/status.h"
#include "tensor/dtype.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_SHARDS_TENSORS 4 /* most tensors */

struct sw_shards_tensor {
    const char *name; /* of letters and _ */
    enum sw_dtype dtype;
    int rank;
    int64_t shape[2]; /* (rank) of one position */
};

struct sw_shards_options {
    const char *folder; /* exists */
    struct sw_shards_tensor tensors[SW_SHARDS_TENSORS];
    int n_tensors;
    uint64_t limit; /* bytes of a shard, of all tensors together; only one result goes beyond */
    /* Where the results so far end: the shard and its positions; 0, 0: there are none, and files of
     * this form are removed. */
    int shard;
    int64_t positions;
};

struct sw_shards;

/* Goes on from where the results end. SW_EINPUT: files of theirs are not there, or too short. The
 * caller frees *out by sw_shards_close. */
enum sw_status sw_shards_open(const struct sw_shards_options *options, struct sw_shards **out);
/* Bytes of one position, of all tensors. */
uint64_t sw_shards_position_bytes(const struct sw_shards_options *options);
/* Whether a result of n positions needs a new shard: flush, then sw_shards_finish. */
bool sw_shards_full(const struct sw_shards *s, int64_t n);
/* Appends a result: data[i] is (n, shape) of tensor i. It begins at *first of *shard. SW_EIO. */
enum sw_status sw_shards_append(struct sw_shards *s, const void *const *data, int64_t n, int *shard,
                                int64_t *first);
/* Results appended since the beginning that are on disk. */
int64_t sw_shards_safe(struct sw_shards *s);
enum sw_status sw_shards_flush(struct sw_shards *s);
/* Gives the files of the shard, all of it safe and noted by the caller, their final names; nothing
 * where it is empty. */
enum sw_status sw_shards_finish(struct sw_shards *s);
/* After sw_shards_finish, at the end: writes index.json. `metadata` gets "total_size". SW_EINPUT: a
 * file is not there. */
enum sw_status sw_shards_index(struct sw_shards *s, json_t *metadata);
void sw_shards_close(struct sw_shards *s);

#endif

/*
 * Measurements by one process, each within a given time in seconds. Rates are totals over the
 * threads of the pool. Ranks of a node measure at the same time, so that they share its memory bus.
 */
#ifndef SW_PROBE_MEASURE_H
#define SW_PROBE_MEASURE_H

#include "base/pool.h"
#include "base/status.h"
#include "tensor/format.h"
#include "transport/transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The cores that a rank may use, by operating-system CPU numbers, one for each core. */
#define SW_CPU_MAX 1024
struct sw_cpu_share {
    uint64_t bound[SW_CPU_MAX / 64]; /* bit set of the cores that this process is bound to */
    int n_bound;                     /* number of cores that this process is bound to */
    int n_machine;                   /* number of cores that the job may use on this machine */
    int n_numa;                      /* number of memory nodes of this machine */
    uint64_t cache_bytes;            /* size of all last-level caches of this machine */
    double quota;                    /* CPU time a cgroup allows, in cores; 0: no limit */
    char quota_group[192];           /* path of the cgroup with that quota */
};
/* Reads the share; `root` (see memory.h) holds for cgroups, not for cores. SW_ENOMEM, SW_EDEVICE.
 */
enum sw_status sw_cpu_share_read(const char *root, struct sw_cpu_share *out);
/* The name of the processor in /proc/cpuinfo under `root`, else "unknown processor". */
void sw_cpu_name_read(const char *root, char *out, size_t cap);

/*
 * A block of memory to read: `bytes`, or as much of it as the system provides within `seconds`. The
 * caller frees *out with sw_read_block_free. SW_ENOMEM.
 */
struct sw_read_block;
enum sw_status sw_read_block_create(struct sw_pool *pool, size_t bytes, double seconds,
                                    struct sw_read_block **out);
/*
 * Bytes per second that the pool's threads read from the block, over about `seconds`. When the
 * system provided less than 5/8 of it, which may fit into the caches, lines are put out of these
 * first; 0 where the processor has no instruction for that, or of less than 8 MiB.
 */
double sw_read_block_rate(struct sw_read_block *block, double seconds);
/* The start of the block's memory, and how many bytes from there on the system has provided. */
void *sw_read_block_memory(const struct sw_read_block *block, size_t *bytes);
void sw_read_block_free(struct sw_read_block *block);

/*
 * Floating-point operations per second of the pool's threads, in registers only, as in matrix
 * products with weights of `format`; a multiply-add counts as two. 0: no memory.
 */
double sw_compute_rate(struct sw_pool *pool, enum sw_format_id format, double seconds);

/* The shape of attention. */
struct sw_attend_shape {
    enum sw_dtype kv; /* element type of keys and values */
    int head_dim;     /* 0: attention is not measured */
    int group;        /* query heads for each head of keys and values */
};
/*
 * Floating-point operations per second of attention (scores and sums of values; a multiply-add
 * counts as two) by the pool's threads with the engine's kernel; 0: no memory.
 */
double sw_attend_rate(struct sw_pool *pool, const struct sw_attend_shape *shape, double seconds);
/*
 * The same for decoded tokens, each of which goes over keys and values that come from memory: they
 * are written over the block. 0: no memory, or the block may fit into the caches.
 */
double sw_attend_decode_rate(struct sw_read_block *block, const struct sw_attend_shape *shape,
                             double seconds);

/*
 * Bytes per second when reading the file `path`, or the largest file in the directory `path`, as
 * layers from disk are read: into huge pages, from where it is copied, in the faster of the shapes
 * of read_shape.h, without the page cache where the file system allows it. Takes `seconds`, half of
 * them for each shape, or less if the rate has settled by then or the file ends. Starts at part
 * `part` of `parts` equal parts of the file, so that ranks of a node read different places.
 * SW_EINPUT when there is no file of 1 MiB or more.
 */
enum sw_status sw_disk_rate(const char *path, int part, int parts, double seconds, double *rate);

/*
 * Measures round trips to the next rank; all ranks call it. It has two phases, so that no rank
 * exchanges messages with two neighbours at once. *latency: seconds one way; *bandwidth: bytes per
 * second (NULL: not measured, which is much quicker over a slow network). Both 0 on the last rank.
 */
enum sw_status sw_hop_measure(struct sw_transport *t, double seconds, double *latency,
                              double *bandwidth);

#endif

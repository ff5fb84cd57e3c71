/*
 * What this process measures of its machine within a given time. Rates are totals of the threads;
 * ranks of a node that shall share its memory bus measure at the same time.
 */
#ifndef SW_PROBE_MEASURE_H
#define SW_PROBE_MEASURE_H

#include "base/pool.h"
#include "base/status.h"
#include "model/dtype.h"
#include "transport/transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a rank may use: operating-system CPU numbers, one a core. */
#define SW_CPU_MAX 1024
struct sw_cpu_share {
    uint64_t bound[SW_CPU_MAX / 64]; /* cores this process is bound to, as a bit set */
    int n_bound;                     /* of them */
    int n_machine;                   /* cores the job may use on this machine */
    int n_numa;                      /* memory nodes of this machine */
    uint64_t cache_bytes;            /* last-level caches of this machine together */
    double quota;                    /* cores' worth of time that a cgroup allows; 0: no limit */
    char quota_group[192];           /* … and the cgroup's path */
};
/* `root` as in memory.h; the cores themselves are always this machine's. */
enum sw_status sw_cpu_share_read(const char *root, struct sw_cpu_share *out);
/* The processor's name as /proc/cpuinfo under `root` has it ("unknown processor" at worst). */
void sw_cpu_name_read(const char *root, char *out, size_t cap);

/* A block to read from, of `bytes` or as much of it as came within `seconds`. */
struct sw_read_block;
enum sw_status sw_read_block_create(struct sw_pool *pool, size_t bytes, double seconds,
                                    struct sw_read_block **out);
/* Bytes per second that the pool's threads read from it, over about `seconds`; 0 when less than
   5/8 of the block came, because that may lie in the caches. */
double sw_read_block_rate(struct sw_read_block *stream, double seconds);
void sw_read_block_free(struct sw_read_block *stream);

/*
 * Multiply-adds in registers only, as matrix products with weights of `format` do them, counted as
 * two operations each, per second, by the pool's threads.
 */
double sw_compute_rate(struct sw_pool *pool, enum sw_dtype format, double seconds);

/* A prompt's attention: keys and values of `kv`, `group` query heads for each of their heads. */
struct sw_attend_shape {
    enum sw_dtype kv;
    int head_dim, group; /* head_dim 0: not to be measured */
};
/* Its floating-point operations (scores and the sum of values, two a multiply-add) per second, by
 * the pool's threads with the real kernel; 0: no memory. */
double sw_attend_rate(struct sw_pool *pool, const struct sw_attend_shape *shape, double seconds);

/*
 * Bytes per second when reading the largest file in the directory `path` (or that file), past the
 * page cache where the file system allows. `part` of `parts`: where in the file to begin, so that
 * the ranks of a node read different places. SW_EINPUT: there is nothing to read.
 */
enum sw_status sw_disk_rate(const char *path, int part, int parts, double seconds, double *rate);

/*
 * All ranks together: round trips with the next rank, in two turns so that nobody serves two
 * neighbours at once. latency in seconds one way, bandwidth in bytes per second (NULL: is not
 * measured, which is much quicker over a slow network); 0 on the last rank.
 */
enum sw_status sw_hop_measure(struct sw_transport *t, double seconds, double *latency,
                              double *bandwidth);

#endif

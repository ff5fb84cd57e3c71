/* Host memory as the kernel tells it: what this process could still have, and why not more. */
#ifndef SW_PROBE_MEMORY_H
#define SW_PROBE_MEMORY_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sw_host_memory {
    uint64_t total, available; /* MemTotal, MemAvailable of /proc/meminfo */
    uint64_t swap_used;
    /*
     * The tightest memory cgroup above this process: its limit (UINT64_MAX: none), what is left of
     * it (page cache counts as free, it is given back on demand), and its path.
     */
    uint64_t cgroup_limit, cgroup_free;
    char cgroup[192], cgroup_file[24]; /* the file that the limit stands in: "memory.max" */
    uint64_t address_free;             /* left of RLIMIT_AS (ulimit -v); UINT64_MAX: no limit */
    uint64_t data_free;                /* left of RLIMIT_DATA (ulimit -d); likewise */
    uint64_t shm_free;                 /* in /dev/shm, where ranks of a node exchange messages */
    uint64_t lock_limit; /* RLIMIT_MEMLOCK; UINT64_MAX: none. What InfiniBand pins is below it */
    bool infiniband;     /* the machine has such a network (/dev/infiniband) */
};

/* The least of what the machine has available and what cgroups and ulimits leave. */
uint64_t sw_memory_left(const struct sw_host_memory *memory);

/* `root` is "" on a real machine; tests give the path of a tree with proc/ and sys/ in it. */
enum sw_status sw_memory_read(const char *root, struct sw_host_memory *out);

#endif

/* Host memory as the kernel reports it: what this process can still allocate, and which limit
 * holds. */
#ifndef SW_PROBE_MEMORY_H
#define SW_PROBE_MEMORY_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sw_host_memory {
    uint64_t total, available; /* bytes; MemTotal and MemAvailable of /proc/meminfo */
    uint64_t swap_used;        /* bytes */
    /*
     * The tightest memory cgroup above this process: its limit in bytes (UINT64_MAX: none) and what
     * is left of it, where page cache counts as free because the kernel drops it on demand.
     */
    uint64_t cgroup_limit, cgroup_free;
    char cgroup[192];      /* path of that cgroup */
    char cgroup_file[24];  /* file with that limit: "memory.max" */
    uint64_t address_free; /* bytes left of RLIMIT_AS (ulimit -v); UINT64_MAX: no limit */
    uint64_t data_free;    /* bytes left of RLIMIT_DATA (ulimit -d); UINT64_MAX: no limit */
    uint64_t shm_free;     /* bytes free in /dev/shm, where ranks of a node exchange messages */
    uint64_t lock_limit;   /* RLIMIT_MEMLOCK, which InfiniBand's buffers need; UINT64_MAX: none */
    bool infiniband;       /* the machine has an InfiniBand network (/dev/infiniband) */
};

/* Bytes that this process can allocate: the least of what machine, cgroups and ulimits leave. */
uint64_t sw_memory_left(const struct sw_host_memory *memory);

/*
 * Reads all of them. `root` is "" on a real machine; tests pass the path of a tree with proc/ and
 * sys/ in it. SW_EDEVICE when /proc/meminfo lacks a field, SW_EIO when it cannot be read.
 */
enum sw_status sw_memory_read(const char *root, struct sw_host_memory *out);

#endif

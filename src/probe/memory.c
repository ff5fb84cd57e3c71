/* Owns reading /proc/meminfo, the memory cgroups (version 2 and 1) and the limits of the process.
 */
#include "probe/memory.h"

#include "probe/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PATH_CAP 1024
#define V1_NO_LIMIT (1ull << 62) /* version 1 writes "no limit" as a huge number */

static enum sw_status memory_read_meminfo(const char *root, struct sw_host_memory *out)
{
    char *text;
    uint64_t total, available, swap = 0, swap_free = 0;
    SW_TRY(sw_kernel_read(root, "/proc/meminfo", &text));
    if (!text || !sw_kernel_field(text, "MemTotal:", &total) ||
        !sw_kernel_field(text, "MemAvailable:", &available)) {
        free(text);
        return sw_fail(SW_EDEVICE,
                       "%s/proc/meminfo does not state MemTotal and MemAvailable; "
                       "is /proc mounted?",
                       root);
    }
    sw_kernel_field(text, "SwapTotal:", &swap);
    sw_kernel_field(text, "SwapFree:", &swap_free);
    free(text);
    out->total = total << 10;
    out->available = available << 10;
    out->swap_used = swap > swap_free ? (swap - swap_free) << 10 : 0;
    return SW_OK;
}

/* Names of the files of one cgroup version. */
static const struct memory_files {
    const char *limits[2], *usage, *cache[2];
} memory_files[SW_CGROUP_VERSIONS] = {
    [SW_CGROUP_V2] = {{"memory.max", "memory.high"},
                      "memory.current",
                      {"inactive_file ", "active_file "}},
    [SW_CGROUP_V1] = {{"memory.limit_in_bytes", NULL},
                      "memory.usage_in_bytes",
                      {"total_inactive_file ", "total_active_file "}},
};

static uint64_t host_memory_cache_of(const struct sw_cgroup *group)
{
    uint64_t sum = 0, value;
    char *text = sw_cgroup_text(group, "memory.stat");
    for (int i = 0; text && i < 2; i++)
        if (sw_kernel_field(text, memory_files[group->version].cache[i], &value))
            sum += value;
    free(text);
    return sum;
}

/* Takes over the limit of a cgroup if it leaves less than those found so far. */
static void memory_apply_cgroup(void *context, const struct sw_cgroup *group)
{
    struct sw_host_memory *out = context;
    const struct memory_files *files = &memory_files[group->version];
    uint64_t limit = UINT64_MAX, usage = 0, value;
    const char *file = "";
    for (int i = 0; i < 2; i++)
        if (files->limits[i] && sw_cgroup_number(group, files->limits[i], &value) &&
            value < limit) {
            limit = value;
            file = files->limits[i];
        }
    if (limit >= V1_NO_LIMIT || !sw_cgroup_number(group, files->usage, &usage))
        return;
    const uint64_t cache = host_memory_cache_of(group);
    usage = usage > cache ? usage - cache : 0;
    const uint64_t left = limit > usage ? limit - usage : 0;
    if (left >= out->cgroup_free)
        return;
    out->cgroup_free = left;
    out->cgroup_limit = limit;
    snprintf(out->cgroup_file, sizeof out->cgroup_file, "%s", file);
    snprintf(out->cgroup, sizeof out->cgroup, "%.180s", group->path[0] ? group->path : "/");
}

/* What is left of a limit of this process, whose use is at `key` in /proc/self/status. */
static uint64_t memory_limit_left(const char *root, int resource, const char *key)
{
    struct rlimit limit;
    uint64_t used;
    if (getrlimit((unsigned)resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    char *text = sw_kernel_text(root, "/proc/self/status");
    if (!text || !sw_kernel_field(text, key, &used))
        used = 0;
    free(text);
    used <<= 10;
    return limit.rlim_cur > used ? (uint64_t)limit.rlim_cur - used : 0;
}

uint64_t sw_memory_left(const struct sw_host_memory *m)
{
    const uint64_t process = m->address_free < m->data_free ? m->address_free : m->data_free;
    const uint64_t machine = m->cgroup_free < m->available ? m->cgroup_free : m->available;
    return process < machine ? process : machine;
}

enum sw_status sw_memory_read(const char *root, struct sw_host_memory *out)
{
    memset(out, 0, sizeof *out);
    SW_TRY(memory_read_meminfo(root, out));
    out->cgroup_limit = out->cgroup_free = UINT64_MAX;
    sw_cgroups_above(root, "memory", memory_apply_cgroup, out);
    out->address_free = memory_limit_left(root, RLIMIT_AS, "VmSize:");
    out->data_free = memory_limit_left(root, RLIMIT_DATA, "VmData:");
    char path[PATH_CAP];
    struct statvfs shm;
    snprintf(path, sizeof path, "%s/dev/shm", root);
    out->shm_free = statvfs(path, &shm) == 0 ? (uint64_t)shm.f_bavail * shm.f_frsize : 0;
    struct rlimit lock;
    out->lock_limit = getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur != RLIM_INFINITY
                          ? (uint64_t)lock.rlim_cur
                          : UINT64_MAX;
    snprintf(path, sizeof path, "%s/dev/infiniband", root);
    out->infiniband = access(path, F_OK) == 0;
    return SW_OK;
}

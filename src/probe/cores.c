/* Owns which cores a process may use (hwloc), and how much of their time (cgroups). */
#include "base/cpu_info.h"
#include "base/cpu_topology.h"
#include "probe/cgroup.h"
#include "probe/measure.h"

#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Counts what hwloc lets this process see: the cores of a container, not of the whole machine. */
static void cores_count_machine(struct sw_cpu_share *out)
{
    hwloc_topology_t topology = sw_cpu_topology();
    hwloc_obj_t cache = NULL;
    if (!topology)
        return;
    out->n_machine = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    out->n_numa = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);
    if (out->n_machine <= 0)
        out->n_machine = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
    while ((cache = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_L3CACHE, cache)) != NULL)
        out->cache_bytes += cache->attr->cache.size;
}

/* The quota of a group of either version, in microseconds for each period; false: no limit. */
static bool cores_quota(const struct sw_cgroup *group, double *quota, double *period)
{
    uint64_t us = 0, each = 0;
    bool is_limited = false;
    if (group->version == SW_CGROUP_V1) { /* -1: none */
        is_limited = sw_cgroup_number(group, "cpu.cfs_quota_us", &us) &&
                     sw_cgroup_number(group, "cpu.cfs_period_us", &each);
    } else {
        char *text = sw_cgroup_text(group, "cpu.max"), *rest; /* "50000 100000", "max 100000" */
        if (text && text[0] >= '0' && text[0] <= '9') {
            us = strtoull(text, &rest, 10);
            each = strtoull(rest, NULL, 10);
            is_limited = true;
        }
        free(text);
    }
    *quota = (double)us;
    *period = (double)each;
    return is_limited && us > 0 && each > 0;
}

/* Takes over the quota of a group if it is tighter than that found so far. */
static void cores_apply_quota(void *context, const struct sw_cgroup *group)
{
    struct sw_cpu_share *out = context;
    double quota, period;
    if (!cores_quota(group, &quota, &period) || (out->quota > 0 && quota / period >= out->quota))
        return;
    out->quota = quota / period;
    snprintf(out->quota_group, sizeof out->quota_group, "%.180s",
             group->path[0] ? group->path : "/");
}

enum sw_status sw_cpu_share_read(const char *root, struct sw_cpu_share *out)
{
    int *cores, n;
    memset(out, 0, sizeof *out);
    SW_TRY(sw_cpu_cores(NULL, &cores, &n));
    for (int i = 0; i < n; i++)
        if (cores[i] >= 0 && cores[i] < SW_CPU_MAX) {
            out->bound[cores[i] / 64] |= 1ull << (cores[i] % 64);
            out->n_bound++;
        }
    free(cores);
    out->n_numa = 1;
    cores_count_machine(out);
    if (out->n_machine < out->n_bound)
        out->n_machine = out->n_bound;
    sw_cgroups_above(root, "cpu", cores_apply_quota, out);
    return SW_OK;
}

void sw_cpu_name_read(const char *root, char *out, size_t cap)
{
    char path[1024], line[512];
    snprintf(out, cap, "unknown processor");
    snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, cap, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(file);
}

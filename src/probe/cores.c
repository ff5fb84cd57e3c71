/* Owns what hwloc says about the cores a process may use. */
#include "base/cpu.h"
#include "probe/measure.h"

#include <hwloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What hwloc lets this process see: a container's cores, not the whole machine's. */
static void count_machine(struct sw_cpu_share *out)
{
    hwloc_topology_t topology;
    hwloc_obj_t cache = NULL;
    if (hwloc_topology_init(&topology) != 0)
        return;
    if (hwloc_topology_load(topology) == 0) {
        out->n_machine = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
        out->n_numa = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE);
        if (out->n_machine <= 0)
            out->n_machine = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
        while ((cache = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_L3CACHE, cache)) != NULL)
            out->cache_bytes += cache->attr->cache.size;
    }
    hwloc_topology_destroy(topology);
}

enum sw_status sw_cpu_share_read(struct sw_cpu_share *out)
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
    count_machine(out);
    if (out->n_machine < out->n_bound)
        out->n_machine = out->n_bound;
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

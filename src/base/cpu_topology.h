/* The machine as hwloc sees it, read once for each process: that takes milliseconds. */
#ifndef SW_BASE_CPU_TOPOLOGY_H
#define SW_BASE_CPU_TOPOLOGY_H

struct hwloc_topology;

/* From any thread; not to be changed or destroyed. NULL: hwloc failed. */
struct hwloc_topology *sw_cpu_topology(void);

#endif

/*
 * The control groups (versions 2 and 1) that this process is in. A limit holds for all below it, so
 * the whole way up counts, as far as this process sees it: a container sees no more than its own
 * group, as the root.
 */
#ifndef SW_PROBE_CGROUP_H
#define SW_PROBE_CGROUP_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum sw_cgroup_version { SW_CGROUP_V2, SW_CGROUP_V1, SW_CGROUP_VERSIONS };

struct sw_cgroup {
    const char *root; /* before /sys and /proc: "" on a real machine */
    enum sw_cgroup_version version;
    const char *controller;
    const char *path; /* "/job/step"; "" for the root */
};

/*
 * Calls `see` for every group that could limit `controller` ("memory", "cpu") for this process,
 * from its own up to the root.
 */
typedef void sw_cgroup_fn(void *context, const struct sw_cgroup *group);
void sw_cgroups_above(const char *root, const char *controller, sw_cgroup_fn *see, void *context);

/* The start of one of the group's files; the caller frees it. NULL: it is not there. */
char *sw_cgroup_text(const struct sw_cgroup *group, const char *file);
/* A file that holds a number; false when it is not there or holds something else ("max"). */
bool sw_cgroup_number(const struct sw_cgroup *group, const char *file, uint64_t *value);

/* The start of root/path (the kernel's files tell no size); the caller frees it. NULL: none. */
enum sw_status sw_kernel_read(const char *root, const char *path, char **text);
/* The same for what may hold a limit: one that cannot be read is told, since it may be a low one.
 */
char *sw_kernel_text(const char *root, const char *path);
/* The number after `key` at the start of a line; false when there is no such line. */
bool sw_kernel_field(const char *text, const char *key, uint64_t *value);

#endif

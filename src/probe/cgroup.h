/*
 * The control groups (versions 2 and 1) that this process is in. A limit holds for all groups below
 * it, so all groups from the process's own up to the root count, as far as this process sees them:
 * a container sees only its own group, as the root.
 */
#ifndef SW_PROBE_CGROUP_H
#define SW_PROBE_CGROUP_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum sw_cgroup_version { SW_CGROUP_V2, SW_CGROUP_V1, SW_CGROUP_VERSIONS };

struct sw_cgroup {
    const char *root; /* prefix of /sys and /proc: "" on a real machine */
    enum sw_cgroup_version version;
    const char *controller; /* "memory", "cpu" */
    const char *path;       /* "/job/step"; "" for the root */
};

/*
 * Calls `visit` for every group that could limit `controller` ("memory", "cpu") for this process,
 * from its own up to the root.
 */
typedef void sw_cgroup_fn(void *context, const struct sw_cgroup *group);
void sw_cgroups_above(const char *root, const char *controller, sw_cgroup_fn *visit, void *context);

/* The start of a file of the group; the caller frees it. NULL: there is no such file. */
char *sw_cgroup_text(const struct sw_cgroup *group, const char *file);
/* Reads a file that holds a number; false when there is none or it holds something else ("max"). */
bool sw_cgroup_number(const struct sw_cgroup *group, const char *file, uint64_t *value);

/*
 * The start of the file root/path, for the kernel's files, which report no size. *text: the caller
 * frees it; NULL when there is no such file. SW_EIO when it cannot be read.
 */
enum sw_status sw_kernel_read(const char *root, const char *path, char **text);
/* Like sw_kernel_read, for a file that may hold a limit: logs a warning when it cannot be read. */
char *sw_kernel_text(const char *root, const char *path);
/* The number after `key` at the start of a line of `text`; false when there is no such line. */
bool sw_kernel_field(const char *text, const char *key, uint64_t *value);

#endif

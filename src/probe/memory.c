/* Owns reading /proc/meminfo, the memory cgroups (version 2 and 1) and the limits of the process.
 */
#include "probe/memory.h"

#include "base/file.h"
#include "base/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PATH_CAP 1024
#define SMALL_FILE (64 << 10)
#define V1_NO_LIMIT (1ull << 62) /* version 1 writes "no limit" as a huge number */

/* The start of root/path (the kernel's files tell no size), NULL when it is not there; the caller
 * frees it. */
static enum sw_status read_text(const char *root, const char *path, char **text)
{
    char full[PATH_CAP];
    size_t length;
    *text = NULL;
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
        return sw_fail(SW_EINPUT, "%s%s: is too long a path", root, path);
    return sw_file_read_kernel(full, SMALL_FILE, text, &length);
}

/* The same for what may hold a limit: one that cannot be read is told, since it may be a low one.
 */
static char *text_of(const char *root, const char *path)
{
    char *text;
    if (read_text(root, path, &text) != SW_OK) {
        sw_log(SW_LOG_WARN, "%s; what it says of limits is not heeded", sw_error_message());
        sw_error_clear();
    }
    return text;
}

/* The number after `key` at the start of a line; false when there is no such line. */
static bool field(const char *text, const char *key, uint64_t *value)
{
    const size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, length) == 0) {
            *value = strtoull(line + length, NULL, 10);
            return true;
        }
    return false;
}

static enum sw_status read_meminfo(const char *root, struct sw_host_memory *out)
{
    char *text;
    uint64_t total, available, swap = 0, swap_free = 0;
    SW_TRY(read_text(root, "/proc/meminfo", &text));
    if (!text || !field(text, "MemTotal:", &total) || !field(text, "MemAvailable:", &available)) {
        free(text);
        return sw_fail(SW_EDEVICE,
                       "%s/proc/meminfo does not tell MemTotal and MemAvailable; "
                       "is /proc mounted?",
                       root);
    }
    field(text, "SwapTotal:", &swap);
    field(text, "SwapFree:", &swap_free);
    free(text);
    out->total = total << 10;
    out->available = available << 10;
    out->swap_used = swap > swap_free ? (swap - swap_free) << 10 : 0;
    return SW_OK;
}

/* Names of the files of one cgroup version. */
static const struct version {
    const char *mount, *limits[2], *usage, *cache[2];
} versions[] = {
    {"/sys/fs/cgroup",
     {"memory.max", "memory.high"},
     "memory.current",
     {"inactive_file ", "active_file "}},
    {"/sys/fs/cgroup/memory",
     {"memory.limit_in_bytes", NULL},
     "memory.usage_in_bytes",
     {"total_inactive_file ", "total_active_file "}},
};

static bool number_in(const char *root, const struct version *v, const char *group,
                      const char *name, uint64_t *value)
{
    char path[PATH_CAP];
    if (!name || snprintf(path, sizeof path, "%s%s/%s", v->mount, group, name) >= (int)sizeof path)
        return false;
    char *text = text_of(root, path);
    const bool is_number = text && text[0] >= '0' && text[0] <= '9';
    if (is_number)
        *value = strtoull(text, NULL, 10);
    free(text);
    return is_number;
}

static uint64_t cache_of(const char *root, const struct version *v, const char *group)
{
    char path[PATH_CAP];
    uint64_t sum = 0, value;
    if (snprintf(path, sizeof path, "%s%s/memory.stat", v->mount, group) >= (int)sizeof path)
        return 0;
    char *text = text_of(root, path);
    for (int i = 0; text && i < 2; i++)
        if (field(text, v->cache[i], &value))
            sum += value;
    free(text);
    return sum;
}

/* One cgroup's word on what is left; keeps the tightest. */
static void weigh_group(const char *root, const struct version *v, const char *group,
                        struct sw_host_memory *out)
{
    uint64_t limit = UINT64_MAX, usage = 0, value;
    for (int i = 0; i < 2; i++)
        if (number_in(root, v, group, v->limits[i], &value) && value < limit)
            limit = value;
    if (limit >= V1_NO_LIMIT || !number_in(root, v, group, v->usage, &usage))
        return;
    const uint64_t cache = cache_of(root, v, group);
    usage = usage > cache ? usage - cache : 0;
    const uint64_t left = limit > usage ? limit - usage : 0;
    if (left >= out->cgroup_free)
        return;
    out->cgroup_free = left;
    out->cgroup_limit = limit;
    snprintf(out->cgroup, sizeof out->cgroup, "%.180s", group[0] ? group : "/");
}

/* Limits hold for all below them, so the whole way up counts. */
static void weigh_way_up(const char *root, const struct version *v, char *group,
                         struct sw_host_memory *out)
{
    if (strncmp(group, "/..", 3) == 0) /* mounted from elsewhere: what we see starts at its root */
        group[0] = 0;
    for (;;) {
        char *slash = strrchr(group, '/');
        if (slash && !slash[1])
            *slash = 0;
        weigh_group(root, v, group, out);
        slash = strrchr(group, '/');
        if (!slash)
            return;
        *slash = 0;
    }
}

static void read_cgroups(const char *root, struct sw_host_memory *out)
{
    out->cgroup_limit = out->cgroup_free = UINT64_MAX;
    char *text = text_of(root, "/proc/self/cgroup"), *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        if (controllers[1] == 0)
            weigh_way_up(root, &versions[0], group, out);
        else if (strcmp(controllers + 1, "memory") == 0)
            weigh_way_up(root, &versions[1], group, out);
    }
    free(text);
}

static uint64_t address_space_left(const char *root)
{
    struct rlimit limit;
    uint64_t used;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    char *text = text_of(root, "/proc/self/status");
    if (!text || !field(text, "VmSize:", &used))
        used = 0;
    free(text);
    used <<= 10;
    return limit.rlim_cur > used ? (uint64_t)limit.rlim_cur - used : 0;
}

enum sw_status sw_memory_read(const char *root, struct sw_host_memory *out)
{
    memset(out, 0, sizeof *out);
    SW_TRY(read_meminfo(root, out));
    read_cgroups(root, out);
    out->address_free = address_space_left(root);
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

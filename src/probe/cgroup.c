/* Owns the walk from a process's control groups up to the root, and reading small kernel files. */
#include "probe/cgroup.h"

#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_CAP 1024
#define SMALL_FILE (64 << 10)

enum sw_status sw_kernel_read(const char *root, const char *path, char **text)
{
    char full[PATH_CAP];
    size_t length;
    *text = NULL;
    if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
        return sw_fail(SW_EINPUT, "%s%s: is too long a path", root, path);
    return sw_file_read_kernel(full, SMALL_FILE, text, &length);
}

char *sw_kernel_text(const char *root, const char *path)
{
    char *text;
    if (sw_kernel_read(root, path, &text) != SW_OK) {
        sw_log(SW_LOG_WARN, "%s; its limits are ignored", sw_error_message());
        sw_error_clear();
    }
    return text;
}

bool sw_kernel_field(const char *text, const char *key, uint64_t *value)
{
    const size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, key, length) == 0) {
            *value = strtoull(line + length, NULL, 10);
            return true;
        }
    return false;
}

char *sw_cgroup_text(const struct sw_cgroup *group, const char *file)
{
    char path[PATH_CAP];
    const bool own_mount = group->version == SW_CGROUP_V1; /* one for each controller */
    if (snprintf(path, sizeof path, "/sys/fs/cgroup%s%s%s/%s", own_mount ? "/" : "",
                 own_mount ? group->controller : "", group->path, file) >= (int)sizeof path)
        return NULL;
    return sw_kernel_text(group->root, path);
}

bool sw_cgroup_number(const struct sw_cgroup *group, const char *file, uint64_t *value)
{
    char *text = sw_cgroup_text(group, file);
    const bool is_number = text && text[0] >= '0' && text[0] <= '9';
    if (is_number)
        *value = strtoull(text, NULL, 10);
    free(text);
    return is_number;
}

/* "cpu,cpuacct" holds "cpu". */
static bool cgroup_list_has(const char *list, const char *controller)
{
    const size_t length = strlen(controller);
    for (const char *at = list;; at++) {
        const size_t n = strcspn(at, ",");
        if (n == length && strncmp(at, controller, n) == 0)
            return true;
        at += n;
        if (!*at)
            return false;
    }
}

static void cgroup_walk_up(struct sw_cgroup *group, char *path, sw_cgroup_fn *visit, void *context)
{
    if (strncmp(path, "/..", 3) == 0) /* mounted from elsewhere: only its root is visible */
        path[0] = 0;
    group->path = path;
    for (;;) {
        char *slash = strrchr(path, '/');
        if (slash && !slash[1])
            *slash = 0;
        visit(context, group);
        slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = 0;
    }
}

void sw_cgroups_above(const char *root, const char *controller, sw_cgroup_fn *visit, void *context)
{
    struct sw_cgroup group = {.root = root, .controller = controller};
    char *text = sw_kernel_text(root, "/proc/self/cgroup"), *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        group.version = controllers[1] == 0 ? SW_CGROUP_V2 : SW_CGROUP_V1;
        if (group.version == SW_CGROUP_V2 || cgroup_list_has(controllers + 1, controller))
            cgroup_walk_up(&group, path, visit, context);
    }
    free(text);
}

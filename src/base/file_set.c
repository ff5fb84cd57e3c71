/* Owns the comparison of paths: whether two of them are the same file. */
#include "base/file_set.h"

#include "base/file.h"
#include "base/file_write.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* links that lead to links; Linux has the same limit */

struct sw_file_entry {
    const char *what; /* borrowed */
    char *path;
    dev_t device;
    ino_t node;  /* inode of the file, or of its folder when the file does not exist */
    size_t name; /* offset of the file name in `path`; the path's length when the file exists */
};

/* The target of a dangling link, where opening for writing would create a file. NULL: no link, or
 * no memory. The caller frees it. */
static char *file_entry_link_target(const char *path)
{
    char text[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const ssize_t n = readlink(path, text, sizeof text - 1);
    if (n < 0)
        return NULL;
    text[n] = '\0';
    const size_t folder = text[0] == '/' || !slash ? 0 : (size_t)(slash - path) + 1;
    char *target = malloc(folder + (size_t)n + 1);
    if (!target)
        return NULL;
    memcpy(target, path, folder);
    memcpy(target + folder, text, (size_t)n + 1);
    return target;
}

/* Fills device, node and name. False: there is no such file and it cannot be created. */
static bool file_entry_resolve(struct sw_file_entry *p, mode_t *mode)
{
    struct stat st;
    *mode = 0;
    for (int links = 0; stat(p->path, &st) != 0; links++) {
        if (errno == EINTR)
            continue;
        char *target =
            errno == ENOENT && links < LINKS_MAX ? file_entry_link_target(p->path) : NULL;
        if (target) {
            free(p->path);
            p->path = target;
            continue;
        }
        const char *slash = strrchr(p->path, '/');
        p->name = slash ? (size_t)(slash - p->path) + 1 : 0;
        char *folder = slash ? strndup(p->path, p->name) : strdup(".");
        const bool there = folder && stat(folder, &st) == 0;
        free(folder);
        p->device = st.st_dev;
        p->node = st.st_ino;
        return there;
    }
    *mode = st.st_mode;
    p->device = st.st_dev;
    p->node = st.st_ino;
    p->name = strlen(p->path);
    return true;
}

static bool file_entry_same(const struct sw_file_entry *a, const struct sw_file_entry *b)
{
    return a->device == b->device && a->node == b->node &&
           strcmp(a->path + a->name, b->path + b->name) == 0;
}

static enum sw_status file_set_grow(struct sw_file_set *set)
{
    const size_t capacity = set->capacity ? 2 * set->capacity : 16;
    struct sw_file_entry *grown = realloc(set->entries, capacity * sizeof *grown);
    if (!grown)
        return sw_fail(SW_ENOMEM, "no memory to compare %zu files", set->n);
    set->entries = grown;
    set->capacity = capacity;
    return SW_OK;
}

/* *entry NULL: there is no such file and it cannot be created. */
static enum sw_status file_set_add(struct sw_file_set *set, const char *what, const char *path,
                                   struct sw_file_entry **entry, mode_t *mode)
{
    *entry = NULL;
    *mode = 0;
    if (set->n == set->capacity)
        SW_TRY(file_set_grow(set));
    struct sw_file_entry *p = &set->entries[set->n];
    *p = (struct sw_file_entry){.what = what, .path = strdup(path)};
    if (!p->path)
        return sw_fail(SW_ENOMEM, "no memory for the path %s", path);
    if (file_entry_resolve(p, mode)) {
        *entry = p;
        set->n++;
    } else {
        free(p->path);
    }
    return SW_OK;
}

enum sw_status sw_file_set_read(struct sw_file_set *set, const char *what, const char *path)
{
    struct sw_file_entry *entry;
    mode_t mode;
    return path ? file_set_add(set, what, path, &entry, &mode) : SW_OK;
}

enum sw_status sw_file_set_read_folder(struct sw_file_set *set, const char *what,
                                       const char *folder)
{
    enum sw_status status = SW_OK;
    DIR *dir;
    while (!(dir = opendir(folder)))
        if (errno != EINTR)
            return sw_file_is_absence(errno) ? SW_OK : sw_file_fail(folder, "listed", errno);
    for (const struct dirent *entry; status == SW_OK && (entry = readdir(dir));) {
        const size_t n = strlen(folder) + strlen(entry->d_name) + 2;
        char *path = malloc(n);
        if (!path) {
            status = sw_fail(SW_ENOMEM, "%s: no memory to compare its files", folder);
            break;
        }
        snprintf(path, n, "%s/%s", folder, entry->d_name);
        status = sw_file_set_read(set, what, path);
        free(path);
    }
    closedir(dir);
    return status;
}

enum sw_status sw_file_set_write(struct sw_file_set *set, const char *what, const char *path)
{
    struct sw_file_entry *p;
    mode_t mode;
    if (!path)
        return SW_OK;
    SW_TRY(file_set_add(set, what, path, &p, &mode));
    if (!p)
        return SW_OK;
    if (S_ISCHR(mode)) /* /dev/null and terminals: no content to lose */
        return SW_OK;
    if (mode && !S_ISREG(mode) && sw_file_write_descriptor(path) >= 0) /* "> file" or "| tool" */
        return SW_OK;
    if (mode && !S_ISREG(mode))
        return sw_fail(SW_EUSAGE, "%s: %s is %s, not a regular file; name a file", path, what,
                       S_ISDIR(mode)    ? "a folder"
                       : S_ISFIFO(mode) ? "a pipe"
                       : S_ISSOCK(mode) ? "a socket"
                                        : "a device");
    for (const struct sw_file_entry *other = set->entries; other < p; other++)
        if (file_entry_same(other, p))
            return sw_fail(SW_EUSAGE, "%s and %s: %s and %s are the same file; name another one",
                           other->path, path, other->what, what);
    return SW_OK;
}

void sw_file_set_free(struct sw_file_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->entries[i].path);
    free(set->entries);
    *set = (struct sw_file_set){0};
}

/* Owns telling whether two paths are one file. */
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

#define LINKS_MAX 40 /* one after another, as the system has it */

struct sw_file_place {
    const char *what; /* borrowed */
    char *path;
    dev_t device;
    ino_t node;  /* its own; that of its folder when it is not there */
    size_t name; /* where its name in that folder begins in `path`; its end when it is there */
};

/* Where a link leads that leads to nothing: opening it for writing makes a file there. */
static char *place_target(const char *path)
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

/* Fills device, node and name; false: nothing can be there. */
static bool place_look(struct sw_file_place *p, mode_t *mode)
{
    struct stat st;
    *mode = 0;
    for (int links = 0; stat(p->path, &st) != 0; links++) {
        if (errno == EINTR)
            continue;
        char *target = errno == ENOENT && links < LINKS_MAX ? place_target(p->path) : NULL;
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

static bool place_same(const struct sw_file_place *a, const struct sw_file_place *b)
{
    return a->device == b->device && a->node == b->node &&
           strcmp(a->path + a->name, b->path + b->name) == 0;
}

static enum sw_status file_set_grow(struct sw_file_set *set)
{
    const size_t capacity = set->capacity ? 2 * set->capacity : 16;
    struct sw_file_place *grown = realloc(set->places, capacity * sizeof *grown);
    if (!grown)
        return sw_fail(SW_ENOMEM, "no memory to compare %zu files", set->n);
    set->places = grown;
    set->capacity = capacity;
    return SW_OK;
}

/* *place NULL: nothing is there, and nothing can come to be. */
static enum sw_status file_set_add(struct sw_file_set *set, const char *what, const char *path,
                                   struct sw_file_place **place, mode_t *mode)
{
    *place = NULL;
    *mode = 0;
    if (set->n == set->capacity)
        SW_TRY(file_set_grow(set));
    struct sw_file_place *p = &set->places[set->n];
    *p = (struct sw_file_place){.what = what, .path = strdup(path)};
    if (!p->path)
        return sw_fail(SW_ENOMEM, "no memory for the path %s", path);
    if (place_look(p, mode)) {
        *place = p;
        set->n++;
    } else {
        free(p->path);
    }
    return SW_OK;
}

enum sw_status sw_file_set_read(struct sw_file_set *set, const char *what, const char *path)
{
    struct sw_file_place *place;
    mode_t mode;
    return path ? file_set_add(set, what, path, &place, &mode) : SW_OK;
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
    struct sw_file_place *p;
    mode_t mode;
    if (!path)
        return SW_OK;
    SW_TRY(file_set_add(set, what, path, &p, &mode));
    if (!p)
        return SW_OK;
    if (S_ISCHR(mode)) /* /dev/null: nothing there to lose */
        return SW_OK;
    if (mode && !S_ISREG(mode) && sw_file_write_descriptor(path) >= 0) /* "> file" or "| tool" */
        return SW_OK;
    if (mode && !S_ISREG(mode))
        return sw_fail(SW_EUSAGE, "%s: %s is no regular file but %s; name a file", path, what,
                       S_ISDIR(mode)    ? "a folder"
                       : S_ISFIFO(mode) ? "a pipe"
                       : S_ISSOCK(mode) ? "a socket"
                                        : "a device");
    for (const struct sw_file_place *other = set->places; other < p; other++)
        if (place_same(other, p))
            return sw_fail(SW_EUSAGE, "%s and %s: %s and %s are the same file; name another one",
                           other->path, path, other->what, what);
    return SW_OK;
}

void sw_file_set_free(struct sw_file_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->places[i].path);
    free(set->places);
    *set = (struct sw_file_set){0};
}

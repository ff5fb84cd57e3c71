/* Owns the files of a trace's shards: their growth, their end, and the index. */
#include "jobs/shards.h"

#include "base/file.h"
#include "base/file_replace.h"
#include "base/strbuf.h"
#include "checkpoint/safetensors.h"
#include "jobs/result_writer.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Room for the header, which is written last: it says how many positions there are. */
#define HEADER 256
#define SUFFIX ".safetensors"

/* A file that grows. */
struct part {
    int fd; /* -1: not open */
    char path[PATH_MAX];
    struct sw_result_writer *writer;
};

struct sw_shards {
    struct sw_shards_options options;
    char *folder;
    int shard;         /* the last one */
    int64_t positions; /* in it; 0: its files are not there */
    int64_t n_before;  /* results appended to shards that are finished */
    int64_t n;         /* to the last one, since it was opened */
    struct part parts[SW_SHARDS_TENSORS];
};

static uint64_t tensor_bytes(const struct sw_shards_tensor *t)
{
    uint64_t bytes = sw_dtype_info(t->dtype)->bits / 8;
    for (int i = 0; i < t->rank; i++)
        bytes *= (uint64_t)t->shape[i];
    return bytes;
}

uint64_t sw_shards_position_bytes(const struct sw_shards_options *options)
{
    uint64_t bytes = 0;
    for (int i = 0; i < options->n_tensors; i++)
        bytes += tensor_bytes(&options->tensors[i]);
    return bytes;
}

/* "FOLDER/NAME-KKKKK.safetensors", with a suffix. */
static enum sw_status shards_path(const struct sw_shards *s, int tensor, int shard,
                                  const char *suffix, char out[PATH_MAX])
{
    const int n = snprintf(out, PATH_MAX, "%s/%s-%05d" SUFFIX "%s", s->folder,
                           s->options.tensors[tensor].name, shard, suffix);
    return n < PATH_MAX ? SW_OK : sw_fail(SW_EINPUT, "%s: the path is too long", s->folder);
}

/* Makes the names of files last. */
static enum sw_status shards_sync_folder(const struct sw_shards *s)
{
    char path[PATH_MAX];
    SW_TRY(shards_path(s, 0, s->shard, "", path));
    return sw_file_sync_folder(path) == 0
               ? SW_OK
               : sw_fail(SW_EIO, "%s: cannot be synced: %s", s->folder, strerror(errno));
}

/* Whether a file is there; *size: its bytes. */
static enum sw_status shards_find(const char *path, bool *found, uint64_t *size)
{
    int fd;
    SW_TRY(sw_file_open_optional(path, &fd, size));
    *found = fd >= 0;
    if (*found)
        close(fd);
    return SW_OK;
}

static enum sw_status shards_missing(const char *path)
{
    return sw_fail(SW_EINPUT,
                   "%s: is not there, or too short, but there are results in it; put it back, or "
                   "start over with --fresh",
                   path);
}

/* Whether `name` is that of a tensor's file, or of its part. */
static bool shards_owns(const struct sw_shards *s, const char *name)
{
    for (int i = 0; i < s->options.n_tensors; i++) {
        const size_t n = strlen(s->options.tensors[i].name);
        const char *rest = name + n + 1;
        if (strncmp(name, s->options.tensors[i].name, n) != 0 || name[n] != '-')
            continue;
        int digits = 0;
        for (; isdigit((unsigned char)*rest); rest++)
            digits++;
        if (digits >= 5 && (strcmp(rest, SUFFIX) == 0 || strcmp(rest, SUFFIX ".part") == 0))
            return true;
    }
    return strcmp(name, "index.json") == 0;
}

/* Removes what an earlier job left: there are no results in it. */
static enum sw_status shards_clean(const struct sw_shards *s)
{
    DIR *dir = opendir(s->folder);
    const struct dirent *entry;
    int failed = dir == NULL;
    while (!failed && (entry = readdir(dir)))
        failed = shards_owns(s, entry->d_name) && unlinkat(dirfd(dir), entry->d_name, 0) != 0;
    const int error = errno;
    if (dir)
        closedir(dir);
    return failed ? sw_fail(SW_EIO, "%s: earlier results cannot be removed: %s", s->folder,
                            strerror(error))
                  : SW_OK;
}

/* Opens the part of a tensor with `positions` positions; 0: makes it. */
static enum sw_status part_open(struct sw_shards *s, int tensor)
{
    struct part *p = &s->parts[tensor];
    const uint64_t data = (uint64_t)s->positions * tensor_bytes(&s->options.tensors[tensor]);
    static const char room[HEADER];
    struct stat st;
    SW_TRY(shards_path(s, tensor, s->shard, ".part", p->path));
    if (s->positions == 0 && unlink(p->path) != 0 && errno != ENOENT)
        return sw_fail(SW_EIO, "%s: cannot be removed: %s", p->path, strerror(errno));
    p->fd = open(p->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (s->positions ? 0 : O_CREAT | O_EXCL),
                 0666);
    if (p->fd < 0 && s->positions > 0 && errno == ENOENT)
        return shards_missing(p->path);
    if (p->fd < 0 || fstat(p->fd, &st) != 0)
        return sw_fail(SW_EIO, "%s: cannot write: %s", p->path, strerror(errno));
    if (s->positions > 0 && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < HEADER + data))
        return shards_missing(p->path);
    if ((s->positions == 0 && pwrite(p->fd, room, HEADER, 0) != HEADER) ||
        ftruncate(p->fd, (off_t)(HEADER + data)) != 0 || lseek(p->fd, 0, SEEK_END) < 0)
        return sw_fail(SW_EIO, "%s: cannot write: %s; make room there", p->path, strerror(errno));
    return sw_result_writer_open(p->fd, p->path, HEADER + data, &p->writer);
}

static void part_close(struct part *p)
{
    sw_result_writer_close(p->writer);
    p->writer = NULL;
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

/* Writes the header of a part and gives it its final name. */
static enum sw_status shards_finish_part(struct sw_shards *s, int tensor)
{
    const struct sw_shards_tensor *t = &s->options.tensors[tensor];
    char name[64], path[PATH_MAX], header[HEADER];
    struct sw_safetensors_spec spec = {
        .name = name, .dtype = t->dtype, .rank = t->rank + 1, .shape = {s->positions}};
    struct sw_strbuf text = {0};
    uint64_t data = 0;
    struct part *p = &s->parts[tensor];
    memcpy(spec.shape + 1, t->shape, (size_t)t->rank * sizeof *t->shape);
    snprintf(name, sizeof name, "%s.%05d", t->name, s->shard);
    SW_TRY(shards_path(s, tensor, s->shard, "", path));
    enum sw_status status = sw_safetensors_header(&spec, 1, &text, &data);
    if (status == SW_OK && text.length > HEADER)
        status = sw_fail(SW_EINPUT, "%s: its header needs %zu bytes", path, text.length);
    if (status ==
        SW_OK) { /* spaces up to where the data begins, which the header's length counts */
        memset(header, ' ', HEADER);
        memcpy(header, text.text, text.length);
        for (int i = 0; i < 8; i++)
            header[i] = (char)((uint64_t)(HEADER - 8) >> (8 * i) & 255);
        if (pwrite(p->fd, header, HEADER, 0) != HEADER || fsync(p->fd) != 0 ||
            rename(p->path, path) != 0)
            status =
                sw_fail(SW_EIO, "%s: cannot write: %s; make room there", path, strerror(errno));
    }
    sw_strbuf_free(&text);
    return status;
}

enum sw_status sw_shards_finish(struct sw_shards *s)
{
    for (int i = 0; i < s->options.n_tensors && s->positions > 0; i++) {
        if (s->parts[i].fd < 0) /* an earlier run had come so far */
            continue;
        SW_TRY(sw_result_writer_flush(s->parts[i].writer));
        sw_result_writer_close(s->parts[i].writer);
        s->parts[i].writer = NULL;
        SW_TRY(shards_finish_part(s, i));
        part_close(&s->parts[i]);
    }
    if (s->positions > 0)
        SW_TRY(shards_sync_folder(s));
    s->shard += s->positions > 0;
    s->positions = 0;
    s->n_before += s->n;
    s->n = 0;
    return SW_OK;
}

/* Every file of the shards before the last one must be there. */
static enum sw_status shards_check(const struct sw_shards *s, int end, uint64_t *total)
{
    char path[PATH_MAX];
    uint64_t size;
    bool found;
    for (int k = 0; k < end; k++)
        for (int i = 0; i < s->options.n_tensors; i++) {
            SW_TRY(shards_path(s, i, k, "", path));
            SW_TRY(shards_find(path, &found, &size));
            if (!found || size < HEADER)
                return shards_missing(path);
            *total += size - HEADER;
        }
    return SW_OK;
}

/* Whether a file of the last shard has its final name; one that has more than there are results of
 * gets its former name back. */
static enum sw_status shards_is_final(const struct sw_shards *s, int tensor, bool *final)
{
    const uint64_t data = (uint64_t)s->positions * tensor_bytes(&s->options.tensors[tensor]);
    char path[PATH_MAX], part[PATH_MAX];
    uint64_t size;
    SW_TRY(shards_path(s, tensor, s->shard, "", path));
    SW_TRY(shards_path(s, tensor, s->shard, ".part", part));
    SW_TRY(shards_find(path, final, &size));
    if (*final && size < HEADER + data)
        return shards_missing(path);
    if (!*final || size == HEADER + data)
        return SW_OK;
    *final = false;
    return rename(path, part) == 0
               ? SW_OK
               : sw_fail(SW_EIO, "%s: cannot be renamed: %s", path, strerror(errno));
}

/* Opens the last shard. Where one of its files has its final name, all of them get theirs. */
static enum sw_status shards_resume(struct sw_shards *s)
{
    bool final[SW_SHARDS_TENSORS], any = false;
    uint64_t total = 0;
    SW_TRY(shards_check(s, s->shard, &total));
    for (int i = 0; i < s->options.n_tensors; i++) {
        SW_TRY(shards_is_final(s, i, &final[i]));
        any = any || final[i];
    }
    for (int i = 0; i < s->options.n_tensors; i++)
        if (!final[i])
            SW_TRY(part_open(s, i));
    return any ? sw_shards_finish(s) : SW_OK;
}

enum sw_status sw_shards_open(const struct sw_shards_options *options, struct sw_shards **out)
{
    struct sw_shards *s = calloc(1, sizeof *s);
    *out = s;
    if (!s || !(s->folder = strdup(options->folder))) {
        free(s);
        *out = NULL;
        return sw_fail(SW_ENOMEM, "no memory for the shards of %s", options->folder);
    }
    s->options = *options;
    s->shard = options->shard;
    s->positions = options->positions;
    for (int i = 0; i < SW_SHARDS_TENSORS; i++)
        s->parts[i].fd = -1;
    return s->positions > 0 ? shards_resume(s) : shards_clean(s);
}

bool sw_shards_full(const struct sw_shards *s, int64_t n)
{
    const uint64_t most = s->options.limit / sw_shards_position_bytes(&s->options);
    return s->positions > 0 && (uint64_t)(s->positions + n) > most;
}

enum sw_status sw_shards_append(struct sw_shards *s, const void *const *data, int64_t n, int *shard,
                                int64_t *first)
{
    *shard = s->shard;
    *first = s->positions;
    for (int i = 0; i < s->options.n_tensors; i++) {
        if (s->positions == 0)
            SW_TRY(part_open(s, i));
        if (s->positions == 0 && i == s->options.n_tensors - 1)
            SW_TRY(shards_sync_folder(s));
        SW_TRY(sw_result_writer_write(s->parts[i].writer, data[i],
                                      (size_t)n * tensor_bytes(&s->options.tensors[i])));
    }
    s->positions += n;
    s->n++;
    return SW_OK;
}

int64_t sw_shards_safe(struct sw_shards *s)
{
    int64_t least = s->n;
    for (int i = 0; i < s->options.n_tensors && s->n > 0; i++) {
        const int64_t safe = sw_result_writer_safe(s->parts[i].writer);
        least = safe < least ? safe : least;
    }
    return s->n_before + least;
}

enum sw_status sw_shards_flush(struct sw_shards *s)
{
    for (int i = 0; i < s->options.n_tensors && s->n > 0; i++)
        SW_TRY(sw_result_writer_flush(s->parts[i].writer));
    return SW_OK;
}

enum sw_status sw_shards_index(struct sw_shards *s, json_t *metadata)
{
    char path[PATH_MAX], name[64];
    uint64_t total = 0;
    json_t *map = json_object(), *root;
    SW_TRY(shards_check(s, s->shard, &total));
    for (int i = 0; i < s->options.n_tensors; i++)
        for (int k = 0; k < s->shard; k++) {
            SW_TRY(shards_path(s, i, k, "", path));
            snprintf(name, sizeof name, "%s.%05d", s->options.tensors[i].name, k);
            json_object_set_new(map, name, json_string(strrchr(path, '/') + 1));
        }
    json_object_set_new(metadata, "total_size", json_integer((json_int_t)total));
    root = json_pack("{s:O, s:o}", "metadata", metadata, "weight_map", map);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    snprintf(path, sizeof path, "%s/index.json", s->folder);
    const enum sw_status status =
        text ? sw_file_replace(path, text) : sw_fail(SW_ENOMEM, "%s: no memory to write it", path);
    free(text);
    json_decref(root);
    return status;
}

void sw_shards_close(struct sw_shards *s)
{
    if (!s)
        return;
    for (int i = 0; i < SW_SHARDS_TENSORS; i++)
        part_close(&s->parts[i]);
    free(s->folder);
    free(s);
}

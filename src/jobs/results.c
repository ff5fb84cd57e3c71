/* Owns an output file: its lock, the results found in it, the results appended to it. */
#include "jobs/results.h"

#include "base/log.h"
#include "jobs/json_check.h"
#include "jobs/jsonl_reader.h"
#include "jobs/manifest.h"
#include "jobs/record.h"
#include "jobs/result_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_S 5
#define RECORD_MAX (1u << 30)

struct sw_results {
    int fd;
    char *path;
    json_t *manifest; /* as found; NULL: none, or it is not valid */
    struct sw_id_set *ids;
    struct sw_result_writer *writer;
    struct sw_results_count count;
    bool adopted; /* --force without a manifest: the results may be foreign, so cut off nothing */
};

/* flock: on NFS Linux passes it to the server, and it ends with its process. */
static enum sw_status results_lock(struct sw_results *r)
{
    for (int tenths = 0; flock(r->fd, LOCK_EX | LOCK_NB) != 0; tenths++) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK) {
            sw_log(SW_LOG_WARN,
                   "%s: its file system does not support locks (%s): make sure that no other job "
                   "writes this file",
                   r->path, strerror(errno));
            return SW_OK;
        }
        if (tenths == LOCK_WAIT_S * 10) {
            char writer[512];
            json_t *manifest = NULL;
            if (sw_manifest_read(r->path, &manifest) != SW_OK || !manifest)
                return sw_fail(SW_EINPUT,
                               "%s: another job is writing it; wait for that job, or "
                               "name another output",
                               r->path);
            sw_manifest_describe_writer(manifest, writer, sizeof writer);
            json_decref(manifest);
            return sw_fail(SW_EINPUT,
                           "%s: another job is writing it (%s); wait for that job, or name another "
                           "output",
                           r->path, writer);
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    return SW_OK;
}

enum sw_status sw_results_open(const char *path, struct sw_results **out)
{
    struct stat st;
    struct sw_results *r = calloc(1, sizeof *r);
    *out = r;
    if (!r || !(r->path = strdup(path))) {
        free(r);
        *out = NULL;
        return sw_fail(SW_ENOMEM, "no memory for %s", path);
    }
    r->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    if (r->fd < 0)
        return sw_fail(SW_EIO, "%s: cannot write: %s", path, strerror(errno));
    if (fstat(r->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return sw_fail(SW_EUSAGE, "%s: is not a regular file, so a job cannot be resumed from it",
                       path);
    SW_TRY(results_lock(r));
    SW_TRY(sw_id_set_create(&r->ids));
    const enum sw_status status = sw_manifest_read(path, &r->manifest);
    if (status != SW_EINPUT)
        return status;
    sw_error_clear(); /* results_take_over reports it where it matters */
    return SW_OK;
}

uint64_t sw_results_input_bytes(const struct sw_results *r)
{
    const json_t *input = json_object_get(r->manifest, "input");
    const json_int_t n = json_integer_value(json_object_get(input, "bytes"));
    return n > 0 ? (uint64_t)n : 0;
}

bool sw_results_former(const struct sw_results *r)
{
    return sw_manifest_is_former(r->manifest);
}

/* Adds the line's id to the results; *good false: the line is no result. */
static enum sw_status results_take(struct sw_results *r, const struct sw_jsonl_line *line,
                                   struct sw_strbuf *key, bool *good)
{
    struct sw_record record;
    unsigned before;
    *good = false;
    if (!line->ended || line->too_long || !sw_json_check(line->bytes, line->n, false))
        return SW_OK;
    const enum sw_status status = sw_record_scan(line->bytes, line->n, key, &record);
    if (status == SW_ENOMEM)
        return status;
    if (status != SW_OK || !record.has_id || !record.is_result)
        return SW_OK;
    *good = true;
    SW_TRY(sw_id_set_mark(r->ids, key->text, key->length, SW_ID_DONE, &before));
    if (before & SW_ID_DONE) {
        sw_log(SW_LOG_WARN, "%s: line %lld has the id %.100s, as an earlier result has", r->path,
               (long long)line->number, key->text);
        return SW_OK;
    }
    r->count.found++;
    r->count.found_failed += record.failed;
    return SW_OK;
}

/*
 * Cuts off the end of the file from `line` on, which is no result, when an earlier run died while
 * it wrote it: the line has no newline, or zeros no further from the end of the file than unsafe
 * bytes can be. Any other such line was put there by somebody: SW_EINPUT.
 */
static enum sw_status results_cut(struct sw_results *r, const struct sw_jsonl_line *line,
                                  uint64_t size)
{
    const uint64_t torn = size - line->offset;
    const bool zeros = memchr(line->bytes, '\0', line->n) && torn <= SW_UNSAFE_BYTES;
    if (r->adopted || (line->ended && !zeros))
        return sw_fail(SW_EINPUT,
                       "%s: line %lld is not a result, and %llu bytes follow its beginning; "
                       "correct or delete that line, or start over with --fresh",
                       r->path, (long long)line->number, (unsigned long long)torn);
    if (ftruncate(r->fd, (off_t)line->offset) != 0 || fdatasync(r->fd) != 0)
        return sw_fail(SW_EIO, "%s: cannot cut off a torn line: %s", r->path, strerror(errno));
    sw_log(SW_LOG_WARN,
           "%s: removed %llu bytes at its end that an earlier run was writing when it ended",
           r->path, (unsigned long long)torn);
    return SW_OK;
}

static enum sw_status results_scan(struct sw_results *r, uint64_t *size)
{
    struct sw_jsonl *lines;
    struct sw_jsonl_line line;
    struct sw_strbuf key = {0};
    struct stat st;
    bool more, good = true;
    if (fstat(r->fd, &st) != 0)
        return sw_fail(SW_EIO, "%s: %s", r->path, strerror(errno));
    *size = (uint64_t)st.st_size;
    SW_TRY(sw_jsonl_over(r->fd, r->path, RECORD_MAX, &lines));
    enum sw_status status;
    while ((status = sw_jsonl_next(lines, &line, &more)) == SW_OK && more) {
        if (line.ended && sw_jsonl_is_blank(&line))
            continue;
        status = results_take(r, &line, &key, &good);
        if (status != SW_OK || !good)
            break;
    }
    if (status == SW_OK && !good) {
        status = results_cut(r, &line, *size);
        *size = line.offset;
    }
    sw_strbuf_free(&key);
    sw_jsonl_close(lines);
    return status;
}

static enum sw_status results_take_over(struct sw_results *r, const json_t *manifest,
                                        const struct sw_input_scan *scan, enum sw_results_mode mode)
{
    struct stat st;
    r->adopted = mode == SW_RESULTS_FORCE && !r->manifest;
    if (fstat(r->fd, &st) != 0)
        return sw_fail(SW_EIO, "%s: %s", r->path, strerror(errno));
    if (mode == SW_RESULTS_FRESH && ftruncate(r->fd, 0) != 0)
        return sw_fail(SW_EIO, "%s: cannot empty it: %s", r->path, strerror(errno));
    const bool resumes = mode == SW_RESULTS_RESUME && st.st_size > 0;
    if (resumes && !r->manifest)
        SW_TRY(sw_manifest_read(r->path, &r->manifest));
    if (resumes && !r->manifest)
        return sw_fail(SW_EINPUT,
                       "%s: exists already, and nothing shows that it belongs to this job (there "
                       "is no %s.job). Name another output, or %s",
                       r->path, r->path, sw_manifest_remedy(manifest));
    if (resumes)
        SW_TRY(sw_manifest_check(r->path, r->manifest, manifest, scan->begin));
    json_t *mine = json_deep_copy(manifest);
    enum sw_status status = SW_ENOMEM;
    sw_manifest_carry(resumes ? r->manifest : NULL, mine);
    if (mine && json_object_set_new(mine, "writer", sw_manifest_writer()) == 0)
        status = sw_manifest_write(r->path, mine);
    else
        (void)sw_fail(SW_ENOMEM, "%s: no memory for its manifest", r->path);
    json_decref(mine);
    return status;
}

enum sw_status sw_results_begin(struct sw_results *r, const json_t *manifest,
                                const struct sw_input_scan *scan, enum sw_results_mode mode)
{
    uint64_t size;
    SW_TRY(results_take_over(r, manifest, scan, mode));
    SW_TRY(results_scan(r, &size));
    return sw_result_writer_open(r->fd, r->path, size, &r->writer);
}

struct sw_id_set *sw_results_ids(struct sw_results *r)
{
    return r->ids;
}

struct sw_results_count sw_results_count(struct sw_results *r)
{
    if (r->writer)
        r->count.safe = sw_result_writer_safe(r->writer);
    return r->count;
}

enum sw_status sw_results_append(struct sw_results *r, const struct sw_strbuf *line, bool failed)
{
    if (line->failed)
        return sw_fail(SW_ENOMEM, "no memory for a result");
    SW_TRY(sw_result_writer_write(r->writer, line->text, line->length));
    r->count.written++;
    r->count.written_failed += failed;
    return SW_OK;
}

enum sw_status sw_results_check(struct sw_results *r)
{
    return r->writer ? sw_result_writer_check(r->writer) : SW_OK;
}

enum sw_status sw_results_flush(struct sw_results *r)
{
    return r->writer ? sw_result_writer_flush(r->writer) : SW_OK;
}

void sw_results_close(struct sw_results *r)
{
    if (!r)
        return;
    sw_result_writer_close(r->writer);
    sw_id_set_free(r->ids);
    json_decref(r->manifest);
    if (r->fd >= 0)
        close(r->fd);
    free(r->path);
    free(r);
}

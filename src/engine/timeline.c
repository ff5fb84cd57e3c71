/* Owns a rank's recorder, and the trace file that rank 0 writes of all ranks' activities. */
#include "engine/timeline.h"

#include "base/file_write.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_S 1.0
#define FILE_ACTIVITIES_MAX 4000000 /* about 400 MB of text; viewers give up before */

enum sw_status sw_recorder_start(struct sw_recorder *r)
{
    if (r->activities)
        return SW_OK;
    r->activities = calloc(SW_ACTIVITIES_MAX, sizeof *r->activities);
    return r->activities ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a timeline");
}

void sw_recorder_free(struct sw_recorder *r)
{
    free(r->activities);
    r->activities = NULL;
}

void sw_recorder_add(struct sw_recorder *r, enum sw_activity_kind kind, double start, double end,
                     int rows)
{
    r->times.seconds[kind] += end - start;
    if (r->activities && r->n < SW_ACTIVITIES_MAX)
        r->activities[r->n++] = (struct sw_activity){.start = start,
                                                     .seconds = (float)(end - start),
                                                     .kind = (int32_t)kind,
                                                     .batch = r->times.batches,
                                                     .rows = rows};
    if (kind == SW_ACTIVITY_COMPUTE) {
        r->times.batches++;
        r->times.rows += rows;
        r->times.row_squares += (double)rows * rows;
        r->times.row_seconds += rows * (end - start);
    }
}

bool sw_recorder_is_due(const struct sw_recorder *r, double now)
{
    return now - r->reported >= REPORT_S || r->n > SW_ACTIVITIES_MAX - 16;
}

struct sw_timeline {
    FILE *file;
    int64_t n;    /* activities written */
    int failed;   /* errno of the first failure */
    bool is_open; /* the array's bracket is written */
};

static void timeline_note_failure(struct sw_timeline *t)
{
    if (t->failed == 0)
        t->failed = errno ? errno : EIO;
}

enum sw_status sw_timeline_open(const char *path, struct sw_timeline **out)
{
    struct sw_timeline *t = calloc(1, sizeof *t);
    *out = NULL;
    if (!t)
        return sw_fail(SW_ENOMEM, "no memory for a timeline");
    const enum sw_status status = sw_file_write_stream(path, SW_WRITE_ANEW, &t->file);
    if (status == SW_OK) {
        *out = t;
    } else {
        sw_error_context("--timeline");
        free(t);
    }
    return status;
}

/* The array may stay open: the trace format allows it, so a killed job's file is readable. */
static void timeline_separate(struct sw_timeline *t)
{
    if (fputs(t->is_open ? ",\n" : "[\n", t->file) < 0)
        timeline_note_failure(t);
    t->is_open = true;
}

void sw_timeline_name(struct sw_timeline *t, int rank, const char *name)
{
    char plain[128];
    size_t n = 0;
    for (const char *c = name; *c && n < sizeof plain - 1;
         c++) /* no characters that JSON escapes */
        plain[n++] = *c == '"' || *c == '\\' || (unsigned char)*c < ' ' ? '?' : *c;
    plain[n] = '\0';
    timeline_separate(t);
    if (fprintf(t->file,
                "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"args\":{\"name\":\"%s\"}},\n"
                "{\"name\":\"process_sort_index\",\"ph\":\"M\",\"pid\":%d,"
                "\"args\":{\"sort_index\":%d}}",
                rank, plain, rank, rank) < 0)
        timeline_note_failure(t);
}

static void write_activity(struct sw_timeline *t, int rank, double ahead,
                           const struct sw_activity *a)
{
    static const char *const names[SW_ACTIVITY_KINDS] = {"load", "wait", "compute", "send"};
    if (a->kind < 0 || a->kind >= SW_ACTIVITY_KINDS)
        return;
    timeline_separate(t);
    if (fprintf(t->file,
                "{\"name\":\"%s\",\"ph\":\"X\",\"pid\":%d,\"tid\":0,\"ts\":%.3f,\"dur\":%.3f",
                names[a->kind], rank, 1e6 * (a->start - ahead), 1e6 * (double)a->seconds) < 0 ||
        (a->rows > 0 && fprintf(t->file, ",\"args\":{\"batch\":%lld,\"rows\":%d}",
                                (long long)a->batch, a->rows) < 0) ||
        fputs("}", t->file) < 0)
        timeline_note_failure(t);
}

void sw_timeline_add(struct sw_timeline *t, int rank, double ahead,
                     const struct sw_activity *activities, size_t n)
{
    for (size_t i = 0; i < n && t->failed == 0 && t->n < FILE_ACTIVITIES_MAX; i++, t->n++)
        write_activity(t, rank, ahead, &activities[i]);
    if (fflush(t->file) != 0)
        timeline_note_failure(t);
}

void sw_timeline_close(struct sw_timeline *t)
{
    if (!t)
        return;
    if (fputs(t->is_open ? "\n]\n" : "[]\n", t->file) < 0)
        timeline_note_failure(t);
    if (fclose(t->file) != 0)
        timeline_note_failure(t);
    if (t->failed)
        sw_log(SW_LOG_WARN, "the timeline is not complete: %s", strerror(t->failed));
    else if (t->n == FILE_ACTIVITIES_MAX)
        sw_log(SW_LOG_WARN, "the timeline ends after %d activities", FILE_ACTIVITIES_MAX);
    free(t);
}

/*
 * Where a rank's time goes. Sums are always kept. On request each activity is recorded with its
 * start, and rank 0 writes all ranks' activities to a trace for Perfetto (ui.perfetto.dev) or
 * chrome://tracing.
 */
#ifndef SW_ENGINE_TIMELINE_H
#define SW_ENGINE_TIMELINE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_activity_kind {
    SW_ACTIVITY_LOAD,
    SW_ACTIVITY_WAIT, /* for messages or results */
    SW_ACTIVITY_COMPUTE,
    SW_ACTIVITY_SEND,
    SW_ACTIVITY_KINDS
};

/* Sums since the engine was opened. Together they cover nearly all of a stage's time. */
struct sw_times {
    double seconds[SW_ACTIVITY_KINDS];
    int64_t batches, rows;           /* computed */
    double row_squares, row_seconds; /* sums over micro-batches: rows², rows x seconds */
    double clock;                    /* the rank's sw_clock when it reported */
    int32_t is_final;                /* the rank's last report */
};

/* The share of its time that a rank computed between two of its reports, 0 to 1. */
static inline double sw_times_busy(const struct sw_times *from, const struct sw_times *to)
{
    double whole = 0;
    for (int i = SW_ACTIVITY_WAIT; i < SW_ACTIVITY_KINDS; i++)
        whole += to->seconds[i] - from->seconds[i];
    const double busy = to->seconds[SW_ACTIVITY_COMPUTE] - from->seconds[SW_ACTIVITY_COMPUTE];
    return whole > 0 ? busy / whole : 0;
}

struct sw_activity {
    double start; /* the rank's sw_clock */
    float seconds;
    int32_t kind;  /* enum sw_activity_kind */
    int64_t batch; /* index of the rank's micro-batch, from 0 */
    int32_t rows;
    int32_t unused; /* 0 */
};

/* A rank's recorder. Its memory is fixed: activities are sent to rank 0 before it is full. */
#define SW_ACTIVITIES_MAX 4096
struct sw_recorder {
    struct sw_times times;
    struct sw_activity *activities; /* (SW_ACTIVITIES_MAX), NULL: only sums are kept */
    int n;                          /* activities recorded and not yet sent */
    double reported;                /* sw_clock of the last report to rank 0 */
};
/* Starts to record activities. SW_ENOMEM. */
enum sw_status sw_recorder_start(struct sw_recorder *r);
void sw_recorder_free(struct sw_recorder *r);
/* Adds an activity from `start` to `end`. rows: the micro-batch's; 0: none. SW_ACTIVITY_COMPUTE
 * counts a micro-batch. */
void sw_recorder_add(struct sw_recorder *r, enum sw_activity_kind kind, double start, double end,
                     int rows);
/* Whether a report is due: a second has passed, or the room for activities is nearly used. */
bool sw_recorder_is_due(const struct sw_recorder *r, double now);

/* The trace file, on rank 0. What cannot be written is left out, and close logs a warning. */
struct sw_timeline;
/* Creates the file. SW_EIO and the like as of sw_file_write_stream; the caller frees by close. */
enum sw_status sw_timeline_open(const char *path, struct sw_timeline **out);
/* Names a rank's lane in the trace. */
void sw_timeline_name(struct sw_timeline *t, int rank, const char *name);
/* Adds n activities. ahead: seconds by which the rank's clock is ahead of rank 0's. The file can be
 * read after every call. */
void sw_timeline_add(struct sw_timeline *t, int rank, double ahead,
                     const struct sw_activity *activities, size_t n);
void sw_timeline_close(struct sw_timeline *t);

#endif

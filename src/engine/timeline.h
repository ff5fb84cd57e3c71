/*
 * What a rank's time goes into: sums that are always kept, and, when asked for, each activity with
 * its start, which rank 0 writes as a trace for Perfetto (ui.perfetto.dev) or chrome://tracing.
 */
#ifndef SW_ENGINE_TIMELINE_H
#define SW_ENGINE_TIMELINE_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_activity_kind {
    SW_ACTIVITY_LOAD,
    SW_ACTIVITY_WAIT, /* for something to do, or for results */
    SW_ACTIVITY_COMPUTE,
    SW_ACTIVITY_SEND,
    SW_ACTIVITY_KINDS
};

/* Sums since the engine was opened; they cover a stage's whole time but for instants. */
struct sw_times {
    double seconds[SW_ACTIVITY_KINDS];
    int64_t batches, rows;
    double row_squares, row_seconds; /* of computed batches: rows², rows x seconds */
    double clock;                    /* of the rank when it said so */
    int32_t is_final;                /* its last word */
};

/* The share of its time that a rank computed between two words of it. */
static inline double sw_times_busy(const struct sw_times *from, const struct sw_times *to)
{
    double whole = 0;
    for (int i = SW_ACTIVITY_WAIT; i < SW_ACTIVITY_KINDS; i++)
        whole += to->seconds[i] - from->seconds[i];
    const double busy = to->seconds[SW_ACTIVITY_COMPUTE] - from->seconds[SW_ACTIVITY_COMPUTE];
    return whole > 0 ? busy / whole : 0;
}

struct sw_activity {
    double start; /* the rank's clock */
    float seconds;
    int32_t kind;  /* enum sw_activity_kind */
    int64_t batch; /* counts a rank's micro-batches from 0 */
    int32_t rows;
    int32_t unused; /* 0 */
};

/* A rank's own book. Memory is fixed: what is recorded is passed on before it is full. */
#define SW_ACTIVITIES_MAX 4096
struct sw_recorder {
    struct sw_times times;
    struct sw_activity *activities; /* (SW_ACTIVITIES_MAX), NULL: only sums are kept */
    int n;
    double told; /* when rank 0 was last told */
};
/* From here on activities are kept, too. */
enum sw_status sw_recorder_start(struct sw_recorder *r);
void sw_recorder_free(struct sw_recorder *r);
/* rows: of the batch, 0: none. A computed batch is counted. */
void sw_recorder_add(struct sw_recorder *r, enum sw_activity_kind kind, double start, double end,
                     int rows);
/* Is it time to tell rank 0: a second has passed, or the room for activities is nearly used? */
bool sw_recorder_is_due(const struct sw_recorder *r, double now);

/* Rank 0: the file. What cannot be written is left out, with a warning at the end. */
struct sw_timeline;
enum sw_status sw_timeline_open(const char *path, struct sw_timeline **out);
/* Names a rank's lane: its host and layers. */
void sw_timeline_name(struct sw_timeline *t, int rank, const char *name);
/* ahead: what the rank's clock shows more than rank 0's. A file is readable after every call. */
void sw_timeline_add(struct sw_timeline *t, int rank, double ahead,
                     const struct sw_activity *activities, size_t n);
void sw_timeline_close(struct sw_timeline *t);

#endif

/* A micro-batch: the rows that travel through the stages together. */
#ifndef SW_ENGINE_MICROBATCH_H
#define SW_ENGINE_MICROBATCH_H

#include "backend/backend.h"

#include <stdint.h>

/*
 * What is asked of a span's n rows: rows [score_from, sample_from) give the log-probability of the
 * id that follows them, rows [sample_from, n) a sample of the next. Nothing: both are n.
 */
struct sw_row_outputs {
    int32_t score_from, sample_from;
    int32_t next; /* the id that follows the last row, when that one is scored */
};

struct sw_microbatch {
    int n_rows, n_spans;
    struct sw_span *spans;          /* (n_spans), covering rows 0 … n_rows - 1 in order */
    struct sw_row_outputs *outputs; /* (n_spans) */
    int32_t *ids;                   /* (n_rows) */
};

#endif

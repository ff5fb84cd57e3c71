/* A micro-batch: the rows that travel through the stages together. */
#ifndef SW_ENGINE_MICROBATCH_H
#define SW_ENGINE_MICROBATCH_H

#include "backend/backend.h"

#include <stdint.h>

/*
 * The outputs of a span of n rows. Rows [score_from, sample_from) are scored: each gives the
 * log-probability of the id that follows it. Rows [sample_from, n) are sampled: each gives a next
 * id. No outputs: both are n. The hidden states of rows [hidden_from, n) are for rank 0's hook,
 * where there is one.
 */
struct sw_row_outputs {
    int32_t score_from, sample_from;
    int32_t next; /* the id that follows the last row; used when that row is scored */
    int32_t hidden_from;
};

struct sw_microbatch {
    int n_rows, n_spans;
    /* The layers that it runs, [first, end); end 0: all. Rows that end before the last layer are a
     * memory: later layers that attend to one keep keys and values of it. */
    int first, end;
    struct sw_span *spans; /* (n_spans) together they cover rows 0 to n_rows - 1 in order */
    struct sw_row_outputs *outputs; /* (n_spans) */
    int32_t *ids;                   /* (n_rows) */
    int32_t *memory; /* (n_spans) rows of the memory of each span's slot; NULL: there is none */
};

static inline bool sw_microbatch_runs(const struct sw_microbatch *batch, int layer)
{
    return layer >= batch->first && (batch->end == 0 || layer < batch->end);
}

#endif

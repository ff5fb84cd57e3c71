/* A micro-batch: the rows that travel through the stages together. */
#ifndef SW_ENGINE_BATCH_H
#define SW_ENGINE_BATCH_H

#include "backend/backend.h"

#include <stdint.h>

enum sw_want { SW_WANT_NOTHING, SW_WANT_LAST, SW_WANT_ALL };

struct sw_batch {
    int n_rows, n_spans;
    struct sw_span *spans; /* (n_spans), covering rows 0 … n_rows - 1 in order */
    unsigned char *want;   /* (n_spans) enum sw_want: rows whose next token is asked for */
    int32_t *ids;          /* (n_rows) */
};

#endif

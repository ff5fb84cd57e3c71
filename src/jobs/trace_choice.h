/* What a `trace` of many texts keeps: of which layers, at which positions, which values. */
#ifndef SW_JOBS_TRACE_CHOICE_H
#define SW_JOBS_TRACE_CHOICE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define SW_TRACE_POSITIONS_MAX 64 /* most positions of a list */

enum sw_trace_how { SW_TRACE_LIST, SW_TRACE_MEAN, SW_TRACE_ALL };

struct sw_trace_choice {
    char *layers; /* (n_layers + 1) booleans, [0] the embedding's */
    int n_layers; /* that are chosen */
    enum sw_trace_how how;
    int64_t positions[SW_TRACE_POSITIONS_MAX]; /* (n_positions) of a list; negative: from the end */
    int n_positions;
    bool logits;
    int logprobs; /* of so many of the likeliest ids; 0: none */
};

/*
 * layers: "embed", numbers from 0 (negative: from the end, -1 the last) in any order, or "all";
 * NULL: none. positions: "last", "mean", "all", or numbers, as of layers. SW_EUSAGE names the word
 * at fault. The caller frees by sw_trace_choice_free, also after a failure.
 */
enum sw_status sw_trace_choice_make(const char *layers, int n_layers, const char *positions,
                                    struct sw_trace_choice *out);
void sw_trace_choice_free(struct sw_trace_choice *choice);
/* Positions that a text of n tokens gives. SW_EINPUT: a list has some that it lacks. */
enum sw_status sw_trace_choice_count(const struct sw_trace_choice *choice, int64_t n,
                                     int64_t *count);
/* The i-th of a list in a text of n tokens. */
int64_t sw_trace_choice_at(const struct sw_trace_choice *choice, int i, int64_t n);
/* The first position of a text of n tokens that is needed. */
int64_t sw_trace_choice_first(const struct sw_trace_choice *choice, int64_t n);

#endif

/*
 * The CPU arithmetic of gated delta nets, and the gate of attention's output: one table of
 * functions per instruction set, as cpu_kernels.h. The code is in delta_code.h.
 */
#ifndef SW_KERNELS_DELTA_KERNELS_H
#define SW_KERNELS_DELTA_KERNELS_H

#include "base/cpu_info.h"
#include "model/delta.h"
#include "model/op_kinds.h"

#include <stdbool.h>

/* The convolution over a run of channels, in place, then its activation. */
struct sw_delta_conv {
    float *x; /* (n, channels), ld apart */
    int64_t ld, n, channels;
    const float *taps; /* (channels, window), the last one of a row's own value */
    int window;
    float *before; /* (window - 1, channels), before_ld apart: the rows before; receives the last */
    int64_t before_ld;
    bool fresh; /* there are none: `before` counts as zeros */
    enum sw_activation activation;
    float scale; /* rows are brought to this length; 0: they stay */
};

/* A value head over n rows, `ld` apart. */
struct sw_delta_head {
    float *state; /* (k_dim, v_dim) */
    int k_dim, v_dim;
    const float *q, *k, *v;
    int64_t ld, n;
    const float *decay, *beta; /* (n) */
    float *out;                /* (n, v_dim), out_ld apart */
    int64_t out_ld;
};

struct sw_delta_kernels {
    void (*conv)(const struct sw_delta_conv *c);
    /* For each row: S *= decay; S += k (beta (v - S'k))'; out = S'q, with ' for the transpose. */
    void (*head)(const struct sw_delta_head *h);
    /* y = x * sigmoid(gate) */
    void (*gate)(const float *x, const float *gate, int64_t dim, float *y);
};

extern const struct sw_delta_kernels sw_delta_portable, sw_delta_avx2, sw_delta_avx512;
const struct sw_delta_kernels *sw_delta_kernels_for(enum sw_isa isa);

#endif

/* Sizes of gated delta nets, and of the state that they keep of a slot. */
#ifndef SW_MODEL_DELTA_H
#define SW_MODEL_DELTA_H

#include <stdint.h>

/* A gated delta net (Yang, Kautz, Hatamizadeh, arXiv 2412.06464): query and key heads, each shared
 * by v_heads / k_heads value heads; a head's state is (k_dim, v_dim). */
struct sw_delta_dims {
    int k_heads, v_heads, k_dim, v_dim;
    int window; /* rows that the convolution sees, its own included; 0: there is no such layer */
};
#define SW_DELTA_WINDOW 8 /* the largest */
#define SW_DELTA_DIM 256  /* the largest k_dim and v_dim */
#define SW_DELTA_EPS                                                                               \
    1e-6f /* added to the square of the length that queries and keys are divided by */
/* What the convolution runs over: all of q, of k, of v. */
static inline int64_t sw_delta_channels(const struct sw_delta_dims *d)
{
    return 2 * (int64_t)d->k_heads * d->k_dim + (int64_t)d->v_heads * d->v_dim;
}
/* Floats of a slot's state in one layer: the convolution's (window - 1, channels), then (v_heads,
 * k_dim, v_dim). */
static inline int64_t sw_delta_window_floats(const struct sw_delta_dims *d)
{
    return (d->window - 1) * sw_delta_channels(d);
}
static inline int64_t sw_delta_floats(const struct sw_delta_dims *d)
{
    return d->window > 0 ? sw_delta_window_floats(d) + (int64_t)d->v_heads * d->k_dim * d->v_dim
                         : 0;
}

#endif

/* Sizes of gated delta nets, and of the state that they keep of a slot. */
#ifndef SW_MODEL_DELTA_H
#define SW_MODEL_DELTA_H

#include <stdint.h>

/* A gated delta net (Yang, Kautz, Hatamizadeh, arXiv 2412.06464): query and key heads, each shared
 * by v_heads / k_heads value heads; a head's state is (k_dim, v_dim). */
struct sw_delta_dims {
    int k_heads, v_heads, k_dim, v_dim;
    int16_t window; /* rows that the convolution sees, its own too; 0: there is no such layer */
    int16_t turns;  /* 1: value heads belong to key heads by turns; 0: a key head's lie together */
};
#define SW_DELTA_WINDOW 8 /* the largest */
#define SW_DELTA_DIM 256  /* the largest k_dim and v_dim */
#define SW_DELTA_EPS                                                                               \
    1e-6f /* added to the square of the length that queries and keys are divided by */
/* The key head of a value head, and which of that one's value heads it is. */
static inline int sw_delta_key_head(const struct sw_delta_dims *d, int head)
{
    return d->turns ? head % d->k_heads : head / (d->v_heads / d->k_heads);
}
static inline int sw_delta_turn(const struct sw_delta_dims *d, int head)
{
    return d->turns ? head / d->k_heads : head % (d->v_heads / d->k_heads);
}
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

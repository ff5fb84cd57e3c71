/* Rotary position embedding as numbers: how it is scaled beyond the context of training. */
#ifndef SW_MODEL_ROPE_H
#define SW_MODEL_ROPE_H

#include <stdbool.h>

enum sw_rope_scaling {
    SW_ROPE_PLAIN,
    SW_ROPE_LINEAR, /* all frequencies are divided */
    SW_ROPE_LLAMA3, /* the low ones are */
    SW_ROPE_YARN,   /* the same, by a ramp over their index */
    SW_ROPE_LONG,   /* each by a number of its own, two lists of which the file has */
    SW_ROPE_SHARE,  /* all are divided, and only the first `turning` pairs turn at all */
};

struct sw_rope_dims {
    float base;
    enum sw_rope_scaling scaling;
    float factor;    /* of the divided frequencies; not of SW_ROPE_PLAIN and SW_ROPE_LONG */
    float low, high; /* turns within `original` (SW_ROPE_YARN), or factors (SW_ROPE_LLAMA3) of it,
                      * below which all is divided, and above which nothing is */
    bool truncate;   /* SW_ROPE_YARN: the ramp's ends are whole indices */
    int original;    /* the context of the first training; not of PLAIN, LINEAR and SHARE */
    int turning;     /* of SW_ROPE_SHARE */
    float magnitude; /* factor of what is rotated, queries and keys alike */
    float sharpness; /* factor of the scores of latent attention; 0: none */
};

/* How fast pair i of rotary_dim / 2 turns with the position, in radians a position. */
double sw_rope_frequency(const struct sw_rope_dims *rope, int rotary_dim, int i);

#endif

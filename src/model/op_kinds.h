/* The kinds of operation that architecture rows have and backends compute. */
#ifndef SW_MODEL_OP_KINDS_H
#define SW_MODEL_OP_KINDS_H

enum sw_norm { SW_NORM_LAYER, SW_NORM_RMS };
enum sw_activation {
    SW_ACT_RELU,
    SW_ACT_GELU,
    SW_ACT_GELU_TANH,
    SW_ACT_SILU,
    SW_ACT_RELU_SQUARED,
    /* gpt-oss: x is at most SW_ACT_LIMIT, x * sigmoid(1.702 x); what it gates lies within the limit
     * on both sides, and 1 is added to it */
    SW_ACT_SILU_CLAMPED,
};
#define SW_ACT_LIMIT 7.0f
#define SW_ACT_SLOPE 1.702f

/* Queries are multiplied by 1 + slope * log(1 + (position + from) / length), of the quotient its
 * whole part. */
struct sw_query_growth {
    float slope; /* 0: they are not multiplied */
    int length, from;
};

/* The largest heads that GPUs have kernels of attention for. */
#define SW_GPU_HEAD_DIM 512
/* The most that they have kernels of latent attention for: elements of a key, and those of them
 * that are its value. */
#define SW_GPU_LATENT_DIM 640
#define SW_GPU_LATENT_VALUES 512

#endif

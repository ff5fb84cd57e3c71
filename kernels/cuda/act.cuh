/* Activation functions of one value. */
#ifndef SW_KERNELS_CUDA_ACT_CUH
#define SW_KERNELS_CUDA_ACT_CUH

#include "kernels/cuda/device.cuh"

namespace sw
{

template <enum sw_activation kind> static __device__ inline float act(float x);

template <> __device__ inline float act<SW_ACT_RELU>(float x)
{
    return x < 0 ? 0 : x; /* NaN stays */
}

template <> __device__ inline float act<SW_ACT_SILU>(float x)
{
    return x / (1 + expf(-x));
}

/* x Phi(x); by erfc, because its small values are exact. */
template <> __device__ inline float act<SW_ACT_GELU>(float x)
{
    return 0.5f * x * erfcf(x * -0.707106781f);
}

/* 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
template <> __device__ inline float act<SW_ACT_GELU_TANH>(float x)
{
    return x / (1 + expf(-1.59576912f * (x + 0.044715f * x * x * x)));
}

template <> __device__ inline float act<SW_ACT_RELU_SQUARED>(float x)
{
    return x < 0 ? 0 : x * x;
}

template <> __device__ inline float act<SW_ACT_SILU_CLAMPED>(float x)
{
    x = x > SW_ACT_LIMIT ? SW_ACT_LIMIT : x;
    return x / (1 + expf(-SW_ACT_SLOPE * x));
}

/* What an activated value is multiplied by, where it gates x. */
static __device__ inline float gated(enum sw_activation kind, float x)
{
    if (kind != SW_ACT_SILU_CLAMPED)
        return x;
    return 1 + (x > SW_ACT_LIMIT ? SW_ACT_LIMIT : x < -SW_ACT_LIMIT ? -SW_ACT_LIMIT : x);
}

/* For a kind that is known only at run time; used once for each output. */
static __device__ inline float act(enum sw_activation kind, float x)
{
    switch (kind) {
    case SW_ACT_RELU:
        return act<SW_ACT_RELU>(x);
    case SW_ACT_SILU:
        return act<SW_ACT_SILU>(x);
    case SW_ACT_GELU:
        return act<SW_ACT_GELU>(x);
    case SW_ACT_RELU_SQUARED:
        return act<SW_ACT_RELU_SQUARED>(x);
    case SW_ACT_SILU_CLAMPED:
        return act<SW_ACT_SILU_CLAMPED>(x);
    default:
        return act<SW_ACT_GELU_TANH>(x);
    }
}

} // namespace sw

#endif

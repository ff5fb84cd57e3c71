/* Row operations: norms, activations, sums. Included per instruction set, after tile.h. */
#ifndef SW_KERNELS_ROWS_H
#define SW_KERNELS_ROWS_H

#include <math.h>

/* Below it exp(x) is 0: a result that is subnormal, or made 0 by its scale, costs some 150 cycles.
 */
#define V_EXP_LEAST (-87.3f)

/* exp(x) within about 1 unit in the last place; 0 below V_EXP_LEAST, infinity above 88.8. */
ALWAYS_INLINE vec v_exp(vec argument)
{
    const vec least = v_set(V_EXP_LEAST);
    const vec x = v_min(v_set(89), v_max(least, argument)); /* this order lets a NaN through */
    const vec n = v_round(v_mul(x, v_set(1.44269504f)));
    vec r = v_fma(n, v_set(-0.693359375f), x); /* ln 2 in two parts, the first exact in products */
    r = v_fma(n, v_set(2.12194440e-4f), r);
    vec p = v_fma(r, v_set(1.0f / 5040), v_set(1.0f / 720));
    p = v_fma(p, r, v_set(1.0f / 120));
    p = v_fma(p, r, v_set(1.0f / 24));
    p = v_fma(p, r, v_set(1.0f / 6));
    p = v_fma(p, r, v_set(0.5f));
    p = v_fma(v_mul(r, r), p, r);
    return v_if_less(argument, least, v_set(0), v_scale2(v_add(p, v_set(1)), n));
}

static void rows_norm(enum sw_norm kind, float eps, const float *x, int64_t dim,
                      const float *weight, const float *bias, float *y)
{
    float mean = 0;
    if (kind == SW_NORM_LAYER) {
        vec sum = v_set(0);
        for (int64_t i = 0; i < dim; i += 16)
            sum = v_add(sum, v_load_n(x + i, dim - i < 16 ? (int)(dim - i) : 16));
        mean = v_sum(sum) / (float)dim;
    }
    vec squares = v_set(0);
    const vec centre = v_set(mean);
    for (int64_t i = 0; i + 16 <= dim; i += 16) {
        const vec d = v_sub(v_load(x + i), centre);
        squares = v_fma(d, d, squares);
    }
    float sum = v_sum(squares);
    for (int64_t i = dim & ~15; i < dim; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    const vec scale = v_set(1 / sqrtf(sum / (float)dim + eps));
    for (int64_t i = 0; i < dim; i += 16) {
        const int n = dim - i < 16 ? (int)(dim - i) : 16;
        vec v = v_mul(v_sub(v_load_n(x + i, n), centre), scale);
        v = v_mul(v, v_load_n(weight + i, n));
        if (bias)
            v = v_add(v, v_load_n(bias + i, n));
        v_store_n(y + i, v, n);
    }
}

/* x / (1 + exp(-k x)): silu for k = 1 */
ALWAYS_INLINE vec sigmoid_times(vec x, vec argument)
{
    return v_div(x, v_add(v_set(1), v_exp(v_sub(v_set(0), argument))));
}

ALWAYS_INLINE vec silu_clamped(vec x)
{
    x = v_min(x, v_set(SW_ACT_LIMIT));
    return sigmoid_times(x, v_mul(x, v_set(SW_ACT_SLOPE)));
}

ALWAYS_INLINE vec clamped_plus_one(vec x)
{
    return v_add(v_max(v_min(x, v_set(SW_ACT_LIMIT)), v_set(-SW_ACT_LIMIT)), v_set(1));
}

/* 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
ALWAYS_INLINE vec gelu_tanh(vec x)
{
    const vec cube = v_fma(v_mul(v_mul(x, x), x), v_set(0.044715f), x);
    return sigmoid_times(x, v_mul(cube, v_set(1.59576912f)));
}

/*
 * 0.5 x erfc(-x / sqrt 2). erfcx(z) (1 + 2z) is a polynomial in u = (z - 2) / (z + 2) to 3e-9 on
 * z in [0, 10] (Chebyshev interpolation); erfc(z) = erfcx(z) exp(-z^2), the square in two parts.
 */
ALWAYS_INLINE vec gelu(vec x)
{
    static const float c[12] = {1.276978382f,      -9.276381643e-02f, -1.660304917e-01f,
                                1.640509261e-01f,  -5.421831298e-02f, -8.030126625e-03f,
                                8.711946165e-03f,  1.251413536e-03f,  -1.427793150e-03f,
                                -4.018815720e-04f, 1.754889589e-04f,  8.270597204e-05f};
    const vec zero = v_set(0), one = v_set(1);
    const vec size = v_min(v_set(15), v_max(x, v_sub(zero, x)));
    const vec z = v_mul(size, v_set(0.707106781f));
    const vec u = v_div(v_sub(z, v_set(2)), v_add(z, v_set(2)));
    vec p = v_set(c[11]);
    EACH (i, 11)
        p = v_fma(p, u, v_set(c[10 - i]));
    p = v_div(p, v_fma(z, v_set(2), one));
    const vec half = v_mul(size, v_set(0.5f)), square = v_mul(half, size);
    const vec rest = v_fma(half, size, v_sub(zero, square));
    const vec e = v_mul(v_exp(v_sub(zero, square)), v_sub(one, rest));
    const vec tail = v_mul(v_mul(p, e), v_set(0.5f)); /* Phi(-|x|) */
    return v_mul(x, v_if_less(x, zero, tail, v_sub(one, tail)));
}

ALWAYS_INLINE void activate_kind(enum sw_activation kind, const float *x, const float *up,
                                 int64_t dim, float *y)
{
    for (int64_t i = 0; i < dim; i += 16) {
        const int n = dim - i < 16 ? (int)(dim - i) : 16;
        vec v = v_load_n(x + i, n);
        if (kind == SW_ACT_RELU)
            v = v_max(v_set(0), v);
        else if (kind == SW_ACT_GELU)
            v = gelu(v);
        else if (kind == SW_ACT_GELU_TANH)
            v = gelu_tanh(v);
        else if (kind == SW_ACT_RELU_SQUARED)
            v = v_mul(v_max(v_set(0), v), v_max(v_set(0), v));
        else if (kind == SW_ACT_SILU_CLAMPED)
            v = silu_clamped(v);
        else
            v = sigmoid_times(v, v);
        if (up && kind == SW_ACT_SILU_CLAMPED)
            v = v_mul(v, clamped_plus_one(v_load_n(up + i, n)));
        else if (up)
            v = v_mul(v, v_load_n(up + i, n));
        v_store_n(y + i, v, n);
    }
}

static void rows_activate(enum sw_activation kind, const float *x, const float *up, int64_t dim,
                          float *y)
{
    switch (kind) {
    case SW_ACT_RELU:
        activate_kind(SW_ACT_RELU, x, up, dim, y);
        break;
    case SW_ACT_GELU:
        activate_kind(SW_ACT_GELU, x, up, dim, y);
        break;
    case SW_ACT_GELU_TANH:
        activate_kind(SW_ACT_GELU_TANH, x, up, dim, y);
        break;
    case SW_ACT_SILU:
        activate_kind(SW_ACT_SILU, x, up, dim, y);
        break;
    case SW_ACT_RELU_SQUARED:
        activate_kind(SW_ACT_RELU_SQUARED, x, up, dim, y);
        break;
    case SW_ACT_SILU_CLAMPED:
        activate_kind(SW_ACT_SILU_CLAMPED, x, up, dim, y);
        break;
    }
}

/* Pairs lie half a rotation apart, or side by side. */
static void rope(int rotary_dim, bool interleaved, const float *cos_sin, int n_heads, float *x,
                 int64_t head)
{
    const int half = rotary_dim / 2, apart = interleaved ? 1 : half, step = interleaved ? 2 : 1;
    for (int h = 0; h < n_heads; h++, x += head) {
        int i = 0;
        for (; !interleaved && i + 16 <= half; i += 16) {
            const vec c = v_load(cos_sin + i), s = v_load(cos_sin + half + i);
            const vec a = v_load(x + i), b = v_load(x + half + i);
            v_store(x + i, v_sub(v_mul(a, c), v_mul(b, s)));
            v_store(x + half + i, v_add(v_mul(b, c), v_mul(a, s)));
        }
        for (; i < half; i++) {
            float *const a = x + i * step, *const b = a + apart;
            const float c = cos_sin[i], s = cos_sin[half + i], first = *a, second = *b;
            *a = first * c - second * s;
            *b = second * c + first * s;
        }
    }
}

static void add_scaled(const float *x, float weight, int64_t dim, float *y)
{
    for (int64_t i = 0; i < dim; i += 16) {
        const int n = dim - i < 16 ? (int)(dim - i) : 16;
        v_store_n(y + i, v_fma(v_load_n(x + i, n), v_set(weight), v_load_n(y + i, n)), n);
    }
}

#endif

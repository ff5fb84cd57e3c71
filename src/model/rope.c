/* Owns rope's frequencies. */
#include "model/rope.h"

#include "model/model.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

static double rope_llama3(const struct sw_rope_dims *r, double f)
{
    const double wavelength = 2 * pi / f, low = r->original / (double)r->low;
    const double high = r->original / (double)r->high;
    if (wavelength < high)
        return f;
    if (wavelength > low)
        return f / (double)r->factor;
    const double smooth =
        (r->original / wavelength - (double)r->low) / ((double)r->high - (double)r->low);
    return (1 - smooth) * f / (double)r->factor + smooth * f;
}

/* The index whose pair turns so often within the context of training. */
static double rope_index_of(const struct sw_rope_dims *r, int rotary_dim, double turns)
{
    return rotary_dim * log(r->original / (turns * 2 * pi)) / (2 * log((double)r->base));
}

/* Peng, Quesnelle, Fan, Shippole (YaRN, arXiv 2309.00071). */
static double rope_yarn(const struct sw_rope_dims *r, int rotary_dim, int i, double f)
{
    double first = rope_index_of(r, rotary_dim, (double)r->high);
    double last = rope_index_of(r, rotary_dim, (double)r->low);
    if (r->truncate) {
        first = floor(first);
        last = ceil(last);
    }
    first = fmax(first, 0);
    last = fmin(last, rotary_dim - 1);
    if (first == last)
        last += 0.001;
    const double share = fmin(fmax((i - first) / (last - first), 0), 1);
    return share * f / (double)r->factor + (1 - share) * f;
}

double sw_rope_frequency(const struct sw_rope_dims *r, int rotary_dim, int i)
{
    const double f = 1 / pow((double)r->base, 2.0 * i / rotary_dim);
    switch (r->scaling) {
    case SW_ROPE_LINEAR:
        return f / (double)r->factor;
    case SW_ROPE_SHARE:
        return i < r->turning ? f / (double)r->factor : 0;
    case SW_ROPE_LLAMA3:
        return rope_llama3(r, f);
    case SW_ROPE_YARN:
        return rope_yarn(r, rotary_dim, i, f);
    default:
        return f;
    }
}

double sw_model_rope_frequency(const struct sw_model *model, int rope, int context, int i)
{
    const struct sw_dims *d = &model->dims;
    const struct sw_rope_dims *r = &d->rope[rope];
    const float *divisors = model->rope_long_divisors && context > r->original
                                ? model->rope_long_divisors
                                : model->rope_divisors;
    return sw_rope_frequency(r, sw_dims_rotary(d, rope), i) /
           (rope == 0 && divisors ? (double)divisors[i] : 1);
}

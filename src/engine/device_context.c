/* Owns the work buffers of a device context, and the tables that its operations read. */
#include "engine/device_context.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>

/* The table of rope `which`, an index in dims.rope. */
static enum sw_status make_rope(struct sw_device_context *device, const struct sw_model *model,
                                int which, int context, float *d_table)
{
    const struct sw_dims *d = &model->dims;
    const int rotary = sw_dims_rotary(d, which), half = rotary / 2;
    const double magnitude = (double)d->rope[which].magnitude;
    device->rope[which] = (struct sw_rope){
        .rotary_dim = rotary, .interleaved = model->arch->rope_interleaved, .d_cos_sin = d_table};
    float *row = malloc((size_t)rotary * sizeof *row);
    float *frequencies = malloc((size_t)half * sizeof *frequencies);
    enum sw_status status = SW_OK;
    if (!row || !frequencies)
        status = sw_fail(SW_ENOMEM, "no memory for the rope table");
    for (int i = 0; i < half && status == SW_OK; i++)
        frequencies[i] = (float)sw_model_rope_frequency(model, which, context, i);
    for (int p = 0; p < context && status == SW_OK; p++) {
        for (int i = 0; i < half; i++) {
            /* The angle is rounded to f32 as transformers does; its cos and sin are exact. */
            const double angle = (double)((float)p * frequencies[i]);
            row[i] = (float)(cos(angle) * magnitude);
            row[half + i] = (float)(sin(angle) * magnitude);
        }
        status = device->backend->ops->upload(device->backend, d_table + (int64_t)p * rotary, row,
                                              (size_t)rotary * sizeof *row);
    }
    free(row);
    free(frequencies);
    return status;
}

/* Press, Smith, Lewis (ALiBi): powers of 2^(-8/P) for the largest power of two P <= heads, then
 * every other power of 2^(-4/P). */
static enum sw_status make_slopes(struct sw_device_context *device, const struct sw_model *model,
                                  float *d_slopes)
{
    const int n = model->dims.n_heads;
    const double scale = model->arch->scaled_slopes ? (double)model->dims.score_scale : 1;
    float *slopes = malloc((size_t)n * sizeof *slopes);
    if (!slopes)
        return sw_fail(SW_ENOMEM, "no memory for ALiBi slopes");
    int p = 1;
    while (2 * p <= n)
        p *= 2;
    for (int h = 0; h < n; h++)
        slopes[h] = (float)(scale * (h < p ? pow(2, -8.0 / p * (h + 1))
                                           : pow(2, -4.0 / p * (2 * (h - p) + 1))));
    const enum sw_status status =
        device->backend->ops->upload(device->backend, d_slopes, slopes, (size_t)n * sizeof *slopes);
    free(slopes);
    device->d_slopes = d_slopes;
    return status;
}

static enum sw_status make_ones(struct sw_device_context *device, int64_t n, float *d_ones)
{
    float *ones = malloc((size_t)n * sizeof *ones);
    if (!ones)
        return sw_fail(SW_ENOMEM, "no memory for the weights of a norm");
    for (int64_t i = 0; i < n; i++)
        ones[i] = 1;
    device->d_ones = d_ones;
    const enum sw_status status =
        device->backend->ops->upload(device->backend, d_ones, ones, (size_t)n * sizeof *ones);
    free(ones);
    return status;
}

int sw_position_bucket(int apart, bool both, int n_buckets, int reach)
{
    const int n = both ? n_buckets / 2 : n_buckets, exact = n / 2;
    const int start = both && apart > 0 ? n : 0;
    const int far = both ? abs(apart) : apart < 0 ? -apart : 0;
    if (far < exact)
        return start + far;
    /* f32 throughout, as the reference rounds it */
    const float share = logf((float)far / (float)exact) / (float)log((double)reach / exact);
    const int bucket = exact + (int)(share * (float)(n - exact));
    return start + (bucket < n ? bucket : n - 1);
}

static enum sw_status make_buckets(struct sw_device_context *device, const struct sw_dims *d,
                                   int32_t *d_buckets)
{
    const int reach = d->bucket_reach, n = 2 * reach + 1;
    const size_t bytes = (size_t)n * sizeof(int32_t);
    int32_t *buckets = malloc(bytes);
    enum sw_status status =
        buckets ? SW_OK : sw_fail(SW_ENOMEM, "no memory for buckets of %d positions", n);
    for (int both = 0; both < 2 && status == SW_OK; both++) {
        for (int i = 0; i < n; i++)
            buckets[i] = sw_position_bucket(i - reach, both, d->n_buckets, reach);
        device->d_buckets[both] = d_buckets + both * n;
        status =
            device->backend->ops->upload(device->backend, device->d_buckets[both], buckets, bytes);
    }
    free(buckets);
    return status;
}

static float *carve_floats(char **at, uint64_t floats)
{
    float *d_start = (float *)(void *)*at;
    *at += sw_round_up(floats * sizeof(float), SW_ALIGN);
    return d_start;
}

enum sw_status sw_device_context_open(struct sw_device_context *device,
                                      const struct sw_model *model,
                                      const struct sw_footprint_params *params,
                                      const struct sw_work *work)
{
    const uint64_t rows = (uint64_t)work->rows;
    struct sw_backend *b = device->backend;
    SW_TRY(b->ops->alloc(b, work->bytes, "activations", &device->d_work));
    device->bytes = work->bytes;
    char *at = device->d_work;
    device->d_x = carve_floats(&at, rows * (uint64_t)work->hidden);
    device->d_h = carve_floats(&at, rows * (uint64_t)work->hidden);
    device->d_h2 = carve_floats(&at, rows * (uint64_t)work->hidden);
    device->d_qkv = carve_floats(&at, rows * (uint64_t)work->qkv);
    device->d_attention = carve_floats(&at, rows * (uint64_t)work->attention);
    device->d_up = carve_floats(&at, rows * (uint64_t)work->up);
    device->d_router = carve_floats(&at, rows * (uint64_t)work->router);
    device->d_expert_in = carve_floats(&at, rows * (uint64_t)work->expert);
    device->d_expert_out = carve_floats(&at, rows * (uint64_t)work->expert);
    for (int i = 0; i < model->dims.n_ropes; i++)
        SW_TRY(
            make_rope(device, model, i, params->context, carve_floats(&at, (uint64_t)work->rope)));
    if (work->slopes > 0)
        SW_TRY(make_slopes(device, model, carve_floats(&at, (uint64_t)work->slopes)));
    if (work->ones > 0)
        SW_TRY(make_ones(device, work->ones, carve_floats(&at, (uint64_t)work->ones)));
    if (work->buckets > 0)
        SW_TRY(make_buckets(device, &model->dims,
                            (int32_t *)(void *)carve_floats(&at, (uint64_t)work->buckets)));
    if (work->kv > 0)
        device->encoder_kv = (struct sw_kv){.format = params->kv,
                                            .slots = params->slots,
                                            .n_kv_heads = model->dims.n_kv_heads,
                                            .head_dim = model->dims.head_dim,
                                            .context = params->context,
                                            .d_data = at};
    return SW_OK;
}

void sw_device_context_close(struct sw_device_context *device)
{
    if (device->backend)
        device->backend->ops->free(device->backend, device->d_work, device->bytes);
    device->d_work = NULL;
}

/*
 * A device context: a backend with the buffers that the transformer block works in. A stage has one
 * for its CPU and one for its GPU. The CPU backend's memory is host memory, so copies to and from
 * the GPU use the CPU context's buffers directly.
 */
#ifndef SW_ENGINE_DEVICE_CONTEXT_H
#define SW_ENGINE_DEVICE_CONTEXT_H

#include "backend/backend.h"
#include "model/footprint.h"
#include "model/model.h"

enum sw_device_kind { SW_ON_CPU, SW_ON_GPU, SW_DEVICE_KINDS };

struct sw_device_context {
    struct sw_backend *backend; /* NULL: the stage does not have this device */
    void *d_work;   /* holds all buffers below; NULL: the stage computes nothing on this device */
    uint64_t bytes; /* size of d_work */
    float *d_x;     /* (rows, hidden): the residual stream, with struct sw_aside_layout */
    float *d_h, *d_h2; /* (rows, hidden): inputs of the branches, normed */
    /* Results of a layer's products, (rows, width) with the widths of struct sw_work. */
    float *d_qkv, *d_attention, *d_up, *d_router, *d_expert_in, *d_expert_out;
    struct sw_rope rope[SW_ROPES]; /* as in dims.rope */
    float *d_slopes;               /* (n_heads) ALiBi; NULL: the model has none */
    float *d_ones; /* (head_dim) the weight of norms without; NULL: there are none */
    /* Of position buckets, for each distance of key and query (struct sw_attention): those of a
     * decoder, of an encoder. NULL: the model has none. */
    int32_t *d_buckets[2];
    struct sw_kv
        encoder_kv; /* of the rows under way in one layer of an encoder; d_data NULL: none */
};

/*
 * Allocates and fills the buffers; device->backend is set before. `work`: sw_work_of model and
 * params. SW_ENOMEM when the device cannot hold them; close frees them in any case.
 */
enum sw_status sw_device_context_open(struct sw_device_context *device,
                                      const struct sw_model *model,
                                      const struct sw_footprint_params *params,
                                      const struct sw_work *work);
/* The bucket of T5 for a key that is `apart` positions behind its query, or before it where that is
 * negative. both: keys on both sides count, as in an encoder. */
int sw_position_bucket(int apart, bool both, int n_buckets, int reach);
void sw_device_context_close(struct sw_device_context *device);

#endif

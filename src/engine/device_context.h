/*
 * Where a stage computes: its CPU and its GPU, each with a backend and the buffers that the
 * transformer block works in. The CPU backend's memory is host memory: what is copied to and from
 * a GPU lies there.
 */
#ifndef SW_ENGINE_DEVICE_CONTEXT_H
#define SW_ENGINE_DEVICE_CONTEXT_H

#include "backend/backend.h"
#include "model/footprint.h"
#include "model/model.h"

enum sw_device_kind { SW_ON_CPU, SW_ON_GPU, SW_DEVICE_KINDS };

struct sw_device_context {
    struct sw_backend *backend; /* NULL: there is none */
    void *d_work;               /* NULL: nothing is computed here; the buffers below lie in it */
    uint64_t bytes;             /* of it */
    float *d_x;                 /* (rows, hidden): the residual stream */
    float *d_h, *d_h2;          /* (rows, hidden): normed */
    float *d_qkv, *d_attention, *d_up, *d_router, *d_expert_in, *d_expert_out;
    struct sw_rope rope;
    float *d_slopes;
};

/* Makes the buffers of a device whose backend is set; `work` is that of model and params. */
enum sw_status sw_device_context_open(struct sw_device_context *device,
                                      const struct sw_model *model,
                                      const struct sw_footprint_params *params,
                                      const struct sw_work *work);
void sw_device_context_close(struct sw_device_context *device);

#endif

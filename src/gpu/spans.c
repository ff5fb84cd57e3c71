/* Owns the spans that kernels read. All operations of a micro-batch have the same spans, which are
 * sent once. */
#include "gpu/cuda.h"

#include <stdlib.h>
#include <string.h>

enum sw_status sw_cuda_spans_open(struct sw_cuda *cuda)
{
    struct sw_cuda_spans *spans = &cuda->spans;
    spans->host = calloc((size_t)spans->capacity, sizeof *spans->host);
    return spans->host ? SW_OK
                       : sw_fail(SW_ENOMEM, "no memory for %lld spans", (long long)spans->capacity);
}

void sw_cuda_spans_close(struct sw_cuda *cuda)
{
    free(cuda->spans.host);
}

/* keys NULL: those that were sent do not matter. */
static bool are_same(const struct sw_cuda_spans *have, const struct sw_span *spans,
                     const int32_t *keys, int n)
{
    if (have->n != n)
        return false;
    for (int i = 0; i < n; i++)
        if (have->host[i].slot != spans[i].slot || have->host[i].n != spans[i].n ||
            have->host[i].position != spans[i].position || have->host[i].row != spans[i].row ||
            (keys && have->host[i].keys != keys[i]))
            return false;
    return true;
}

static enum sw_status gpu_spans_check(struct sw_cuda *cuda, int n)
{
    if (n <= cuda->spans.capacity)
        return SW_OK;
    return sw_cuda_record(cuda,
                          sw_fail(SW_EDEVICE,
                                  "GPU %d: %d spans, but the backend was opened for %lld; a fault "
                                  "of this program, please report it",
                                  cuda->options.device, n, (long long)cuda->spans.capacity));
}

/* Not to the ring's device memory: the spans are used longer than a piece of the ring lasts. */
static enum sw_status gpu_spans_send(struct sw_cuda *cuda)
{
    const struct sw_cuda_spans *to = &cuda->spans;
    const size_t bytes = (size_t)to->n * sizeof *to->host;
    void *pinned;
    SW_TRY(sw_cuda_ring_take(cuda, bytes, &pinned, NULL));
    memcpy(pinned, to->host, bytes);
    CUDA_TRY(cuda,
             cudaMemcpyAsync(to->device, pinned, bytes, cudaMemcpyHostToDevice, cuda->compute));
    return SW_OK;
}

enum sw_status sw_cuda_spans_send(struct sw_cuda *cuda, const struct sw_span *spans,
                                  const int32_t *keys, int n, struct sw_gpu_batch *out)
{
    struct sw_cuda_spans *to = &cuda->spans;
    if (!are_same(to, spans, keys, n)) {
        SW_TRY(sw_cuda_check_capture(cuda, "other spans"));
        cuda->graphs.n_bucket_spans = 0; /* these spans are not those of a graph */
        SW_TRY(gpu_spans_check(cuda, n));
        for (int i = 0; i < n; i++)
            to->host[i] = (struct sw_gpu_span){.slot = spans[i].slot,
                                               .n = (int32_t)spans[i].n,
                                               .position = spans[i].position,
                                               .row = spans[i].row,
                                               .keys = keys ? keys[i] : 0};
        to->n = n;
        SW_TRY(gpu_spans_send(cuda));
    }
    const bool by_graph = cuda->graphs.n_bucket_spans == n;
    *out = (struct sw_gpu_batch){
        .spans = to->device, .host = by_graph ? cuda->graphs.bucket_spans : to->host, .n = n};
    return SW_OK;
}

/* Owns the spans as kernels read them. They are the same for all of a batch, so they go once. */
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

static bool are_same(const struct sw_cuda_spans *have, const struct sw_span *spans, int n)
{
    if (have->n != n)
        return false;
    for (int i = 0; i < n; i++)
        if (have->host[i].slot != spans[i].slot || have->host[i].n != spans[i].n ||
            have->host[i].position != spans[i].position || have->host[i].row != spans[i].row)
            return false;
    return true;
}

/* What rows the spans have, and whether all between the first and the last. */
static enum sw_status measure(struct sw_cuda *cuda, const struct sw_span *spans, int n)
{
    struct sw_cuda_spans *to = &cuda->spans;
    int64_t first = INT64_MAX, end = 0, sum = 0;
    for (int i = 0; i < n; i++) {
        first = spans[i].row < first ? spans[i].row : first;
        end = spans[i].row + spans[i].n > end ? spans[i].row + spans[i].n : end;
        sum += spans[i].n;
    }
    to->first = first < end ? first : 0;
    to->n_rows = end - to->first;
    to->gaps = sum != to->n_rows;
    if (n > to->capacity || to->n_rows > to->capacity)
        return sw_cuda_record(
            cuda, sw_fail(SW_EDEVICE,
                          "GPU %d: %d spans over %lld rows, but the backend was opened for %lld; a "
                          "fault of this program, please report it",
                          cuda->options.device, n, (long long)to->n_rows, (long long)to->capacity));
    return SW_OK;
}

/* Through the ring, but not to its mirror: what is sent now outlives many turns of the ring. */
static enum sw_status send(struct sw_cuda *cuda, const struct sw_span *spans)
{
    struct sw_cuda_spans *to = &cuda->spans;
    const size_t span_bytes = (size_t)to->n * sizeof *to->host,
                 position_bytes = (size_t)to->n_rows * sizeof *to->positions;
    void *pinned;
    SW_TRY(sw_cuda_ring_take(cuda, span_bytes, &pinned, NULL));
    memcpy(pinned, to->host, span_bytes);
    CUDA_TRY(cuda, cudaMemcpyAsync(to->device, pinned, span_bytes, cudaMemcpyHostToDevice,
                                   cuda->compute));
    SW_TRY(sw_cuda_ring_take(cuda, position_bytes, &pinned, NULL));
    int32_t *positions = pinned;
    memset(positions, 0, position_bytes);
    for (int i = 0; i < to->n; i++)
        for (int64_t r = 0; r < spans[i].n; r++)
            positions[spans[i].row - to->first + r] = (int32_t)(spans[i].position + r);
    CUDA_TRY(cuda, cudaMemcpyAsync(to->positions, positions, position_bytes, cudaMemcpyHostToDevice,
                                   cuda->compute));
    return SW_OK;
}

enum sw_status sw_cuda_spans_send(struct sw_cuda *cuda, const struct sw_span *spans, int n,
                                  struct sw_gpu_batch *out)
{
    struct sw_cuda_spans *to = &cuda->spans;
    if (!are_same(to, spans, n)) {
        SW_TRY(sw_cuda_recordable(cuda, "other spans"));
        cuda->graphs.n_told = 0; /* these are not the ones that a graph stands for */
        SW_TRY(measure(cuda, spans, n));
        for (int i = 0; i < n; i++)
            to->host[i] = (struct sw_gpu_span){.slot = spans[i].slot,
                                               .n = (int32_t)spans[i].n,
                                               .position = spans[i].position,
                                               .row = spans[i].row};
        to->n = n;
        SW_TRY(send(cuda, spans));
    }
    const bool told = cuda->graphs.n_told == n;
    *out = (struct sw_gpu_batch){
        .spans = to->device, .host = told ? cuda->graphs.told : to->host, .n = n};
    return SW_OK;
}

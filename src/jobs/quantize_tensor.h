/* Makes one tensor of a file that is being quantized, in chunks, on all threads. */
#ifndef SW_JOBS_QUANTIZE_TENSOR_H
#define SW_JOBS_QUANTIZE_TENSOR_H

#include "checkpoint/gguf_export.h"
#include "checkpoint/reader.h"
#include "jobs/quantize_file.h"

struct sw_pool;

struct sw_quantizer {
    struct sw_reader *reader;
    struct sw_pool *pool;
    const struct sw_quantize_file *file;
    char *out; /* (out_bytes) rows of the chunk at hand, as they are written */
    size_t out_bytes;
    float *scales; /* of a tensor whose scales are quantized when all are known; else NULL */
    /* Called after each chunk with the bytes that were read for it; a failure ends the work. */
    enum sw_status (*progress)(void *context, uint64_t bytes);
    void *context;
};

/* Bytes that are read for a tensor. */
uint64_t sw_quantize_input_bytes(const struct sw_export_tensor *tensor);
/* Reads, converts and writes a tensor. Memory: three chunks of some 8 MiB, or of a row; of a
 * transposed tensor all of it; with nested scales 5 bytes for each block. */
enum sw_status sw_quantize_tensor(struct sw_quantizer *q, const struct sw_export_tensor *tensor);
void sw_quantizer_free(struct sw_quantizer *q);

#endif

/* Owns turning rows of a source into rows of the file. */
#include "jobs/quantize_tensor.h"

#include "base/pool.h"
#include "checkpoint/bnb_export.h"
#include "tensor/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)8 << 20) /* bytes of a source that are read at once */
#define SHARE 32768             /* elements that a thread takes at once, at least */

/* Rows [first, first + n) of one source, `values` being the first of them. */
struct quantize_rows {
    const struct sw_export_tensor *tensor;
    const struct sw_tensor *from;
    const char *values;
    int64_t n, row_step; /* bytes from a row of values to the next */
    int64_t stride;      /* elements from a value of a row to the next */
    char *out;           /* (n) rows side by side */
    size_t row_bytes;    /* of a row of the format */
    int64_t share;       /* rows of a piece of work */
    /* Where what is made of a row lies in two places, behind `out`: */
    char *codes, *scales;             /* (n) rows of codes_bytes and of scales_bytes */
    size_t codes_bytes, scales_bytes; /* 0: it lies in one place */
};

/* What one part of a tensor's rows are read into. */
struct quantize_source {
    struct sw_quantizer *q;
    const struct sw_export_tensor *tensor;
    const struct sw_tensor *from;
    int64_t first; /* row of the tensor that is the part's first */
    int64_t inner; /* rows of the file in a row of the reader */
};

uint64_t sw_quantize_input_bytes(const struct sw_export_tensor *t)
{
    uint64_t bytes = 0;
    for (int i = 0; i < t->n_parts; i++)
        bytes += t->parts[i]->bytes;
    return bytes;
}

static size_t quantize_row_bytes(const struct sw_export_tensor *t)
{
    return (size_t)(t->cols / t->format->block_len) * t->format->block_bytes;
}

static void quantize_encode(void *context, int64_t chunk, int worker)
{
    const struct quantize_rows *r = context;
    const int64_t first = chunk * r->share, end = first + r->share < r->n ? first + r->share : r->n;
    (void)worker;
    for (int64_t i = first; i < end; i++) {
        const struct sw_values row = {.data = r->values + i * r->row_step,
                                      .dtype = r->from->dtype,
                                      .n = r->tensor->cols,
                                      .stride = r->stride,
                                      .blocks = r->from->blocks};
        float scale;
        sw_format_encode_row(r->tensor->format, &row, r->out + (size_t)i * r->row_bytes, &scale);
        if (r->codes_bytes)
            sw_bnb_split_row(r->tensor, &row, r->out + (size_t)i * r->row_bytes,
                             r->codes + (size_t)i * r->codes_bytes,
                             r->scales + (size_t)i * r->scales_bytes);
    }
}

/* Writes rows that lie side by side in the file with one call. */
static enum sw_status quantize_write(const struct sw_quantizer *q, const struct quantize_rows *r,
                                     int64_t first)
{
    const struct sw_export_tensor *t = r->tensor;
    if (r->codes_bytes) {
        SW_TRY(sw_quantize_file_write(q->file, t->offset + (uint64_t)first * r->codes_bytes,
                                      r->codes, (size_t)r->n * r->codes_bytes));
        if (t->nested) {
            memcpy((char *)q->scales + (size_t)first * r->scales_bytes, r->scales,
                   (size_t)r->n * r->scales_bytes);
            return SW_OK;
        }
        return sw_quantize_file_write(q->file, t->scales + (uint64_t)first * r->scales_bytes,
                                      r->scales, (size_t)r->n * r->scales_bytes);
    }
    for (int64_t i = 0, run; i < r->n; i += run) {
        const int64_t row = sw_export_row(t, first + i);
        for (run = 1; i + run < r->n && sw_export_row(t, first + i + run) == row + run; run++)
            ;
        SW_TRY(sw_quantize_file_write(q->file, t->offset + (uint64_t)row * r->row_bytes,
                                      r->out + (size_t)i * r->row_bytes,
                                      (size_t)run * r->row_bytes));
    }
    return SW_OK;
}

static enum sw_status quantize_rows(struct sw_quantizer *q, struct quantize_rows *r, int64_t first)
{
    r->row_bytes = quantize_row_bytes(r->tensor);
    sw_bnb_row_bytes(r->tensor, &r->codes_bytes, &r->scales_bytes);
    const size_t blocks = (size_t)r->n * r->row_bytes, codes = (size_t)r->n * r->codes_bytes,
                 bytes = blocks + codes + (size_t)r->n * r->scales_bytes;
    if (bytes > q->out_bytes) {
        free(q->out);
        q->out = malloc(bytes);
        q->out_bytes = q->out ? bytes : 0;
        if (!q->out)
            return sw_fail(SW_ENOMEM, "no memory for %zu bytes of a tensor", bytes);
    }
    r->out = q->out;
    r->codes = q->out + blocks;
    r->scales = r->codes + codes;
    r->share = r->tensor->cols >= SHARE ? 1 : SHARE / r->tensor->cols;
    sw_pool_run(q->pool, quantize_encode, r, (r->n + r->share - 1) / r->share);
    return quantize_write(q, r, first);
}

static enum sw_status quantize_sink(void *context, int64_t row0, int64_t n_rows, const void *data)
{
    const struct quantize_source *p = context;
    struct quantize_rows r = {.tensor = p->tensor,
                              .from = p->from,
                              .values = data,
                              .n = n_rows * p->inner,
                              .stride = 1,
                              .row_step =
                                  sw_values_step(p->from->dtype, p->from->blocks, p->tensor->cols)};
    SW_TRY(quantize_rows(p->q, &r, p->first + row0 * p->inner));
    return p->q->progress(p->q->context, (uint64_t)r.n * (uint64_t)r.row_step);
}

static enum sw_status quantize_copy(void *context, int64_t row0, int64_t n_rows, const void *data)
{
    const struct quantize_source *p = context;
    const uint64_t row = sw_reader_row_bytes(p->from), bytes = (uint64_t)n_rows * row;
    SW_TRY(sw_quantize_file_write(p->q->file, p->tensor->offset + (uint64_t)row0 * row, data,
                                  (size_t)bytes));
    return p->q->progress(p->q->context, bytes);
}

/* The whole source is read, and its columns become rows. */
static enum sw_status quantize_transposed(struct sw_quantizer *q, const struct sw_export_tensor *t)
{
    const struct sw_tensor *from = t->parts[0];
    char *data = malloc(from->bytes);
    if (!data)
        return sw_fail(SW_ENOMEM, "no memory for tensor '%s'", from->name);
    struct quantize_rows r = {.tensor = t,
                              .from = from,
                              .values = data,
                              .n = t->rows,
                              .stride = t->rows,
                              .row_step = sw_dtype_info(from->dtype)->bits / 8};
    enum sw_status status = sw_reader_rows(q->reader, from, 0, from->shape[0], data);
    if (status == SW_OK)
        status = quantize_rows(q, &r, 0);
    free(data);
    return status == SW_OK ? q->progress(q->context, from->bytes) : status;
}

/* Room for the scales of a tensor that are quantized once more, at its end. */
static enum sw_status quantize_room(struct sw_quantizer *q, const struct sw_export_tensor *t)
{
    size_t codes, scales;
    sw_bnb_row_bytes(t, &codes, &scales);
    free(q->scales);
    q->scales = malloc((size_t)t->rows * scales);
    return q->scales ? SW_OK
                     : sw_fail(SW_ENOMEM, "no memory for the scales of tensor '%s'", t->name);
}

/* The description, with the offset of the scales that is now known. */
static enum sw_status quantize_state(struct sw_quantizer *q, const struct sw_export_tensor *t,
                                     float offset)
{
    char *text = malloc(t->state_bytes + 1);
    if (!text)
        return sw_fail(SW_ENOMEM, "no memory for the description of tensor '%s'", t->name);
    const size_t n =
        (size_t)snprintf(text, t->state_bytes + 1, "%s%.9g}", t->state_text, (double)offset);
    memset(text + n, ' ', t->state_bytes - n);
    const enum sw_status status = sw_quantize_file_write(q->file, t->state, text, t->state_bytes);
    free(text);
    return status;
}

/* Quantizes the scales once more, when all are known. */
static enum sw_status quantize_nest(struct sw_quantizer *q, const struct sw_export_tensor *t)
{
    size_t codes_bytes, scales_bytes;
    sw_bnb_row_bytes(t, &codes_bytes, &scales_bytes);
    const int64_t n = t->rows * (int64_t)(scales_bytes / sizeof(float));
    const int64_t groups = (n + SW_BNB_NESTED - 1) / SW_BNB_NESTED;
    float *nested = malloc((size_t)groups * sizeof *nested + (size_t)n), offset;
    if (!nested)
        return sw_fail(SW_ENOMEM, "no memory for the scales of tensor '%s'", t->name);
    uint8_t *codes = (uint8_t *)(nested + groups);
    sw_bnb_nest(q->scales, n, codes, nested, &offset);
    enum sw_status status = sw_quantize_file_write(q->file, t->scales, codes, (size_t)n);
    if (status == SW_OK)
        status =
            sw_quantize_file_write(q->file, t->nested, nested, (size_t)groups * sizeof *nested);
    if (status == SW_OK)
        status = quantize_state(q, t, offset);
    free(nested);
    return status;
}

enum sw_status sw_quantize_tensor(struct sw_quantizer *q, const struct sw_export_tensor *t)
{
    if (t->n_parts == 0)
        return sw_quantize_file_write(q->file, t->offset, t->literal, (size_t)t->bytes);
    if (t->order == SW_ROWS_TRANSPOSED)
        return quantize_transposed(q, t);
    if (t->nested)
        SW_TRY(quantize_room(q, t));
    sw_reader_expect(q->reader, t->parts, (size_t)t->n_parts);
    for (int i = 0; i < t->n_parts; i++) {
        const struct sw_tensor *from = t->parts[i];
        const int64_t rows = t->rows / t->n_parts, outer = sw_reader_row_count(from);
        struct quantize_source p = {
            .q = q, .tensor = t, .from = from, .first = i * rows, .inner = rows / outer};
        SW_TRY(sw_reader_each_chunk(q->reader, from, 0, outer, CHUNK,
                                    t->layout == SW_EXPORT_BYTES ? quantize_copy : quantize_sink,
                                    &p));
    }
    return t->nested ? quantize_nest(q, t) : SW_OK;
}

void sw_quantizer_free(struct sw_quantizer *q)
{
    free(q->out);
    free(q->scales);
    q->out = NULL;
    q->scales = NULL;
    q->out_bytes = 0;
}

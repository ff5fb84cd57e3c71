/* Owns the layout of a batch in a message. */
#include "engine/wire.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

enum sw_status sw_wire_reserve(struct sw_wire *wire, size_t bytes)
{
    if (bytes <= wire->capacity)
        return SW_OK;
    char *grown = realloc(wire->bytes, bytes);
    if (!grown)
        return sw_fail(SW_ENOMEM, "no memory for a message of %zu bytes", bytes);
    wire->bytes = grown;
    wire->capacity = bytes;
    return SW_OK;
}

size_t sw_wire_batch_head(int n_rows, int n_spans)
{
    return sw_round_up((size_t)n_spans * sizeof(struct sw_span) + (size_t)n_rows * sizeof(int32_t) +
                           (size_t)n_spans,
                       SW_ALIGN);
}

void sw_wire_write_batch(const struct sw_batch *batch, char *bytes)
{
    const size_t spans = (size_t)batch->n_spans * sizeof *batch->spans;
    const size_t ids = (size_t)batch->n_rows * sizeof *batch->ids;
    memcpy(bytes, batch->spans, spans);
    memcpy(bytes + spans, batch->ids, ids);
    memcpy(bytes + spans + ids, batch->want, (size_t)batch->n_spans);
}

enum sw_status sw_wire_read_batch(const struct sw_batch_body *body, char *bytes, size_t length,
                                  int max_rows, int slots, int context, struct sw_batch *batch,
                                  const float **hidden)
{
    const int n = body->n_rows, n_spans = body->n_spans;
    if (n < 1 || n > max_rows || n_spans < 1 || n_spans > n || body->hidden < 0 ||
        length != sw_wire_batch_head(n, n_spans) + (size_t)n * (size_t)body->hidden * sizeof(float))
        return sw_fail(SW_EPEER,
                       "a batch of %d rows in %zu bytes came; the ranks do not agree on "
                       "the model: start the same program everywhere",
                       n, length);
    const size_t spans = (size_t)n_spans * sizeof *batch->spans, ids = (size_t)n * sizeof(int32_t);
    *batch = (struct sw_batch){.n_rows = n,
                               .n_spans = n_spans,
                               .spans = (struct sw_span *)(void *)bytes,
                               .ids = (int32_t *)(void *)(bytes + spans),
                               .want = (unsigned char *)bytes + spans + ids};
    *hidden =
        body->hidden ? (const float *)(const void *)(bytes + sw_wire_batch_head(n, n_spans)) : NULL;
    int64_t row = 0;
    for (int i = 0; i < n_spans; i++) {
        const struct sw_span *s = &batch->spans[i];
        if (s->slot < 0 || s->slot >= slots || s->row != row || s->n < 1 || s->n > n - row ||
            s->position < 0 || s->position > context - s->n)
            return sw_fail(SW_EPEER,
                           "a batch with an impossible span came (slot %d, position "
                           "%lld, %lld rows)",
                           s->slot, (long long)s->position, (long long)s->n);
        row += s->n;
    }
    return SW_OK;
}

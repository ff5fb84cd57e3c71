/* Owns the collective operations, made of messages so that they have the same deadlines. */
#include "transport/transport_ops.h"

#include <stdlib.h>
#include <string.h>

static enum sw_status send_block(struct sw_transport *t, int peer, const void *bytes, size_t length)
{
    struct sw_message message = {.kind = SW_KIND_BLOCK};
    return sw_channel_send(t, SW_CHANNEL_COLLECTIVE, peer, &message, bytes, length);
}

static enum sw_status recv_block(struct sw_transport *t, int from, void **bytes, size_t *length)
{
    struct sw_message message;
    SW_TRY(sw_channel_head(t, SW_CHANNEL_COLLECTIVE, from, &message));
    char *block = message.bytes < SIZE_MAX ? malloc((size_t)message.bytes + 1) : NULL;
    if (!block)
        return sw_fail(SW_ENOMEM, "no memory for %llu bytes from rank %d",
                       (unsigned long long)message.bytes, from);
    const enum sw_status status = sw_channel_payload(t, SW_CHANNEL_COLLECTIVE, &message, block);
    if (status != SW_OK) {
        free(block);
        return status;
    }
    block[message.bytes] = 0;
    *bytes = block;
    *length = (size_t)message.bytes;
    return SW_OK;
}

/*
 * A binomial tree rooted at `root`: rank v (counted from the root) receives from the rank whose
 * number is v without its lowest bit.
 */
enum sw_status sw_transport_broadcast(struct sw_transport *t, int root, void **bytes,
                                      size_t *length)
{
    const int v = (t->rank - root + t->size) % t->size;
    int bit = 1;
    while (bit < t->size && !(v & bit))
        bit <<= 1;
    if (v != 0)
        SW_TRY(recv_block(t, (v - bit + root) % t->size, bytes, length));
    for (bit >>= 1; bit > 0; bit >>= 1)
        if (v + bit < t->size) {
            const enum sw_status status =
                send_block(t, (v + bit + root) % t->size, *bytes, *length);
            if (status != SW_OK) {
                if (v != 0) {
                    free(*bytes);
                    *bytes = NULL;
                }
                return status;
            }
        }
    return SW_OK;
}

enum sw_status sw_transport_gather(struct sw_transport *t, const void *bytes, size_t length,
                                   void **blocks, size_t *lengths)
{
    if (t->rank != 0)
        return send_block(t, 0, bytes, length);
    for (int i = 0; i < t->size; i++)
        blocks[i] = NULL;
    enum sw_status status = send_block(t, 0, bytes, length);
    for (int i = 0; i < t->size && status == SW_OK; i++)
        status = recv_block(t, i, &blocks[i], &lengths[i]);
    if (status != SW_OK)
        for (int i = 0; i < t->size; i++) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
    return status;
}

/* Rank 0: the blocks side by side; one of another length is another program's. */
static enum sw_status join_blocks(const struct sw_transport *t, void **blocks,
                                  const size_t *lengths, size_t length, char *out)
{
    char name[96];
    for (int i = 0; i < t->size; i++) {
        if (lengths[i] != length)
            return sw_fail(
                SW_EUSAGE,
                "%s sent %zu bytes where rank 0 has %zu: it runs another version of this "
                "program; install the same one on all hosts",
                sw_transport_name(t, i, name, sizeof name), lengths[i], length);
        memcpy(out + (size_t)i * length, blocks[i], length);
    }
    return SW_OK;
}

static enum sw_status gather_joined(struct sw_transport *t, const void *bytes, size_t length,
                                    char *out)
{
    const size_t size = (size_t)t->size;
    void **blocks = calloc(size, sizeof *blocks);
    size_t *lengths = calloc(size, sizeof *lengths);
    enum sw_status status = blocks && lengths
                                ? sw_transport_gather(t, bytes, length, blocks, lengths)
                                : sw_fail(SW_ENOMEM, "no memory for %d ranks", t->size);
    if (status == SW_OK && t->rank == 0)
        status = join_blocks(t, blocks, lengths, length, out);
    for (size_t i = 0; blocks && i < size; i++)
        free(blocks[i]);
    free(blocks);
    free(lengths);
    return status;
}

enum sw_status sw_transport_allgather(struct sw_transport *t, const void *bytes, size_t length,
                                      void **all)
{
    *all = NULL;
    char *joined = calloc((size_t)t->size, length);
    if (!joined)
        return sw_fail(SW_ENOMEM, "no memory for %d ranks", t->size);
    enum sw_status status = gather_joined(t, bytes, length, joined);
    void *received = joined;
    size_t n = (size_t)t->size * length;
    if (status == SW_OK)
        status = sw_transport_broadcast(t, 0, &received, &n);
    if (status != SW_OK || received != joined)
        free(joined);
    if (status != SW_OK)
        return status;
    if (n != (size_t)t->size * length) {
        free(received);
        return sw_fail(SW_EUSAGE,
                       "rank 0 runs another version of this program than rank %d; "
                       "install the same one on all hosts",
                       t->rank);
    }
    *all = received;
    return SW_OK;
}

enum sw_status sw_transport_barrier(struct sw_transport *t)
{
    void *nothing = NULL;
    size_t length = 0;
    if (t->rank != 0) {
        SW_TRY(send_block(t, 0, NULL, 0));
        SW_TRY(sw_transport_broadcast(t, 0, &nothing, &length));
        free(nothing);
        return SW_OK;
    }
    for (int i = 1; i < t->size; i++) {
        SW_TRY(recv_block(t, i, &nothing, &length));
        free(nothing);
    }
    nothing = NULL;
    length = 0;
    return sw_transport_broadcast(t, 0, &nothing, &length);
}

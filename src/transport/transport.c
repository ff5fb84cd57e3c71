/* Owns what all transports share: opening, whole messages, their order and their limits. */
#include "transport/transport.h"

#include "transport/transport_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPIN_DEFAULT_S 50e-6
#define UNDER_WAY_MAX (64u << 20) /* bytes under way to one peer above which a send waits */

_Static_assert(sizeof(struct sw_message) == 256, "a head is 256 bytes on the wire");

struct sw_transport *sw_transport_new(const struct sw_transport_ops *ops, int rank, int size,
                                      struct sw_transport_rank *ranks,
                                      struct sw_heartbeat *heartbeat,
                                      const struct sw_transport_options *options)
{
    struct sw_transport *t = calloc(1, sizeof *t);
    struct sw_transport_state *state = calloc(1, sizeof *state);
    struct sw_peer *peers = calloc((size_t)size, sizeof *peers);
    if (!t || !state || !peers) {
        free(t);
        free(state);
        free(peers);
        return NULL;
    }
    if (options)
        t->options = *options;
    if (t->options.silence_s <= 0)
        t->options.silence_s = SW_TIMEOUT_S;
    if (t->options.stall_s <= 0)
        t->options.stall_s = SW_STALL_S;
    if (t->options.spin_s == 0)
        t->options.spin_s = SPIN_DEFAULT_S;
    t->ops = ops;
    t->rank = rank;
    t->size = size;
    t->ranks = ranks;
    t->state = state;
    state->peers = peers;
    state->heartbeat = heartbeat;
    for (int i = 0; i < size; i++)
        if (ranks[i].node >= t->n_nodes)
            t->n_nodes = ranks[i].node + 1;
    return t;
}

void sw_transport_free(struct sw_transport *t)
{
    if (!t)
        return;
    sw_heartbeat_close(t->state->heartbeat);
    free((void *)t->ranks);
    free(t->state->peers);
    free(t->state);
    free(t);
}

static int transport_env_int(const char *variable)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : 0;
}

int sw_transport_launch_rank(void)
{
    static const char *const variables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        if (getenv(variables[i]))
            return transport_env_int(variables[i]);
    return 0;
}

enum sw_status sw_transport_open(const struct sw_transport_options *options,
                                 struct sw_transport **out)
{
    *out = NULL;
    if (transport_env_int("OMPI_COMM_WORLD_SIZE") > 0)
        return transport_env_int("OMPI_COMM_WORLD_SIZE") > 1
                   ? sw_transport_open_mpi(options, out)
                   : sw_transport_open_alone(options, out);
    const int tasks = transport_env_int("SLURM_STEP_NUM_TASKS");
    if (getenv("PMIX_RANK") && tasks != 1)
        return sw_transport_open_mpi(options, out);
    if (tasks > 1)
        return sw_fail(SW_EUSAGE,
                       "srun started %d ranks that cannot find each other (PMIX_RANK is not set); "
                       "use `srun --mpi=pmix` or start them with mpirun",
                       tasks);
    return sw_transport_open_alone(options, out);
}

const char *sw_transport_name(const struct sw_transport *t, int rank, char *out, size_t cap)
{
    snprintf(out, cap, "rank %d on %s", rank, t->ranks[rank].host);
    return out;
}

void sw_transport_label(struct sw_transport *t, int rank, const char *text)
{
    sw_heartbeat_label(t->state->heartbeat, rank, text);
}

/* Waits until `bytes` more may be under way to the peer; one larger message may be, alone. */
static enum sw_status transport_make_room(struct sw_transport *t, int peer, size_t bytes)
{
    struct sw_wait wait;
    uint64_t under_way = 0;
    SW_TRY(t->ops->pending(t, peer, &under_way));
    if (under_way == 0 || under_way + bytes <= UNDER_WAY_MAX)
        return SW_OK;
    sw_wait_begin(&wait);
    while (under_way > 0 && under_way + bytes > UNDER_WAY_MAX) {
        SW_TRY(sw_wait_step(t, &wait));
        SW_TRY(t->ops->pending(t, peer, &under_way));
    }
    return SW_OK;
}

enum sw_status sw_channel_send(struct sw_transport *t, enum sw_channel channel, int peer,
                               struct sw_message *message, const void *payload, size_t bytes)
{
    struct sw_peer *to = &t->state->peers[peer];
    message->source = t->rank;
    message->bytes = bytes;
    message->unused = 0;
    message->sequence = 0;
    SW_TRY(transport_make_room(t, peer, bytes));
    if (channel == SW_CHANNEL_DATA)
        message->sequence = to->sent++;
    SW_TRY(t->ops->send(t, channel, peer, message, payload));
    sw_heartbeat_sent(t->state->heartbeat, peer);
    return SW_OK;
}

enum sw_status sw_channel_head(struct sw_transport *t, enum sw_channel channel, int from,
                               struct sw_message *message)
{
    struct sw_wait wait;
    bool found = false;
    sw_wait_begin(&wait);
    for (;;) {
        SW_TRY(t->ops->take(t, channel, from, message, &found));
        if (found)
            break;
        if (t->size == 1)
            return sw_fail(SW_EPEER, "the only rank waits for a message that no rank can send");
        SW_TRY(sw_wait_step(t, &wait));
    }
    struct sw_peer *peer = &t->state->peers[message->source];
    if (message->bytes == 0)
        sw_heartbeat_taken(t->state->heartbeat, message->source);
    if (channel == SW_CHANNEL_DATA && message->sequence != peer->received++) {
        char name[96];
        return sw_fail(SW_EPEER, "message %llu of %s arrived where message %llu was expected",
                       (unsigned long long)message->sequence,
                       sw_transport_name(t, message->source, name, sizeof name),
                       (unsigned long long)(peer->received - 1));
    }
    return SW_OK;
}

enum sw_status sw_channel_payload(struct sw_transport *t, enum sw_channel channel,
                                  const struct sw_message *message, void *payload)
{
    if (message->bytes == 0)
        return SW_OK;
    struct sw_wait wait;
    bool done = false;
    sw_wait_begin(&wait);
    for (;;) {
        SW_TRY(t->ops->payload(t, channel, message, payload, &done));
        if (done)
            break;
        SW_TRY(sw_wait_step(t, &wait));
    }
    sw_heartbeat_taken(t->state->heartbeat, message->source);
    return SW_OK;
}

enum sw_status sw_transport_send(struct sw_transport *t, int peer, struct sw_message *message,
                                 const void *payload, size_t bytes)
{
    return sw_channel_send(t, SW_CHANNEL_DATA, peer, message, payload, bytes);
}

enum sw_status sw_transport_recv_head(struct sw_transport *t, int from, struct sw_message *message)
{
    return sw_channel_head(t, SW_CHANNEL_DATA, from, message);
}

enum sw_status sw_transport_recv_payload(struct sw_transport *t, const struct sw_message *message,
                                         void *payload)
{
    return sw_channel_payload(t, SW_CHANNEL_DATA, message, payload);
}

enum sw_status sw_transport_recv(struct sw_transport *t, int from, struct sw_message *message,
                                 void *payload, size_t capacity)
{
    SW_TRY(sw_transport_recv_head(t, from, message));
    if (message->bytes > capacity) {
        char name[96];
        return sw_fail(SW_EPEER,
                       "%s sent %llu bytes where at most %zu were expected; "
                       "do all ranks run the same version on the same model?",
                       sw_transport_name(t, message->source, name, sizeof name),
                       (unsigned long long)message->bytes, capacity);
    }
    return sw_transport_recv_payload(t, message, payload);
}

enum sw_status sw_transport_poll(struct sw_transport *t, int from, bool *ready)
{
    SW_TRY(sw_transport_alive(t));
    return t->ops->peek(t, SW_CHANNEL_DATA, from, ready);
}

enum sw_status sw_transport_wait(struct sw_transport *t, int from, const int *wake, bool *ready)
{
    struct sw_wait wait;
    sw_wait_begin(&wait);
    wait.wake = wake;
    for (;;) {
        SW_TRY(t->ops->peek(t, SW_CHANNEL_DATA, from, ready));
        if (*ready || __atomic_load_n(wake, __ATOMIC_ACQUIRE))
            return SW_OK;
        SW_TRY(sw_wait_step(t, &wait));
    }
}

enum sw_status sw_transport_flush(struct sw_transport *t)
{
    uint64_t under_way = 0;
    SW_TRY(t->ops->pending(t, SW_ANY_RANK, &under_way));
    struct sw_wait wait;
    sw_wait_begin(&wait);
    while (under_way > 0) {
        SW_TRY(sw_wait_step(t, &wait));
        SW_TRY(t->ops->pending(t, SW_ANY_RANK, &under_way));
    }
    return SW_OK;
}

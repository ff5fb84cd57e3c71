/*
 * Owns MPI: messages as non-blocking sends and matched probes. A head and a payload of up to
 * INLINE_MAX travel as one MPI message; a larger payload follows in pieces, straight into the
 * receiver's buffer. Nothing blocks here except MPI_Init and MPI_Finalize.
 */
#include "transport/transport_ops.h"

#include "base/log.h"
#include "base/wake.h"
#include "transport/segments.h"
#include "transport/start.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INLINE_MAX (64 << 10)
#define PIECE_MAX (256 << 20) /* MPI counts are int */
#define IDLE_MAX (64u << 20)  /* bytes of send buffers kept for reuse */

/* A send under way, or an idle buffer for the next one. */
struct parcel {
    struct parcel *next;
    MPI_Request *requests; /* (n_requests) */
    int n_requests, peer;
    size_t bytes, capacity;
    char *data; /* head and payload */
};

struct mpi {
    MPI_Comm comm;
    struct parcel *busy, *idle;
    uint64_t *under_way; /* (size) */
    uint64_t all_under_way, idle_bytes;
    /* Per channel: the last message taken, and the pieces being received. */
    struct inbox {
        char *data; /* (INLINE_MAX + head) */
        MPI_Request *requests;
        int n_requests;
    } inboxes[SW_CHANNELS];
};

static struct mpi *mpi_of(const struct sw_transport *t)
{
    return t->state->own;
}

static enum sw_status mpi_fail(int rc, const char *call, const struct sw_transport *t, int peer,
                               const char *file, int line)
{
    char text[MPI_MAX_ERROR_STRING] = "", name[96] = "";
    int length;
    MPI_Error_string(rc, text, &length);
    if (peer >= 0)
        sw_transport_name(t, peer, name, sizeof name);
    sw_fail_at(file, line, "%.60s%s%s failed: %s; run the same command again to go on", call,
               name[0] ? " with " : "", name, text);
    return SW_EPEER;
}

/* `call` is an MPI function, `arguments` are in parentheses, `peer` is the other rank or -1. */
#define MPI_TRY(t, peer, call, arguments)                                                          \
    do {                                                                                           \
        const int mpi_try_rc = call arguments;                                                     \
        if (mpi_try_rc != MPI_SUCCESS)                                                             \
            return mpi_fail(mpi_try_rc, #call, (t), (peer), __FILE__, __LINE__);                   \
    } while (0)

static int head_tag(enum sw_channel channel)
{
    return 2 * (int)channel;
}

static int pieces_of(uint64_t bytes)
{
    return bytes <= INLINE_MAX ? 0 : (int)((bytes + PIECE_MAX - 1) / PIECE_MAX);
}

static int piece_bytes(uint64_t bytes, int piece)
{
    const uint64_t left = bytes - (uint64_t)piece * PIECE_MAX;
    return left < PIECE_MAX ? (int)left : PIECE_MAX;
}

static void parcel_free(struct parcel *parcel)
{
    free(parcel->requests);
    free(parcel->data);
    free(parcel);
}

/* The smallest idle parcel that is large enough, or a new one. NULL when memory is short. */
static struct parcel *parcel_get(struct mpi *mpi, size_t bytes)
{
    struct parcel **best = NULL;
    for (struct parcel **link = &mpi->idle; *link; link = &(*link)->next)
        if ((*link)->capacity >= bytes && (!best || (*link)->capacity < (*best)->capacity))
            best = link;
    if (best && (*best)->capacity <= 4 * bytes + 4096) {
        struct parcel *parcel = *best;
        *best = parcel->next;
        mpi->idle_bytes -= parcel->capacity;
        return parcel;
    }
    struct parcel *parcel = calloc(1, sizeof *parcel);
    if (!parcel)
        return NULL;
    parcel->capacity = bytes;
    parcel->data = malloc(bytes);
    parcel->requests = malloc(sizeof(MPI_Request) * (size_t)(1 + bytes / PIECE_MAX + 1));
    if (!parcel->data || !parcel->requests) {
        parcel_free(parcel);
        return NULL;
    }
    return parcel;
}

static void parcel_put(struct mpi *mpi, struct parcel *parcel)
{
    if (mpi->idle_bytes + parcel->capacity > IDLE_MAX) {
        parcel_free(parcel);
        return;
    }
    mpi->idle_bytes += parcel->capacity;
    parcel->next = mpi->idle;
    mpi->idle = parcel;
}

static enum sw_status mpi_pending(struct sw_transport *t, int peer, uint64_t *bytes)
{
    struct mpi *mpi = mpi_of(t);
    for (struct parcel **link = &mpi->busy; *link;) {
        struct parcel *parcel = *link;
        int done = 0;
        MPI_TRY(t, parcel->peer, MPI_Testall,
                (parcel->n_requests, parcel->requests, &done, MPI_STATUSES_IGNORE));
        if (!done) {
            link = &parcel->next;
            continue;
        }
        *link = parcel->next;
        mpi->under_way[parcel->peer] -= parcel->bytes;
        mpi->all_under_way -= parcel->bytes;
        parcel_put(mpi, parcel);
    }
    *bytes = peer == SW_ANY_RANK ? mpi->all_under_way : mpi->under_way[peer];
    return SW_OK;
}

static enum sw_status mpi_send(struct sw_transport *t, enum sw_channel channel, int peer,
                               const struct sw_message *message, const void *payload)
{
    struct mpi *mpi = mpi_of(t);
    const uint64_t bytes = message->bytes;
    const size_t head = sizeof *message;
    struct parcel *parcel = bytes < SIZE_MAX - head ? parcel_get(mpi, head + (size_t)bytes) : NULL;
    if (!parcel)
        return sw_fail(SW_ENOMEM, "no memory to send %llu bytes to rank %d",
                       (unsigned long long)bytes, peer);
    memcpy(parcel->data, message, head);
    if (bytes)
        memcpy(parcel->data + head, payload, (size_t)bytes);
    parcel->bytes = head + (size_t)bytes;
    parcel->peer = peer;
    parcel->n_requests = 0;
    parcel->next = mpi->busy; /* listed first, so that close finds it whatever happens */
    mpi->busy = parcel;
    mpi->under_way[peer] += parcel->bytes;
    mpi->all_under_way += parcel->bytes;
    const int pieces = pieces_of(bytes);
    const int first = (int)head + (pieces ? 0 : (int)bytes);
    MPI_TRY(t, peer, MPI_Isend,
            (parcel->data, first, MPI_BYTE, peer, head_tag(channel), mpi->comm,
             &parcel->requests[parcel->n_requests++]));
    for (int i = 0; i < pieces; i++)
        MPI_TRY(t, peer, MPI_Isend,
                (parcel->data + head + (size_t)i * PIECE_MAX, piece_bytes(bytes, i), MPI_BYTE, peer,
                 head_tag(channel) + 1, mpi->comm, &parcel->requests[parcel->n_requests++]));
    return SW_OK;
}

static enum sw_status mpi_peek(struct sw_transport *t, enum sw_channel channel, int from,
                               bool *found)
{
    int flag = 0;
    MPI_TRY(t, from, MPI_Iprobe,
            (from == SW_ANY_RANK ? MPI_ANY_SOURCE : from, head_tag(channel), mpi_of(t)->comm, &flag,
             MPI_STATUS_IGNORE));
    *found = flag != 0;
    return SW_OK;
}

static enum sw_status mpi_take(struct sw_transport *t, enum sw_channel channel, int from,
                               struct sw_message *message, bool *found)
{
    struct mpi *mpi = mpi_of(t);
    struct inbox *inbox = &mpi->inboxes[channel];
    MPI_Message handle;
    MPI_Status status;
    int flag = 0, count = 0;
    MPI_TRY(t, from, MPI_Improbe,
            (from == SW_ANY_RANK ? MPI_ANY_SOURCE : from, head_tag(channel), mpi->comm, &flag,
             &handle, &status));
    *found = flag != 0;
    if (!flag)
        return SW_OK;
    const int source = status.MPI_SOURCE;
    MPI_Get_count(&status, MPI_BYTE, &count);
    if (count < (int)sizeof *message || count > (int)sizeof *message + INLINE_MAX)
        return sw_fail(SW_EPEER,
                       "rank %d on %s sent a message of %d bytes, which is not a message "
                       "of this version; do all ranks run the same program?",
                       source, t->ranks[source].host, count);
    MPI_TRY(t, source, MPI_Mrecv, (inbox->data, count, MPI_BYTE, &handle, MPI_STATUS_IGNORE));
    memcpy(message, inbox->data, sizeof *message);
    const size_t inlined = (size_t)count - sizeof *message;
    if (message->source != source ||
        (message->bytes <= INLINE_MAX ? message->bytes != inlined : inlined != 0))
        return sw_fail(SW_EPEER,
                       "the head of a message from rank %d on %s is malformed; "
                       "do all ranks run the same program?",
                       source, t->ranks[source].host);
    return SW_OK;
}

static enum sw_status mpi_payload(struct sw_transport *t, enum sw_channel channel,
                                  const struct sw_message *message, void *payload, bool *done)
{
    struct mpi *mpi = mpi_of(t);
    struct inbox *inbox = &mpi->inboxes[channel];
    const int pieces = pieces_of(message->bytes);
    if (pieces == 0) {
        memcpy(payload, inbox->data + sizeof *message, (size_t)message->bytes);
        *done = true;
        return SW_OK;
    }
    if (!inbox->requests) {
        inbox->requests = malloc(sizeof(MPI_Request) * (size_t)pieces);
        if (!inbox->requests)
            return sw_fail(SW_ENOMEM, "no memory to receive a message");
        for (inbox->n_requests = 0; inbox->n_requests < pieces; inbox->n_requests++)
            MPI_TRY(t, message->source, MPI_Irecv,
                    ((char *)payload + (size_t)inbox->n_requests * PIECE_MAX,
                     piece_bytes(message->bytes, inbox->n_requests), MPI_BYTE, message->source,
                     head_tag(channel) + 1, mpi->comm, &inbox->requests[inbox->n_requests]));
    }
    int flag = 0;
    MPI_TRY(t, message->source, MPI_Testall,
            (inbox->n_requests, inbox->requests, &flag, MPI_STATUSES_IGNORE));
    *done = flag != 0;
    if (flag) {
        free(inbox->requests);
        inbox->requests = NULL;
    }
    return SW_OK;
}

static void mpi_sleep(struct sw_transport *t, double seconds, const int *wake)
{
    (void)t;
    if (wake) {
        sw_wake_sleep(wake, seconds);
        return;
    }
    const struct timespec ts = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&ts, NULL);
}

static void mpi_free(struct mpi *mpi)
{
    if (!mpi)
        return;
    for (struct parcel *next, *p = mpi->idle; p; p = next) {
        next = p->next;
        parcel_free(p);
    }
    for (int c = 0; c < SW_CHANNELS; c++)
        free(mpi->inboxes[c].data);
    free(mpi->under_way);
    free(mpi);
}

/* All ranks are here, so all that was sent arrives or is no longer needed. */
static void mpi_close(struct sw_transport *t)
{
    struct mpi *mpi = mpi_of(t);
    uint64_t under_way = 1;
    for (int i = 0; i < 1000 && mpi_pending(t, SW_ANY_RANK, &under_way) == SW_OK && under_way; i++)
        mpi_sleep(t, 1e-3, NULL);
    MPI_Comm_free(&mpi->comm);
    MPI_Finalize();
    sw_segments_close();
    mpi_free(mpi);
}

static const struct sw_transport_ops mpi_ops = {
    .name = "mpi",
    .send = mpi_send,
    .pending = mpi_pending,
    .take = mpi_take,
    .peek = mpi_peek,
    .payload = mpi_payload,
    .sleep = mpi_sleep,
    .close = mpi_close,
};

static struct mpi *mpi_new(int size, MPI_Comm comm)
{
    struct mpi *mpi = calloc(1, sizeof *mpi);
    if (!mpi)
        return NULL;
    mpi->comm = comm;
    mpi->under_way = calloc((size_t)size, sizeof *mpi->under_way);
    bool ok = mpi->under_way != NULL;
    for (int c = 0; c < SW_CHANNELS && ok; c++) {
        mpi->inboxes[c].data = malloc(sizeof(struct sw_message) + INLINE_MAX);
        ok = mpi->inboxes[c].data != NULL;
    }
    if (ok)
        return mpi;
    mpi_free(mpi);
    return NULL;
}

/* What each rank sends to all others at the start; plain bytes. */
struct mpi_rank_info {
    char host[SW_HOST_MAX];
    int32_t first_on_node; /* the lowest rank that shares memory with it */
    struct sw_rank_info heartbeat;
};

/* Numbers the nodes by their first ranks. The caller frees; NULL without memory. */
static struct sw_transport_rank *mpi_ranks_of(const struct mpi_rank_info *infos, int size)
{
    struct sw_transport_rank *ranks = calloc((size_t)size, sizeof *ranks);
    int nodes = 0;
    for (int i = 0; ranks && i < size; i++) {
        memcpy(ranks[i].host, infos[i].host, SW_HOST_MAX);
        ranks[i].node = infos[i].first_on_node == i ? nodes++ : ranks[infos[i].first_on_node].node;
    }
    return ranks;
}

/*
 * Hidden states of common models are 8 to 64 KiB a row. These limits let one row travel at once
 * through shared memory, and a micro-batch over a network. A larger message waits until both ranks
 * call MPI, which costs twice the link's delay and the time that either computes.
 */
static void prefer_eager(void)
{
    setenv("OMPI_MCA_btl_vader_eager_limit", "68000", 0);
    setenv("OMPI_MCA_btl_tcp_eager_limit", "1048576", 0);
}

/* All ranks leave together, so that no launcher ends rank 0 before it has printed the cause. */
static void mpi_leave(void)
{
    MPI_Finalize();
    sw_segments_close();
}

/* Whether all ranks reach each other over loopback; the same answer on every rank. */
static bool mpi_one_machine(MPI_Comm comm)
{
    const uint64_t id = sw_rank_address_machine(), mine[2] = {id, ~id};
    uint64_t most[2] = {0};
    MPI_Allreduce(mine, most, 2, MPI_UINT64_T, MPI_MAX, comm);
    return id != 0 && most[0] == id && most[1] == ~id;
}

/* Joins the ranks after MPI_Init. On failure it frees nothing: the process ends. */
static enum sw_status mpi_join(MPI_Comm comm, const struct sw_transport_options *options,
                               struct sw_transport **out)
{
    struct mpi_rank_info info = {.host = "unknown"};
    struct sw_heartbeat *heartbeat;
    int rank, size;
    MPI_Comm node;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node);
    info.first_on_node = rank;
    MPI_Bcast(&info.first_on_node, 1, MPI_INT32_T, 0, node);
    MPI_Comm_free(&node);
    (void)gethostname(info.host, sizeof info.host - 1);

    struct mpi *mpi = mpi_new(size, comm);
    struct mpi_rank_info *infos = calloc((size_t)size, sizeof *infos);
    struct sw_rank_info *beats = calloc((size_t)size, sizeof *beats);
    if (!mpi || !infos || !beats)
        return sw_fail(SW_ENOMEM, "no memory to join %d ranks", size);
    SW_TRY(sw_heartbeat_open(mpi_one_machine(comm), &info.heartbeat, &heartbeat));
    MPI_TRY(NULL, -1, MPI_Allgather,
            (&info, sizeof info, MPI_BYTE, infos, sizeof info, MPI_BYTE, comm));
    for (int i = 0; i < size; i++)
        beats[i] = infos[i].heartbeat;
    struct sw_transport_rank *ranks = mpi_ranks_of(infos, size);
    *out = ranks ? sw_transport_new(&mpi_ops, rank, size, ranks, heartbeat, options) : NULL;
    free(infos);
    if (!*out)
        return sw_fail(SW_ENOMEM, "no memory to join %d ranks", size);
    (*out)->state->own = mpi;
    (*out)->state->process = true;
    SW_TRY(sw_heartbeat_start(heartbeat, *out, beats));
    free(beats);
    return SW_OK;
}

enum sw_status sw_transport_open_mpi(const struct sw_transport_options *options,
                                     struct sw_transport **out)
{
    const double silence = options && options->silence_s > 0 ? options->silence_s : SW_TIMEOUT_S;
    int provided;
    MPI_Comm comm;
    prefer_eager();
    sw_segments_open();
    SW_TRY(sw_start_check());
    struct sw_start_watchdog *watchdog =
        sw_start_watchdog_begin(SW_START_S(silence), options ? options->stop : NULL);
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS)
        return sw_fail(SW_EDEVICE, "MPI_Init failed; is Open MPI installed alike on all hosts?");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    enum sw_status status = sw_start_same(comm);
    if (status != SW_OK) {
        sw_start_watchdog_end(watchdog);
        atexit(mpi_leave);
        return status;
    }
    status = mpi_join(comm, options, out);
    sw_start_watchdog_end(watchdog);
    if (status == SW_OK) {
        sw_start_report((*out)->rank, SW_FACT_MET);
        return SW_OK;
    }
    sw_log(SW_LOG_ERROR, "%s", sw_error_message()); /* MPI_Abort: other ranks wait for this one */
    MPI_Abort(comm, sw_status_exit_code(status));
    _exit(sw_status_exit_code(status));
}

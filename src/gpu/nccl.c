/*
 * Owns the links to other ranks' GPUs. One communicator serves the whole pipeline. Its sends and
 * receives are in the compute stream, so each stage runs them in the order of its micro-batches;
 * stages form a line, so no cycle of waits is possible. The communicator is not blocking: NCCL
 * never waits in a call, and a deadline or the failure of the job ends any wait. Then it is
 * aborted, which also ends operations that wait in the stream.
 */
#include "gpu/cuda.h"

#include "base/clock.h"

#include <assert.h>
#include <nccl.h>
#include <stdlib.h>
#include <string.h>

#define TEST_FLOATS 256 /* sent to warm a link up */
#define END_S 0.5       /* longest wait for work that is left when the job is done */
#define LEAVE_S 5.0     /* longest wait for the other ranks to leave, too */

_Static_assert(sizeof(struct sw_gpu_link_id) == sizeof(ncclUniqueId), "an id travels as it is");

/* The message contains NCCL's last error, if there is one. */
static enum sw_status nccl_failed(const struct sw_cuda *cuda, ncclResult_t result, const char *what)
{
    char label[96] = "NCCL";
    const char *more = ncclGetLastError(cuda ? cuda->comm : NULL);
    const bool peer = result == ncclRemoteError || result == ncclSystemError;
    if (cuda)
        sw_cuda_label(cuda, label, sizeof label);
    return sw_fail(peer ? SW_EPEER : SW_EDEVICE,
                   "%s: %s at %s%s%s; NCCL_DEBUG=INFO tells more, --transport mpi does without "
                   "NCCL",
                   label, ncclGetErrorString(result), what, more && *more ? ": " : "",
                   more ? more : "");
}

static ncclResult_t state_of(const struct sw_cuda *cuda)
{
    ncclResult_t result = ncclSuccess;
    const ncclResult_t queried = ncclCommGetAsyncError(cuda->comm, &result);
    return queried == ncclSuccess ? result : queried;
}

/* Waits until a call that has returned `result` is complete. A failure is not recorded. Some calls
 * return success before they are complete, so the state is read at least once. */
static enum sw_status nccl_wait(struct sw_cuda *cuda, ncclResult_t result, double seconds,
                                const char *what)
{
    const double began = sw_clock();
    if (result == ncclSuccess && cuda->comm)
        result = state_of(cuda);
    while (result == ncclInProgress) {
        SW_TRY(sw_cuda_pause(cuda, began, seconds, what));
        result = state_of(cuda);
    }
    return result == ncclSuccess ? SW_OK : nccl_failed(cuda, result, what);
}

enum sw_status sw_cuda_links_check(struct sw_cuda *cuda)
{
    if (!cuda->comm)
        return SW_OK;
    const ncclResult_t result = state_of(cuda);
    return result == ncclSuccess || result == ncclInProgress
               ? SW_OK
               : nccl_failed(cuda, result, "a link to another GPU");
}

void sw_cuda_links_abort(struct sw_cuda *cuda)
{
    if (cuda->comm)
        (void)ncclCommAbort(cuda->comm);
    cuda->comm = NULL;
}

void sw_cuda_links_leave(struct sw_backend *b)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    if (!cuda->comm)
        return;
    (void)cudaSetDevice(cuda->options.device);
    bool well = cuda->status == SW_OK && sw_cuda_idle(cuda->compute, END_S);
    if (well && nccl_wait(cuda, ncclCommFinalize(cuda->comm), LEAVE_S, "leaving") != SW_OK) {
        sw_error_clear(); /* the results are complete */
        well = false;
    }
    if (!well) {
        sw_cuda_links_abort(cuda);
        return;
    }
    (void)ncclCommDestroy(cuda->comm);
    cuda->comm = NULL;
}

static int nccl_version(void)
{
    int found = 0;
    return ncclGetVersion(&found) == ncclSuccess ? found : 0;
}

static enum sw_status nccl_make_id(struct sw_gpu_link_id *out)
{
    ncclUniqueId id;
    const ncclResult_t result = ncclGetUniqueId(&id);
    if (result != ncclSuccess)
        return nccl_failed(NULL, result, "ncclGetUniqueId");
    memcpy(out, &id, sizeof *out);
    return SW_OK;
}

/* A failure of join or warm_up ends the membership, but not the backend. */
static enum sw_status nccl_or_abort(struct sw_cuda *cuda, enum sw_status status)
{
    if (status != SW_OK)
        sw_cuda_links_abort(cuda);
    return status;
}

static enum sw_status nccl_join(struct sw_backend *b, const struct sw_gpu_link_id *id, int rank,
                                int size, double seconds)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId unique;
    assert(!cuda->comm);
    SW_TRY(sw_cuda_enter(cuda));
    config.blocking = 0;
    memcpy(&unique, id, sizeof unique);
    const ncclResult_t result = ncclCommInitRankConfig(&cuda->comm, size, unique, rank, &config);
    return nccl_or_abort(cuda, nccl_wait(cuda, result, seconds, "joining the other ranks' GPUs"));
}

/* Sends to `to` and receives from `from` in one group (-1: none); waits until NCCL has enqueued
 * them. A failure is not recorded. */
static enum sw_status nccl_enqueue(struct sw_cuda *cuda, int to, const float *d_to, int from,
                                   float *d_from, int64_t n, double seconds)
{
    ncclResult_t result = ncclGroupStart(), ended;
    if (result == ncclSuccess && from >= 0)
        result = ncclRecv(d_from, (size_t)n, ncclFloat, from, cuda->comm, cuda->compute);
    if ((result == ncclSuccess || result == ncclInProgress) && to >= 0)
        result = ncclSend(d_to, (size_t)n, ncclFloat, to, cuda->comm, cuda->compute);
    ended = ncclGroupEnd();
    if (result == ncclSuccess || result == ncclInProgress)
        result = ended;
    return nccl_wait(cuda, result, seconds, to >= 0 ? "ncclSend" : "ncclRecv");
}

static enum sw_status nccl_test_links(struct sw_cuda *cuda, int from, int to, double seconds)
{
    float *d_to = (float *)(void *)cuda->work, *d_from = d_to + TEST_FLOATS;
    float sent[TEST_FLOATS], came[TEST_FLOATS];
    assert(cuda->work_bytes >= 2 * sizeof sent);
    for (int i = 0; i < TEST_FLOATS; i++)
        sent[i] = (float)(i + 1);
    SW_TRY(sw_cuda_upload(&cuda->base, d_to, sent, sizeof sent));
    SW_TRY(nccl_enqueue(cuda, to, d_to, from, d_from, TEST_FLOATS, seconds));
    SW_TRY(sw_cuda_wait_within(cuda, NULL, seconds));
    if (from < 0)
        return SW_OK;
    SW_TRY(sw_cuda_download(&cuda->base, came, d_from, sizeof came));
    if (memcmp(sent, came, sizeof sent) == 0)
        return SW_OK;
    return sw_fail(
        SW_EDEVICE,
        "GPU %d (%s): NCCL delivers other values than were sent, so its path between these "
        "GPUs does not work; NCCL_P2P_DISABLE=1 avoids one path, --transport mpi does "
        "without NCCL",
        cuda->options.device, cuda->name);
}

static enum sw_status nccl_warm_up(struct sw_backend *b, int from, int to, double seconds)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    SW_TRY(sw_cuda_enter(cuda));
    return from < 0 && to < 0 ? SW_OK
                              : nccl_or_abort(cuda, nccl_test_links(cuda, from, to, seconds));
}

/* A failure is recorded. */
static enum sw_status nccl_move(struct sw_cuda *cuda, int to, const float *d_to, int from,
                                float *d_from, int64_t n)
{
    const double seconds = cuda->wait_hook.seconds > 0 ? cuda->wait_hook.seconds : SW_GPU_WAIT_S;
    SW_TRY(sw_cuda_enter(cuda));
    assert(cuda->comm);
    const enum sw_status status = nccl_enqueue(cuda, to, d_to, from, d_from, n, seconds);
    if (status == SW_OK)
        return SW_OK;
    (void)sw_cuda_record(cuda, status);
    sw_cuda_links_abort(cuda);
    return sw_cuda_status(cuda);
}

static enum sw_status nccl_send(struct sw_backend *b, int to, const float *d_x, int64_t n)
{
    return nccl_move(sw_cuda_of(b), to, d_x, -1, NULL, n);
}

static enum sw_status nccl_receive(struct sw_backend *b, int from, float *d_x, int64_t n)
{
    return nccl_move(sw_cuda_of(b), -1, NULL, from, d_x, n);
}

const struct sw_gpu_link_ops *sw_cuda_links(void)
{
    static const struct sw_gpu_link_ops ops = {.version = nccl_version,
                                               .make_id = nccl_make_id,
                                               .join = nccl_join,
                                               .warm_up = nccl_warm_up,
                                               .send = nccl_send,
                                               .receive = nccl_receive,
                                               .leave = sw_cuda_links_leave};
    return &ops;
}

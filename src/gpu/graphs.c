/*
 * Owns operations that come again with every token, kept as CUDA graphs: a step is one call then
 * instead of hundreds of launches. Launchers are told spans that follow from a graph's key alone
 * (one row each, as far along as the key reaches), so nothing that is recorded can depend on more
 * than the key; where the rows really are, kernels read in device memory.
 */
#include "gpu/cuda.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"

/* Below so many positions attention is launched alike, so a smaller bucket would be of no use. */
#define LEAST_REACH 256
/* By others' reports a node takes some 25 KiB of device memory, and with drivers of 2021 took 64.
 */
#define NODE_BYTES ((size_t)64 << 10)
#define MOST_NODES ((size_t)(SW_GPU_GRAPH_BYTES / NODE_BYTES))
/* What was used so few turns ago stays: were there more that alternate than have room, each would
 * be recorded anew every time. And none that goes is still under way. */
#define LATELY 64

/* ---- which steps are alike */

struct key {
    int64_t id, position_bucket;
    int rows;
};

/* Rows one behind the other, each of a sequence of its own: what decoding has. */
static bool are_single_rows(const struct sw_gpu_sequence *q)
{
    if (q->n_spans < 1 || q->n_spans > SW_GPU_GEMV_ROWS)
        return false;
    for (int i = 0; i < q->n_spans; i++)
        if (q->spans[i].n != 1 || q->spans[i].row != i)
            return false;
    return true;
}

/* Positions that the spans stay within, as a power of two, so that a graph serves for long. */
static int64_t reach_of(const struct sw_gpu_sequence *q)
{
    int64_t reach = LEAST_REACH;
    for (int i = 0; i < q->n_spans; i++)
        while (reach <= q->spans[i].position)
            reach *= 2;
    return reach;
}

static struct key key_of(const struct sw_gpu_sequence *q)
{
    return (struct key){.id = q->id, .position_bucket = reach_of(q), .rows = q->n_spans};
}

static void graphs_tell(struct sw_cuda_graphs *g, const struct key *key)
{
    for (int i = 0; i < key->rows; i++)
        g->told[i] = (struct sw_gpu_span){.n = 1, .position = key->position_bucket - 1, .row = i};
    g->n_told = key->rows;
}

/* ---- what is kept */

static void graphs_drop(struct sw_cuda_graphs *g, struct sw_cuda_graph *graph)
{
    if (graph->exec) {
        (void)cudaGraphExecDestroy(graph->exec);
        g->nodes -= graph->nodes;
    }
    *graph = (struct sw_cuda_graph){0};
}

void sw_cuda_graphs_forget(struct sw_cuda *cuda)
{
    for (int i = 0; i < SW_CUDA_GRAPHS; i++)
        graphs_drop(&cuda->graphs, &cuda->graphs.kept[i]);
}

static bool is_lately_used(const struct sw_cuda_graphs *g, const struct sw_cuda_graph *graph)
{
    return graph->used > 0 && graph->used + LATELY > g->turn;
}

/* The one of the key, which is new when `used` is 0; NULL: all places are in use. */
static struct sw_cuda_graph *graphs_find(struct sw_cuda_graphs *g, const struct key *key)
{
    struct sw_cuda_graph *oldest = NULL;
    for (int i = 0; i < SW_CUDA_GRAPHS; i++) {
        struct sw_cuda_graph *graph = &g->kept[i];
        if (graph->used > 0 && graph->id == key->id &&
            graph->position_bucket == key->position_bucket && graph->rows == key->rows)
            return graph;
        if (!oldest || graph->used < oldest->used)
            oldest = graph;
    }
    if (is_lately_used(g, oldest))
        return NULL;
    graphs_drop(g, oldest);
    oldest->id = key->id;
    oldest->position_bucket = key->position_bucket;
    oldest->rows = key->rows;
    return oldest;
}

/* The graph that has been of no use for longest; NULL: all were used lately. */
static struct sw_cuda_graph *least_useful(struct sw_cuda_graphs *g)
{
    struct sw_cuda_graph *oldest = NULL;
    for (int i = 0; i < SW_CUDA_GRAPHS; i++)
        if (g->kept[i].exec && !is_lately_used(g, &g->kept[i]) &&
            (!oldest || g->kept[i].used < oldest->used))
            oldest = &g->kept[i];
    return oldest;
}

/* Room for so many nodes, others' if need be; false: there is none. */
static bool graphs_make_room(struct sw_cuda_graphs *g, size_t nodes)
{
    while (g->nodes + nodes > MOST_NODES) {
        struct sw_cuda_graph *graph = least_useful(g);
        if (!graph || nodes > MOST_NODES)
            return false;
        graphs_drop(g, graph);
    }
    return true;
}

/* ---- recording */

static void tell_cost(const struct sw_cuda *cuda, const struct sw_cuda_graph *graph, double began,
                      size_t free_before)
{
    char label[96], took[16];
    size_t free_now = 0, total = 0;
    (void)cudaMemGetInfo(&free_now, &total);
    sw_log(SW_LOG_DEBUG,
           "%s: steps of %d rows below position %lld are kept as a graph of %zu launches, which "
           "took %.2f ms to make and %s of memory",
           sw_cuda_label(cuda, label, sizeof label), graph->rows, (long long)graph->position_bucket,
           graph->nodes, (sw_clock() - began) * 1e3,
           sw_size_format(free_before > free_now ? free_before - free_now : 0, took, sizeof took));
}

static enum sw_status instantiate(struct sw_cuda *cuda, cudaGraph_t recorded,
                                  struct sw_cuda_graph *graph)
{
    cudaGraphExec_t exec;
    size_t free_bytes = 0, total = 0;
    CUDA_TRY(cuda, cudaGraphGetNodes(recorded, NULL, &graph->nodes));
    if (!graphs_make_room(&cuda->graphs, graph->nodes))
        return SW_OK;
    CUDA_TRY(cuda, cudaMemGetInfo(&free_bytes, &total));
    const double began = sw_clock();
    CUDA_TRY(cuda, cudaGraphInstantiate(&exec, recorded, 0));
    graph->exec = exec;
    cuda->graphs.nodes += graph->nodes;
    tell_cost(cuda, graph, began, free_bytes);
    return SW_OK;
}

/* Calls of other threads are none of ours, hence THREAD_LOCAL; what we may not call ourselves fails
 * and is noticed. */
static enum sw_status record(struct sw_cuda *cuda, const struct sw_gpu_sequence *q,
                             struct sw_cuda_graph *graph)
{
    cudaGraph_t recorded = NULL;
    CUDA_TRY(cuda, cudaStreamBeginCapture(cuda->compute, cudaStreamCaptureModeThreadLocal));
    cuda->graphs.recording = true;
    enum sw_status status = q->enqueue(q->context);
    cuda->graphs.recording = false;
    const cudaError_t ended = cudaStreamEndCapture(cuda->compute, &recorded);
    if (cuda->status != SW_OK)
        status = sw_cuda_status(cuda);
    else if (status == SW_OK && ended != cudaSuccess)
        status = sw_cuda_failed(cuda, ended, "cudaStreamEndCapture", __FILE__, __LINE__);
    else if (status == SW_OK)
        status = instantiate(cuda, recorded, graph);
    if (recorded)
        (void)cudaGraphDestroy(recorded);
    (void)cudaGetLastError();
    return status;
}

/*
 * Something about graphs has failed, and the backend has recorded it. Nothing was computed, so all
 * is well if the plain way works; if the device itself is at fault that fails, too.
 */
static enum sw_status graphs_give_up(struct sw_cuda *cuda)
{
    char label[96];
    enum cudaStreamCaptureStatus state = cudaStreamCaptureStatusNone;
    if (cudaStreamIsCapturing(cuda->compute, &state) != cudaSuccess ||
        state != cudaStreamCaptureStatusNone)
        return sw_cuda_status(cuda); /* what is enqueued now would be lost */
    sw_log(SW_LOG_WARN,
           "%s: steps cannot be repeated as CUDA graphs, so their kernels are launched one by one "
           "from now on, which may be slower: %s",
           sw_cuda_label(cuda, label, sizeof label), cuda->error);
    cuda->status = SW_OK;
    cuda->graphs.off = true;
    sw_cuda_graphs_forget(cuda);
    return SW_OK;
}

/* ---- repeating */

/* Has the graph done, recorded first if need be; *done: it was. The first time it is left to the
 * plain way: what CUDA loads when a kernel is first used may not be loaded while recording, and
 * what comes once only is not worth it. */
static enum sw_status by_graph(struct sw_cuda *cuda, const struct sw_gpu_sequence *q,
                               struct sw_cuda_graph *graph, bool *done)
{
    const bool is_new = graph->used == 0, recorded = graph->exec != NULL;
    graph->used = cuda->graphs.turn;
    if (is_new || (!recorded && !graphs_make_room(&cuda->graphs, graph->nodes)))
        return SW_OK;
    if (!recorded)
        SW_TRY(record(cuda, q, graph));
    if (!graph->exec)
        return SW_OK;
    CUDA_TRY(cuda, cudaGraphLaunch(graph->exec, cuda->compute));
    cuda->graphs.replays += recorded;
    *done = true;
    return SW_OK;
}

static enum sw_status repeat_rows(struct sw_cuda *cuda, const struct sw_gpu_sequence *q)
{
    struct sw_cuda_graphs *g = &cuda->graphs;
    const struct key key = key_of(q);
    bool done = false;
    g->turn++;
    graphs_tell(g, &key);
    struct sw_cuda_graph *graph = graphs_find(g, &key);
    const enum sw_status status = graph ? by_graph(cuda, q, graph, &done) : SW_OK;
    if (status != SW_OK)
        SW_TRY(cuda->status == SW_OK ? status : graphs_give_up(cuda));
    return done ? SW_OK : q->enqueue(q->context);
}

enum sw_status sw_cuda_replay(struct sw_backend *b, const struct sw_gpu_sequence *q)
{
    struct sw_cuda *cuda = sw_cuda_of(b);
    struct sw_gpu_batch batch;
    SW_TRY(sw_cuda_enter(cuda));
    if (cuda->options.no_graphs || cuda->graphs.off || !are_single_rows(q))
        return q->enqueue(q->context);
    /* Now, because a copy that is recorded would send the same again each time. */
    SW_TRY(sw_cuda_spans_send(cuda, q->spans, q->n_spans, &batch));
    const enum sw_status status = repeat_rows(cuda, q);
    cuda->graphs.n_told = 0;
    return status;
}

enum sw_status sw_cuda_recordable(struct sw_cuda *cuda, const char *what)
{
    if (!cuda->graphs.recording)
        return SW_OK;
    return sw_cuda_record(cuda, sw_fail(SW_EDEVICE,
                                        "GPU %d: %s among operations that are to be repeated; a "
                                        "fault of this program, please report it",
                                        cuda->options.device, what));
}

uint64_t sw_cuda_replays(const struct sw_backend *b)
{
    return ((const struct sw_cuda *)(const void *)b)->graphs.replays;
}

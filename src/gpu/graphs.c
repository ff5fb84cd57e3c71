/*
 * Owns the capture and replay of operations that come with every token. As a CUDA graph, a step is
 * one call instead of hundreds of launches. Launchers get spans that follow from the graph's key
 * alone (one row each, at the end of the position bucket), so nothing captured depends on more than
 * the key. Kernels read the real positions in device memory.
 */
#include "gpu/cuda.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"

/* The smallest position bucket: below it, attention is launched the same way. */
#define LEAST_BUCKET 256
/* Device memory of a node: some 25 KiB by others' reports, 64 with drivers of 2021. */
#define NODE_BYTES ((size_t)64 << 10)
#define MOST_NODES ((size_t)(SW_GPU_GRAPH_BYTES / NODE_BYTES))
/* Graphs used in the last LATELY turns are kept. If more steps alternate than there is room for,
 * dropping them would mean capturing each every time. No graph that is dropped is under way. */
#define LATELY 64

/* ---- keys */

struct key {
    int64_t id, position_bucket;
    int rows;
};

/* Whether the spans are consecutive single rows, as in decoding. */
static bool are_single_rows(const struct sw_gpu_sequence *q)
{
    if (q->n_spans < 1 || q->n_spans > SW_GPU_GEMV_ROWS)
        return false;
    for (int i = 0; i < q->n_spans; i++)
        if (q->spans[i].n != 1 || q->spans[i].row != i)
            return false;
    return true;
}

/* The position bucket: a power of two above all positions of the spans, so that it rarely changes.
 */
static int64_t position_bucket_of(const struct sw_gpu_sequence *q)
{
    int64_t bucket = LEAST_BUCKET;
    for (int i = 0; i < q->n_spans; i++)
        while (bucket <= q->spans[i].position)
            bucket *= 2;
    return bucket;
}

static struct key key_of(const struct sw_gpu_sequence *q)
{
    return (struct key){.id = q->id, .position_bucket = position_bucket_of(q), .rows = q->n_spans};
}

static void graphs_set_spans(struct sw_cuda_graphs *g, const struct key *key)
{
    for (int i = 0; i < key->rows; i++)
        g->bucket_spans[i] =
            (struct sw_gpu_span){.n = 1, .position = key->position_bucket - 1, .row = i};
    g->n_bucket_spans = key->rows;
}

/* ---- graphs that are kept */

static void graphs_drop(struct sw_cuda_graphs *g, struct sw_cuda_graph *graph)
{
    if (graph->exec) {
        (void)cudaGraphExecDestroy(graph->exec);
        g->nodes -= graph->nodes;
    }
    *graph = (struct sw_cuda_graph){0};
}

void sw_cuda_graphs_clear(struct sw_cuda *cuda)
{
    for (int i = 0; i < SW_CUDA_GRAPHS; i++)
        graphs_drop(&cuda->graphs, &cuda->graphs.kept[i]);
}

static bool is_lately_used(const struct sw_cuda_graphs *g, const struct sw_cuda_graph *graph)
{
    return graph->used > 0 && graph->used + LATELY > g->turn;
}

/* The entry of the key, which is new when `used` is 0. NULL: all entries were used lately. */
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

/* The graph that was not used for longest; NULL: all were used lately. */
static struct sw_cuda_graph *least_useful(struct sw_cuda_graphs *g)
{
    struct sw_cuda_graph *oldest = NULL;
    for (int i = 0; i < SW_CUDA_GRAPHS; i++)
        if (g->kept[i].exec && !is_lately_used(g, &g->kept[i]) &&
            (!oldest || g->kept[i].used < oldest->used))
            oldest = &g->kept[i];
    return oldest;
}

/* Makes room for `nodes`, by dropping other graphs if needed. False: there is no room. */
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

/* ---- capture */

static void graphs_log_cost(const struct sw_cuda *cuda, const struct sw_cuda_graph *graph,
                            double began, size_t free_before)
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

static enum sw_status graphs_instantiate(struct sw_cuda *cuda, cudaGraph_t captured,
                                         struct sw_cuda_graph *graph)
{
    cudaGraphExec_t exec;
    size_t free_bytes = 0, total = 0;
    CUDA_TRY(cuda, cudaGraphGetNodes(captured, NULL, &graph->nodes));
    if (!graphs_make_room(&cuda->graphs, graph->nodes))
        return SW_OK;
    CUDA_TRY(cuda, cudaMemGetInfo(&free_bytes, &total));
    const double began = sw_clock();
    CUDA_TRY(cuda, cudaGraphInstantiate(&exec, captured, 0));
    graph->exec = exec;
    cuda->graphs.nodes += graph->nodes;
    graphs_log_cost(cuda, graph, began, free_bytes);
    return SW_OK;
}

/* THREAD_LOCAL: calls of other threads do not affect the capture. Calls of this thread that cannot
 * be captured fail. */
static enum sw_status graphs_capture(struct sw_cuda *cuda, const struct sw_gpu_sequence *q,
                                     struct sw_cuda_graph *graph)
{
    cudaGraph_t captured = NULL;
    CUDA_TRY(cuda, cudaStreamBeginCapture(cuda->compute, cudaStreamCaptureModeThreadLocal));
    cuda->graphs.capturing = true;
    enum sw_status status = q->enqueue(q->context);
    cuda->graphs.capturing = false;
    const cudaError_t ended = cudaStreamEndCapture(cuda->compute, &captured);
    if (cuda->status != SW_OK)
        status = sw_cuda_status(cuda);
    else if (status == SW_OK && ended != cudaSuccess)
        status = sw_cuda_failed(cuda, ended, "cudaStreamEndCapture", __FILE__, __LINE__);
    else if (status == SW_OK)
        status = graphs_instantiate(cuda, captured, graph);
    if (captured)
        (void)cudaGraphDestroy(captured);
    (void)cudaGetLastError();
    return status;
}

/*
 * Drops graphs after one has failed, and clears the recorded failure. Nothing was computed, so the
 * operations can be enqueued one by one; if the device itself is at fault, that fails, too.
 */
static enum sw_status graphs_give_up(struct sw_cuda *cuda)
{
    char label[96];
    enum cudaStreamCaptureStatus state = cudaStreamCaptureStatusNone;
    if (cudaStreamIsCapturing(cuda->compute, &state) != cudaSuccess ||
        state != cudaStreamCaptureStatusNone)
        return sw_cuda_status(cuda); /* what is enqueued now would be captured, not computed */
    sw_log(SW_LOG_WARN,
           "%s: steps cannot be repeated as CUDA graphs, so their kernels are launched one by one "
           "from now on, which may be slower: %s",
           sw_cuda_label(cuda, label, sizeof label), cuda->error);
    cuda->status = SW_OK;
    cuda->graphs.off = true;
    sw_cuda_graphs_clear(cuda);
    return SW_OK;
}

/* ---- replay */

/* Launches the graph, which is captured first if needed; *done: it was launched. A key that comes
 * for the first time is not captured: it may never come again, and code that CUDA loads at a
 * kernel's first launch may not be loaded during a capture. */
static enum sw_status graphs_launch(struct sw_cuda *cuda, const struct sw_gpu_sequence *q,
                                    struct sw_cuda_graph *graph, bool *done)
{
    const bool is_new = graph->used == 0, captured = graph->exec != NULL;
    graph->used = cuda->graphs.turn;
    if (is_new || (!captured && !graphs_make_room(&cuda->graphs, graph->nodes)))
        return SW_OK;
    if (!captured)
        SW_TRY(graphs_capture(cuda, q, graph));
    if (!graph->exec)
        return SW_OK;
    CUDA_TRY(cuda, cudaGraphLaunch(graph->exec, cuda->compute));
    cuda->graphs.replays += captured;
    *done = true;
    return SW_OK;
}

static enum sw_status graphs_replay_rows(struct sw_cuda *cuda, const struct sw_gpu_sequence *q)
{
    struct sw_cuda_graphs *g = &cuda->graphs;
    const struct key key = key_of(q);
    bool done = false;
    g->turn++;
    graphs_set_spans(g, &key);
    struct sw_cuda_graph *graph = graphs_find(g, &key);
    const enum sw_status status = graph ? graphs_launch(cuda, q, graph, &done) : SW_OK;
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
    /* Before the capture, because a captured copy would send the same spans at each replay. */
    SW_TRY(sw_cuda_spans_send(cuda, q->spans, NULL, q->n_spans, &batch));
    const enum sw_status status = graphs_replay_rows(cuda, q);
    cuda->graphs.n_bucket_spans = 0;
    return status;
}

enum sw_status sw_cuda_check_capture(struct sw_cuda *cuda, const char *what)
{
    if (!cuda->graphs.capturing)
        return SW_OK;
    return sw_cuda_record(cuda, sw_fail(SW_EDEVICE,
                                        "GPU %d: %s cannot be captured in a CUDA graph; a "
                                        "fault of this program, please report it",
                                        cuda->options.device, what));
}

uint64_t sw_cuda_replays(const struct sw_backend *b)
{
    return ((const struct sw_cuda *)(const void *)b)->graphs.replays;
}

/* Owns the order of a probe: each rank measures, at the same time as the others of its node. */
#include "probe/probe.h"
#include "base/clock.h"
#include "base/cpu_amx.h"
#include "base/cpu_info.h"
#include "base/pool.h"
#include "base/version.h"
#include "probe/gpu.h"
#include "probe/gpu_copying.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shares of options.seconds; the rest is for touching memory and waiting for other ranks. */
#define TOUCH 0.30
#define TOGETHER 0.15
#define ALONE 0.10
#define COMPUTE 0.10
#define ATTEND 0.05
#define DISK 0.20
#define LINK 0.20
/* What layers from disk reach of the disk's rate: packing takes more than a copy, and at the end of
 * each layer fewer pieces are under way. Measured: docs/SPEED.md, "Layers from disk". */
#define LAYERS_SHARE 0.84
#define BRIEF_S 0.02          /* for hops when no time is given: a small model waits for them */
#define PRODUCT_SHARE 0.8     /* rate of a prompt's products over that in registers (SPEED.md) */
#define BLOCK_MIN (64u << 20) /* least bytes of all blocks of a node */
#define COPY_MOST ((size_t)256 << 20) /* bytes of memory that are pinned to copy from */
#define BLOCK_CACHES 2 /* least size of all blocks of a node, in its last-level caches */

static enum sw_status probe_read_machine(const struct sw_probe_options *options,
                                         struct sw_probe_rank *info)
{
    const char *root = options->root ? options->root : "";
    snprintf(info->version, sizeof info->version, "%s", sw_version());
    sw_cpu_name_read(root, info->cpu, sizeof info->cpu);
    info->isa = (int32_t)sw_cpu_isa();
    info->amx = sw_cpu_has_amx();
    info->shares = options->share_gpus;
    SW_TRY(sw_cpu_share_read(root, &info->cores));
    return sw_memory_read(root, &info->memory);
}

/* Lists the GPUs that this rank sees: *gpus (info->n_seen), the caller frees. */
static enum sw_status probe_list_gpus(const char *root, struct sw_probe_rank *info,
                                      struct sw_gpu **gpus)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    char unsuited[SW_GPU_WHY_MAX];
    int n = 0;
    *gpus = calloc(SW_MAX_DEVICES, sizeof **gpus);
    if (!*gpus)
        return sw_fail(SW_ENOMEM, "no memory for the list of GPUs");
    SW_TRY(sw_gpu_list(*gpus, &n, unsuited));
    info->n_seen = n;
    info->nccl = n > 0 ? sw_gpu_nccl() : 0;
    for (int i = 0; i < n; i++)
        memcpy(info->seen[i], (*gpus)[i].bus, SW_GPU_BUS);
    snprintf(info->visible, sizeof info->visible, "%s", visible ? visible : "");
    const char *why = unsuited;
    info->n_unused = *unsuited ? sw_gpu_in_driver(root) : sw_gpu_unused(root, &why);
    if (info->n_unused || *unsuited)
        snprintf(info->unused_why, sizeof info->unused_why, "%.*s",
                 (int)sizeof info->unused_why - 1, why);
    return SW_OK;
}

/* How this rank drives its GPU. */
struct gpu_share {
    int sharers;         /* number of ranks that drive it */
    bool beside_context; /* see struct sw_gpu */
};

/* Takes this rank's GPU, when all ranks have exchanged theirs; without one *share is unchanged. */
static enum sw_status probe_take_gpu(const struct sw_probe *probe, int rank,
                                     const struct sw_gpu *gpus, struct sw_probe_rank *info,
                                     struct gpu_share *share)
{
    int *choice = malloc((size_t)probe->n_ranks * sizeof *choice);
    if (!choice)
        return sw_fail(SW_ENOMEM, "no memory for %d ranks", probe->n_ranks);
    sw_probe_assign_gpus(probe, choice);
    info->device = choice[rank];
    if (choice[rank] >= 0) {
        struct sw_device *device = &info->devices[info->n_devices++];
        *device = gpus[choice[rank]].device;
        share->sharers = sw_probe_sharers(probe, choice, rank);
        share->beside_context = gpus[choice[rank]].beside_context;
        device->free /= (uint64_t)share->sharers;
    }
    free(choice);
    return SW_OK;
}

/* Adds networks that hosts cannot reach to the warnings. */
static enum sw_status probe_try_networks(struct sw_transport *t, struct sw_probe *probe)
{
    struct sw_strbuf text = {0};
    SW_TRY(sw_probe_connectivity(t, &text));
    probe->warnings = text.text;
    return SW_OK;
}

/* What all ranks have measured, to all ranks. */
static enum sw_status probe_exchange(struct sw_transport *t, const struct sw_probe_rank *info,
                                     struct sw_probe *probe)
{
    void *all;
    SW_TRY(sw_transport_allgather(t, info, sizeof *info, &all));
    free(probe->ranks);
    probe->ranks = all;
    return SW_OK;
}

static size_t read_block_bytes(const struct sw_probe *probe, uint64_t most, int rank)
{
    const struct sw_probe_rank *info = &probe->ranks[rank];
    uint64_t bytes = info->cores.cache_bytes * BLOCK_CACHES;
    uint64_t ranks = 0;
    for (int i = 0; i < probe->n_ranks; i++)
        ranks += probe->hosts[i].node == probe->hosts[rank].node;
    if (bytes < BLOCK_MIN)
        bytes = BLOCK_MIN;
    if (bytes > info->memory.available / 8)
        bytes = info->memory.available / 8;
    if (bytes > info->memory.cgroup_free / 4)
        bytes = info->memory.cgroup_free / 4;
    if (most > 0 && bytes > most)
        bytes = most;
    return (size_t)(bytes / ranks);
}

static bool first_on_node(const struct sw_probe *probe, int rank)
{
    for (int i = 0; i < rank; i++)
        if (probe->hosts[i].node == probe->hosts[rank].node)
            return false;
    return true;
}

/* Whether any rank sees a GPU; then all ranks take part in measuring. */
static bool any_gpu(const struct sw_probe *probe)
{
    for (int i = 0; i < probe->n_ranks; i++)
        if (probe->ranks[i].n_seen)
            return true;
    return false;
}

/* All ranks of a node read at the same time, while their GPUs copy from the same memory. */
static enum sw_status measure_both(struct sw_transport *t, struct sw_read_block *block,
                                   double seconds, struct sw_probe_rank *info)
{
    size_t bytes;
    void *memory = sw_read_block_memory(block, &bytes);
    bytes = bytes < COPY_MOST ? bytes : COPY_MOST;
    struct sw_gpu_copying *copying =
        info->n_devices ? sw_gpu_copying_start(info->device, memory, bytes) : NULL;
    enum sw_status status = sw_transport_barrier(t);
    const double read = status == SW_OK ? sw_read_block_rate(block, seconds) : 0;
    const double copied = sw_gpu_copying_stop(copying);
    if (read > 0 && (copied > 0 || !info->n_devices))
        info->both_bandwidth = read + copied;
    return status == SW_OK ? sw_transport_barrier(t) : status;
}

static bool alone_on_node(const struct sw_probe *probe, int rank)
{
    int ranks = 0;
    for (int i = 0; i < probe->n_ranks; i++)
        ranks += probe->hosts[i].node == probe->hosts[rank].node;
    return ranks == 1;
}

static enum sw_status measure_memory(struct sw_transport *t, const struct sw_probe_options *options,
                                     const struct sw_probe *probe, struct sw_pool *pool,
                                     struct sw_probe_rank *info)
{
    const double seconds = options->seconds;
    struct sw_read_block *block;
    SW_TRY(sw_read_block_create(pool, read_block_bytes(probe, options->memory, t->rank),
                                seconds * TOUCH, &block));
    enum sw_status status = sw_transport_barrier(t);
    if (status == SW_OK) {
        info->read_bandwidth = sw_read_block_rate(block, seconds * TOGETHER);
        status = sw_transport_barrier(t);
    }
    if (status == SW_OK) {
        if (alone_on_node(probe, t->rank))
            info->alone_bandwidth = info->read_bandwidth;
        else if (first_on_node(probe, t->rank))
            info->alone_bandwidth = sw_read_block_rate(block, seconds * ALONE);
        status = sw_transport_barrier(t);
    }
    if (status == SW_OK && any_gpu(probe))
        status = measure_both(t, block, seconds * TOGETHER, info);
    if (status == SW_OK && options->attention.head_dim > 0) {
        info->attend_decode = sw_attend_decode_rate(block, &options->attention, seconds * ATTEND);
        status = sw_transport_barrier(t);
    }
    sw_read_block_free(block);
    SW_TRY(status);
    info->flops = PRODUCT_SHARE * sw_compute_rate(pool, options->format, seconds * COMPUTE);
    if (options->attention.head_dim > 0)
        info->attend = sw_attend_rate(pool, &options->attention, seconds * ATTEND);
    return sw_transport_barrier(t);
}

/* A disk that cannot be measured is no failure: the default is used. */
static enum sw_status measure_disk(struct sw_transport *t, const char *path, double seconds,
                                   struct sw_probe_rank *info)
{
    SW_TRY(sw_transport_barrier(t));
    if (sw_disk_rate(path, t->rank, t->size, seconds, &info->disk_bandwidth) != SW_OK) {
        info->disk_bandwidth = 0;
        sw_error_clear();
    }
    return sw_transport_barrier(t);
}

/* All ranks of a node measure at the same time, because they share its bus. */
static enum sw_status measure_gpu(struct sw_transport *t, struct sw_probe_rank *info,
                                  const struct gpu_share *share)
{
    SW_TRY(sw_transport_barrier(t));
    if (info->n_devices)
        sw_gpu_measure(info->device, &info->devices[0], &info->to_device);
    SW_TRY(sw_transport_barrier(t));
    if (info->n_devices)
        sw_gpu_correct(info->device, share->sharers, share->beside_context, &info->devices[0]);
    return SW_OK;
}

static enum sw_status probe_measure(struct sw_transport *t, const struct sw_probe_options *options,
                                    const struct sw_probe *probe, const struct gpu_share *share,
                                    struct sw_probe_rank *info)
{
    int *cores, n;
    struct sw_pool *pool;
    SW_TRY(sw_probe_cores(probe, t->rank, false, &cores, &n));
    const int most = probe->ranks[t->rank].cores.n_bound;
    info->threads =
        options->threads > 0 ? options->threads : sw_probe_threads(probe, t->rank, false, n);
    if (info->threads > most)
        info->threads = most; /* more would measure one after the other */
    if (options->seconds <= 0) {
        free(cores);
        return t->size > 1 ? sw_hop_measure(t, BRIEF_S, &info->link_latency, NULL) : SW_OK;
    }
    enum sw_status status = sw_pool_create(info->threads, NULL, 0, &pool);
    free(cores);
    SW_TRY(status);
    status = measure_memory(t, options, probe, pool, info);
    sw_pool_free(pool);
    if (status == SW_OK && any_gpu(probe))
        status = measure_gpu(t, info, share);
    if (status == SW_OK && options->path)
        status = measure_disk(t, options->path, options->seconds * DISK, info);
    if (status == SW_OK && t->size > 1)
        status =
            sw_hop_measure(t, options->seconds * LINK, &info->link_latency, &info->link_bandwidth);
    return status;
}

enum sw_status sw_probe_run(struct sw_transport *t, const struct sw_probe_options *options,
                            struct sw_probe *out)
{
    const double begin = sw_clock();
    struct sw_probe_options measured = *options;
    struct sw_probe_rank info;
    memset(&info, 0, sizeof info);
    info.device = -1;
    memset(out, 0, sizeof *out);
    sw_cluster_init(&out->cluster);
    out->n_ranks = t->size;
    out->threads = options->threads;
    out->hosts = malloc((size_t)t->size * sizeof *out->hosts);
    if (!out->hosts)
        return sw_fail(SW_ENOMEM, "no memory for %d ranks", t->size);
    memcpy(out->hosts, t->ranks, (size_t)t->size * sizeof *out->hosts);
    /* Free memory is read before anything is allocated to measure with. */
    struct sw_gpu *gpus = NULL;
    struct gpu_share share = {.sharers = 1};
    enum sw_status status = probe_read_machine(options, &info);
    if (status == SW_OK)
        status = probe_list_gpus(options->root ? options->root : "", &info, &gpus);
    if (status == SW_OK)
        status = probe_exchange(t, &info, out);
    if (status == SW_OK)
        status = probe_take_gpu(out, t->rank, gpus, &info, &share);
    if (status == SW_OK && options->connectivity && t->n_nodes > 1)
        status = probe_try_networks(t, out);
    if (status == SW_OK && t->size == 1 && !any_gpu(out) && options->forced_s > 0)
        measured.seconds = options->forced_s;
    if (status == SW_OK)
        status = probe_measure(t, &measured, out, &share, &info);
    if (status == SW_OK)
        status = probe_exchange(t, &info, out);
    if (status == SW_OK)
        status = sw_probe_cluster(out);
    if (status == SW_OK)
        status = sw_probe_warn(out);
    free(gpus);
    out->seconds = sw_clock() - begin;
    if (status != SW_OK)
        sw_probe_free(out);
    return status;
}

void sw_probe_free(struct sw_probe *probe)
{
    free(probe->ranks);
    free(probe->hosts);
    free(probe->warnings);
    free(probe->problems);
    sw_cluster_free(&probe->cluster);
    memset(probe, 0, sizeof *probe);
}

enum sw_status sw_probe_disk(struct sw_transport *t, const char *path, struct sw_probe *probe)
{
    struct sw_probe_rank info = probe->ranks[t->rank];
    SW_TRY(measure_disk(t, path, SW_PROBE_DISK_S, &info));
    info.disk_bandwidth *= LAYERS_SHARE;
    SW_TRY(probe_exchange(t, &info, probe));
    for (int n = 0, first = 0; n < probe->cluster.n_nodes; n++) {
        struct sw_node *node = &probe->cluster.nodes[n];
        double rate = 0;
        for (int i = first; i < first + node->n_ranks; i++)
            rate += probe->ranks[i].disk_bandwidth;
        if (rate > 0)
            node->disk_bandwidth = rate;
        first += node->n_ranks;
    }
    return SW_OK;
}

static bool core_set_has(const uint64_t *set, int core)
{
    return set[core / 64] >> (core % 64) & 1;
}

enum sw_status sw_probe_cores(const struct sw_probe *probe, int rank, bool alone, int **cores,
                              int *n)
{
    const struct sw_cpu_share *mine = &probe->ranks[rank].cores;
    int sharers = 0, turn = 0, found = 0;
    for (int i = 0; i < probe->n_ranks; i++)
        if (probe->hosts[i].node == probe->hosts[rank].node &&
            memcmp(probe->ranks[i].cores.bound, mine->bound, sizeof mine->bound) == 0) {
            turn += i < rank;
            sharers++;
        }
    int *all = malloc(sizeof *all * (size_t)(mine->n_bound > 0 ? mine->n_bound : 1));
    if (!all)
        return sw_fail(SW_ENOMEM, "no memory for a core list");
    for (int core = 0; core < SW_CPU_MAX && found < mine->n_bound; core++)
        if (core_set_has(mine->bound, core))
            all[found++] = core;
    *cores = all;
    *n = found;
    if (found == 0) {
        free(all);
        return sw_fail(SW_EDEVICE, "rank %d may use no core", rank);
    }
    if (alone)
        return SW_OK;
    const int first = sharers <= found ? found * turn / sharers : turn % found;
    const int end = sharers <= found ? found * (turn + 1) / sharers : first + 1;
    memmove(all, all + first, sizeof *all * (size_t)(end - first));
    *n = end - first;
    return SW_OK;
}

int sw_probe_threads(const struct sw_probe *probe, int rank, bool alone, int n_cores)
{
    const struct sw_cpu_share *mine = &probe->ranks[rank].cores;
    int sharers = 0;
    for (int i = 0; i < probe->n_ranks; i++)
        sharers += probe->hosts[i].node == probe->hosts[rank].node &&
                   probe->ranks[i].cores.quota > 0 &&
                   strcmp(probe->ranks[i].cores.quota_group, mine->quota_group) == 0;
    if (mine->quota <= 0 || sharers == 0)
        return n_cores;
    const double allowed = mine->quota / (alone ? 1 : sharers);
    return allowed >= n_cores ? n_cores : allowed >= 1 ? (int)allowed : 1;
}

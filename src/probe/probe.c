/* Owns the course of a probe: every rank fills its card, together with the others of its node. */
#include "probe/probe.h"
#include "base/clock.h"

#include "base/cpu_info.h"
#include "base/pool.h"
#include "base/version.h"
#include "probe/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shares of the time given; what is left goes into touching memory and waiting for each other. */
#define TOUCH 0.30
#define TOGETHER 0.15
#define ALONE 0.10
#define COMPUTE 0.10
#define ATTEND 0.05
#define DISK 0.20
#define LINK 0.20
#define GLANCE_S 0.02          /* when no time is given: hops are what a small model waits for */
#define PRODUCT_SHARE 0.8      /* of what registers alone reach, in a prompt (docs/SPEED.md) */
#define STREAM_MIN (64u << 20) /* bytes of a node's blocks together */
#define STREAM_CACHES 2        /* … and this many times the largest cache */

static enum sw_status probe_look(const struct sw_probe_options *options, struct sw_probe_rank *card)
{
    const char *root = options->root ? options->root : "";
    snprintf(card->version, sizeof card->version, "%s", sw_version());
    sw_cpu_name_read(root, card->cpu, sizeof card->cpu);
    card->isa = (int32_t)sw_cpu_isa();
    card->shares = options->share_gpus;
    SW_TRY(sw_cpu_share_read(root, &card->cores));
    return sw_memory_read(root, &card->memory);
}

/* What GPUs this rank sees: *gpus (card->n_seen), caller frees. */
static enum sw_status see_devices(const char *root, struct sw_probe_rank *card,
                                  struct sw_gpu **gpus)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    char misfit[SW_GPU_WHY_MAX];
    int n = 0;
    *gpus = calloc(SW_MAX_DEVICES, sizeof **gpus);
    if (!*gpus)
        return sw_fail(SW_ENOMEM, "no memory for the list of GPUs");
    SW_TRY(sw_gpu_list(*gpus, &n, misfit));
    card->n_seen = n;
    card->nccl = n > 0 ? sw_gpu_nccl() : 0;
    for (int i = 0; i < n; i++)
        memcpy(card->seen[i], (*gpus)[i].bus, SW_GPU_BUS);
    snprintf(card->visible, sizeof card->visible, "%s", visible ? visible : "");
    const char *why = misfit;
    card->n_unused = *misfit ? sw_gpu_in_driver(root) : sw_gpu_unused(root, &why);
    if (card->n_unused || *misfit)
        snprintf(card->unused_why, sizeof card->unused_why, "%.*s",
                 (int)sizeof card->unused_why - 1, why);
    return SW_OK;
}

/* The GPU that this rank drives. */
struct deal {
    int sharers; /* ranks that drive it */
    bool beside_context;
};

/* Once all ranks' cards are known; *deal is left alone if there is none for this one. */
static enum sw_status take_device(const struct sw_probe *probe, int rank, const struct sw_gpu *gpus,
                                  struct sw_probe_rank *card, struct deal *deal)
{
    int *choice = malloc((size_t)probe->n_ranks * sizeof *choice);
    if (!choice)
        return sw_fail(SW_ENOMEM, "no memory for %d ranks", probe->n_ranks);
    sw_probe_assign_gpus(probe, choice);
    card->device = choice[rank];
    if (choice[rank] >= 0) {
        struct sw_device *device = &card->devices[card->n_devices++];
        *device = gpus[choice[rank]].device;
        deal->sharers = sw_probe_sharers(probe, choice, rank);
        deal->beside_context = gpus[choice[rank]].beside_context;
        device->free /= (uint64_t)deal->sharers;
    }
    free(choice);
    return SW_OK;
}

/* Adds what the networks between hosts lack to the warnings. */
static enum sw_status try_networks(struct sw_transport *t, struct sw_probe *probe)
{
    struct sw_strbuf text = {0};
    SW_TRY(sw_probe_connectivity(t, &text));
    probe->warnings = text.text;
    return SW_OK;
}

/* Cards of all ranks to all ranks. A card of another size is another program's. */
static enum sw_status exchange(struct sw_transport *t, const struct sw_probe_rank *card,
                               struct sw_probe *probe)
{
    const size_t size = (size_t)t->size;
    void **blocks = calloc(size, sizeof *blocks);
    size_t *lengths = calloc(size, sizeof *lengths);
    struct sw_probe_rank *cards = calloc(size, sizeof *cards);
    enum sw_status status =
        blocks && lengths && cards
            ? sw_transport_gather(t, card, sizeof *card, blocks, lengths)
            : sw_fail(SW_ENOMEM, "no memory for the cards of %d ranks", t->size);
    for (int i = 0; i < t->size && t->rank == 0 && blocks; i++) {
        if (status == SW_OK && lengths[i] != sizeof *card) {
            char name[96];
            status = sw_fail(SW_EUSAGE,
                             "%s runs another version of this program than rank 0 (%s); "
                             "install the same one on all hosts",
                             sw_transport_name(t, i, name, sizeof name), sw_version());
        }
        if (status == SW_OK)
            memcpy(&cards[i], blocks[i], sizeof *card);
        free(blocks[i]);
    }
    free(blocks);
    free(lengths);
    size_t bytes = size * sizeof *cards;
    void *all = cards;
    if (status == SW_OK)
        status = sw_transport_broadcast(t, 0, &all, &bytes);
    if (all != cards || status != SW_OK)
        free(cards);
    if (status != SW_OK)
        return status;
    if (bytes != size * sizeof *cards) {
        free(all);
        return sw_fail(SW_EUSAGE,
                       "rank 0 runs another version of this program than rank %d (%s); "
                       "install the same one on all hosts",
                       t->rank, sw_version());
    }
    free(probe->ranks);
    probe->ranks = all;
    return SW_OK;
}

static size_t stream_bytes(const struct sw_probe *probe, uint64_t most, int rank)
{
    const struct sw_probe_rank *card = &probe->ranks[rank];
    uint64_t bytes = card->cores.cache_bytes * STREAM_CACHES;
    uint64_t ranks = 0;
    for (int i = 0; i < probe->n_ranks; i++)
        ranks += probe->places[i].node == probe->places[rank].node;
    if (bytes < STREAM_MIN)
        bytes = STREAM_MIN;
    if (bytes > card->memory.available / 8)
        bytes = card->memory.available / 8;
    if (bytes > card->memory.cgroup_free / 4)
        bytes = card->memory.cgroup_free / 4;
    if (most > 0 && bytes > most)
        bytes = most;
    return (size_t)(bytes / ranks);
}

static bool first_on_node(const struct sw_probe *probe, int rank)
{
    for (int i = 0; i < rank; i++)
        if (probe->places[i].node == probe->places[rank].node)
            return false;
    return true;
}

static enum sw_status measure_memory(struct sw_transport *t, const struct sw_probe_options *options,
                                     const struct sw_probe *probe, struct sw_pool *pool,
                                     struct sw_probe_rank *card)
{
    const double seconds = options->seconds;
    struct sw_read_block *stream;
    SW_TRY(sw_read_block_create(pool, stream_bytes(probe, options->memory, t->rank),
                                seconds * TOUCH, &stream));
    enum sw_status status = sw_transport_barrier(t);
    if (status == SW_OK) {
        card->read_bandwidth = sw_read_block_rate(stream, seconds * TOGETHER);
        status = sw_transport_barrier(t);
    }
    if (status == SW_OK) {
        if (first_on_node(probe, t->rank))
            card->alone_bandwidth = sw_read_block_rate(stream, seconds * ALONE);
        status = sw_transport_barrier(t);
    }
    sw_read_block_free(stream);
    SW_TRY(status);
    card->flops = PRODUCT_SHARE * sw_compute_rate(pool, options->format, seconds * COMPUTE);
    if (options->attention.head_dim > 0)
        card->attend = sw_attend_rate(pool, &options->attention, seconds * ATTEND);
    return sw_transport_barrier(t);
}

/* A disk that cannot be measured is no reason to fail: the class's default stands in. */
static enum sw_status measure_disk(struct sw_transport *t, const char *path, double seconds,
                                   struct sw_probe_rank *card)
{
    SW_TRY(sw_transport_barrier(t));
    if (sw_disk_rate(path, t->rank, t->size, seconds, &card->disk_bandwidth) != SW_OK) {
        card->disk_bandwidth = 0;
        sw_error_clear();
    }
    return sw_transport_barrier(t);
}

/* All ranks of a node at once, for they share its bus. */
static enum sw_status measure_gpu(struct sw_transport *t, struct sw_probe_rank *card,
                                  const struct deal *deal)
{
    SW_TRY(sw_transport_barrier(t));
    if (card->n_devices)
        sw_gpu_measure(card->device, &card->devices[0], &card->to_device);
    SW_TRY(sw_transport_barrier(t));
    if (card->n_devices)
        sw_gpu_correct(card->device, deal->sharers, deal->beside_context, &card->devices[0]);
    return SW_OK;
}

/* Does any rank drive a GPU? What all do together depends on it. */
static bool any_gpu(const struct sw_probe *probe)
{
    for (int i = 0; i < probe->n_ranks; i++)
        if (probe->ranks[i].n_seen)
            return true;
    return false;
}

static enum sw_status probe_measure(struct sw_transport *t, const struct sw_probe_options *options,
                                    const struct sw_probe *probe, const struct deal *deal,
                                    struct sw_probe_rank *card)
{
    int *cores, n;
    struct sw_pool *pool;
    SW_TRY(sw_probe_cores(probe, t->rank, false, &cores, &n));
    const int most = probe->ranks[t->rank].cores.n_bound;
    card->threads =
        options->threads > 0 ? options->threads : sw_probe_threads(probe, t->rank, false, n);
    if (card->threads > most)
        card->threads = most; /* more would measure one after the other */
    if (options->seconds <= 0) {
        free(cores);
        return t->size > 1 ? sw_hop_measure(t, GLANCE_S, &card->link_latency, NULL) : SW_OK;
    }
    enum sw_status status = sw_pool_create(card->threads, NULL, 0, &pool);
    free(cores);
    SW_TRY(status);
    status = measure_memory(t, options, probe, pool, card);
    sw_pool_free(pool);
    if (status == SW_OK && any_gpu(probe))
        status = measure_gpu(t, card, deal);
    if (status == SW_OK && options->path)
        status = measure_disk(t, options->path, options->seconds * DISK, card);
    if (status == SW_OK && t->size > 1)
        status =
            sw_hop_measure(t, options->seconds * LINK, &card->link_latency, &card->link_bandwidth);
    return status;
}

enum sw_status sw_probe_run(struct sw_transport *t, const struct sw_probe_options *options,
                            struct sw_probe *out)
{
    const double begin = sw_clock();
    struct sw_probe_rank card;
    memset(&card, 0, sizeof card);
    card.device = -1;
    memset(out, 0, sizeof *out);
    sw_cluster_init(&out->cluster);
    out->n_ranks = t->size;
    out->threads = options->threads;
    out->places = malloc((size_t)t->size * sizeof *out->places);
    if (!out->places)
        return sw_fail(SW_ENOMEM, "no memory for %d ranks", t->size);
    memcpy(out->places, t->ranks, (size_t)t->size * sizeof *out->places);
    /* Free memory is read before anything is allocated to measure with. */
    struct sw_gpu *gpus = NULL;
    struct deal deal = {.sharers = 1};
    enum sw_status status = probe_look(options, &card);
    if (status == SW_OK)
        status = see_devices(options->root ? options->root : "", &card, &gpus);
    if (status == SW_OK)
        status = exchange(t, &card, out);
    if (status == SW_OK)
        status = take_device(out, t->rank, gpus, &card, &deal);
    if (status == SW_OK && options->connectivity && t->n_nodes > 1)
        status = try_networks(t, out);
    if (status == SW_OK)
        status = probe_measure(t, options, out, &deal, &card);
    if (status == SW_OK)
        status = exchange(t, &card, out);
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
    free(probe->places);
    free(probe->warnings);
    free(probe->problems);
    sw_cluster_free(&probe->cluster);
    memset(probe, 0, sizeof *probe);
}

static bool has(const uint64_t *set, int core)
{
    return set[core / 64] >> (core % 64) & 1;
}

enum sw_status sw_probe_cores(const struct sw_probe *probe, int rank, bool alone, int **cores,
                              int *n)
{
    const struct sw_cpu_share *mine = &probe->ranks[rank].cores;
    int sharers = 0, turn = 0, found = 0;
    for (int i = 0; i < probe->n_ranks; i++)
        if (probe->places[i].node == probe->places[rank].node &&
            memcmp(probe->ranks[i].cores.bound, mine->bound, sizeof mine->bound) == 0) {
            turn += i < rank;
            sharers++;
        }
    int *all = malloc(sizeof *all * (size_t)(mine->n_bound > 0 ? mine->n_bound : 1));
    if (!all)
        return sw_fail(SW_ENOMEM, "no memory for a core list");
    for (int core = 0; core < SW_CPU_MAX && found < mine->n_bound; core++)
        if (has(mine->bound, core))
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
        sharers += probe->places[i].node == probe->places[rank].node &&
                   probe->ranks[i].cores.quota > 0 &&
                   strcmp(probe->ranks[i].cores.quota_group, mine->quota_group) == 0;
    if (mine->quota <= 0 || sharers == 0)
        return n_cores;
    const double allowed = mine->quota / (alone ? 1 : sharers);
    return allowed >= n_cores ? n_cores : allowed >= 1 ? (int)allowed : 1;
}

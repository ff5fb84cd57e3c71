/* Owns the choice of each link's kind, and the connection of the links between GPUs. */
#include "engine/stage_links.h"

#include "base/log.h"
#include "transport/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What each rank reports to all others. */
struct link_info {
    int32_t version; /* of NCCL; 0: this rank has no GPU or no NCCL */
    int32_t host_only;
    char bus_id[32];
    char network[48]; /* interfaces that NCCL is limited to; "": its own choice */
};

/* The result of connecting a rank's links between GPUs. */
struct link_result {
    int32_t status;
    char text[256];
};

static void links_find(struct sw_stage_links *l)
{
    int before = -1;
    for (int r = 0; r < l->options.transport->size; r++) {
        l->links[r] = (struct sw_stage_link){.to = -1};
        l->member[r] = -1;
        if (l->options.slices[r].count == 0)
            continue;
        if (before >= 0)
            l->links[before].to = r;
        before = r;
    }
}

/* ---- the choice */

static bool same_gpu(const struct sw_transport *t, const struct link_info *infos, int a, int b)
{
    return t->ranks[a].node == t->ranks[b].node && strcmp(infos[a].bus_id, infos[b].bus_id) == 0;
}

/* Why a link must go through host memory; NULL: it can be direct. */
static const char *links_obstacle(const struct sw_stage_links *l, const struct link_info *infos,
                                  int a, int b)
{
    const struct sw_engine_slice *slices = l->options.slices;
    if (!sw_slice_ends_on_gpu(&slices[a]) || !sw_slice_begins_on_gpu(&slices[b]))
        return "ends in host memory";
    if (infos[a].host_only || infos[b].host_only)
        return "--transport mpi";
    if (!infos[a].version || !infos[b].version)
        return "built without NCCL";
    if (infos[a].version != infos[b].version)
        return "different versions of NCCL";
    return same_gpu(l->options.transport, infos, a, b) ? "both on one GPU" : NULL;
}

/* Chooses the direct links and numbers the ranks that have one; *n: how many have. */
static void links_choose(struct sw_stage_links *l, const struct link_info *infos, int *n)
{
    const int size = l->options.transport->size;
    *n = 0;
    for (int r = 0; r < size; r++) {
        struct sw_stage_link *link = &l->links[r];
        if (link->to < 0)
            continue;
        link->why = links_obstacle(l, infos, r, link->to);
        link->direct = !link->why;
        if (link->direct)
            l->member[r] = l->member[link->to] = 0;
    }
    for (int r = 0; r < size; r++)
        if (l->member[r] >= 0)
            l->member[r] = (*n)++;
}

static void links_leave(struct sw_stage_links *l)
{
    struct sw_backend *gpu = l->options.gpu;
    if (gpu && gpu->links)
        gpu->links->leave(gpu);
}

static void links_drop(struct sw_stage_links *l, const char *why)
{
    for (int r = 0; r < l->options.transport->size; r++) {
        if (l->links[r].direct)
            l->links[r].why = why;
        l->links[r].direct = false;
        l->member[r] = -1;
    }
}

/* ---- connecting */

/* Broadcasts the id that the first member makes. *made false: it could not be made. */
static enum sw_status links_broadcast_id(struct sw_stage_links *l, struct sw_gpu_link_id *id,
                                         bool *made)
{
    struct sw_transport *t = l->options.transport;
    int first = 0;
    while (l->member[first] != 0)
        first++;
    void *bytes = id;
    size_t n = sizeof *id;
    if (t->rank == first && l->options.gpu->links->make_id(id) != SW_OK) {
        sw_log(SW_LOG_WARN, "%s", sw_error_message());
        sw_error_clear();
        n = 0;
    }
    SW_TRY(sw_transport_broadcast(t, first, &bytes, &n));
    *made = n == sizeof *id;
    if (bytes != id) {
        if (*made)
            memcpy(id, bytes, sizeof *id);
        free(bytes);
    }
    return SW_OK;
}

static void links_find_neighbours(struct sw_stage_links *l)
{
    const int rank = l->options.transport->rank;
    l->from = l->to = -1;
    if (l->links[rank].direct)
        l->to = l->member[l->links[rank].to];
    for (int r = 0; r < rank; r++)
        if (l->links[r].direct && l->links[r].to == rank)
            l->from = l->member[r];
}

/* Joins the communicator and tests this rank's links. If that fails, *own holds the reason and the
 * job goes on without; only a failure of the job itself is returned. */
static enum sw_status links_connect_own(struct sw_stage_links *l, const struct sw_gpu_link_id *id,
                                        int n, struct link_result *own)
{
    struct sw_transport *t = l->options.transport;
    const struct sw_stage_links_options *o = &l->options;
    const double seconds = SW_START_S(t->options.silence_s);
    if (l->member[t->rank] < 0)
        return SW_OK;
    enum sw_status status = o->gpu->links->join(o->gpu, id, l->member[t->rank], n, seconds);
    if (status == SW_OK)
        status = o->gpu->links->warm_up(o->gpu, l->from, l->to, seconds);
    if (status == SW_OK)
        return SW_OK;
    own->status = (int32_t)status;
    snprintf(own->text, sizeof own->text, "%s", sw_error_message());
    sw_error_clear();
    return sw_transport_alive(t);
}

/* If any rank has failed, all ranks drop the direct links. */
static enum sw_status links_agree(struct sw_stage_links *l, const struct link_result *own)
{
    struct sw_transport *t = l->options.transport;
    void *all;
    SW_TRY(sw_transport_allgather(t, own, sizeof *own, &all));
    const struct link_result *results = all;
    int bad = -1;
    for (int r = t->size - 1; r >= 0; r--)
        if (results[r].status != SW_OK)
            bad = r;
    if (bad >= 0) {
        char name[SW_HOST_MAX + 32];
        if (t->rank == 0)
            sw_log(SW_LOG_WARN, "GPUs exchange data through host memory: %s: %s",
                   sw_transport_name(t, bad, name, sizeof name), results[bad].text);
        links_leave(l);
        links_drop(l, "NCCL failed");
        links_find_neighbours(l);
    }
    free(all);
    return SW_OK;
}

static enum sw_status links_connect(struct sw_stage_links *l, int n)
{
    struct sw_gpu_link_id id;
    struct link_result own = {0};
    bool made;
    SW_TRY(links_broadcast_id(l, &id, &made));
    if (!made) {
        links_drop(l, "NCCL failed");
        return SW_OK;
    }
    links_find_neighbours(l);
    SW_TRY(links_connect_own(l, &id, n, &own));
    return links_agree(l, &own);
}

/* ---- opening and closing */

/* Logs lines like "rank 1 → 2: NCCL 2.28.9, GPU 0000:3b:00.0 on h1 to GPU 0000:3b:00.0 on h2,
 * eth0". */
static void links_log(const struct sw_stage_links *l, const struct link_info *infos)
{
    const struct sw_transport *t = l->options.transport;
    for (int r = 0; r < t->size; r++) {
        const struct sw_stage_link *link = &l->links[r];
        const int to = link->to, v = infos[r].version;
        if (to < 0)
            continue;
        if (!link->direct)
            sw_log(SW_LOG_INFO, "rank %d → %d: MPI (%s)", r, to, link->why);
        else
            sw_log(SW_LOG_INFO, "rank %d → %d: NCCL %d.%d.%d, GPU %s on %s to GPU %s on %s%s%s", r,
                   to, v / 10000, v / 100 % 100, v % 100, infos[r].bus_id, t->ranks[r].host,
                   infos[to].bus_id, t->ranks[to].host,
                   t->ranks[r].node == t->ranks[to].node ? ""
                   : infos[r].network[0]                 ? ", by "
                                                         : ", by a network of NCCL's choice",
                   t->ranks[r].node == t->ranks[to].node ? "" : infos[r].network);
    }
}

static bool any_on_gpu(const struct sw_stage_links *l)
{
    for (int r = 0; r < l->options.transport->size; r++)
        if (l->options.slices[r].gpu_memory > 0 || sw_slice_begins_on_gpu(&l->options.slices[r]) ||
            sw_slice_ends_on_gpu(&l->options.slices[r]))
            return true;
    return false;
}

static struct link_info link_info_of(const struct sw_stage_links_options *o)
{
    struct link_info info = {.version = o->gpu && o->gpu->links ? o->gpu->links->version() : 0,
                             .host_only = o->host_only};
    snprintf(info.bus_id, sizeof info.bus_id, "%s", o->bus_id ? o->bus_id : "");
    if (info.version)
        sw_network_for_nccl(info.network, sizeof info.network);
    return info;
}

enum sw_status sw_stage_links_open(const struct sw_stage_links_options *options,
                                   struct sw_stage_links *l)
{
    struct sw_transport *t = options->transport;
    const struct link_info own = link_info_of(options);
    void *infos;
    int n;
    *l = (struct sw_stage_links){.options = *options, .from = -1, .to = -1};
    l->links = calloc((size_t)t->size, sizeof *l->links);
    l->member = calloc((size_t)t->size, sizeof *l->member);
    if (!l->links || !l->member)
        return sw_fail(SW_ENOMEM, "no memory for the links of %d ranks", t->size);
    links_find(l);
    if (t->size == 1 || !any_on_gpu(l))
        return SW_OK;
    SW_TRY(sw_transport_allgather(t, &own, sizeof own, &infos));
    links_choose(l, infos, &n);
    const enum sw_status status = n > 0 ? links_connect(l, n) : SW_OK;
    if (status == SW_OK && t->rank == 0)
        links_log(l, infos);
    free(infos);
    return status;
}

void sw_stage_links_close(struct sw_stage_links *l)
{
    links_leave(l); /* the transport may be gone by now */
    free(l->links);
    free(l->member);
    *l = (struct sw_stage_links){.from = -1, .to = -1};
}

enum sw_status sw_stage_links_send(struct sw_stage_links *l, const float *d_x, int64_t n)
{
    return l->options.gpu->links->send(l->options.gpu, l->to, d_x, n);
}

enum sw_status sw_stage_links_receive(struct sw_stage_links *l, float *d_x, int64_t n)
{
    return l->options.gpu->links->receive(l->options.gpu, l->from, d_x, n);
}

/* Owns which way each link takes, and the ones between GPUs. */
#include "engine/stage_links.h"

#include "base/log.h"
#include "transport/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What all know of each rank. */
struct card {
    int32_t version; /* of NCCL; 0: none */
    int32_t host_only;
    char bus_id[32];
    char network[48]; /* the interfaces that NCCL was told to use, "": its own choice */
};

/* How a rank has fared with the links between GPUs. */
struct outcome {
    int32_t status;
    char text[256];
};

static void find_edges(struct sw_stage_links *e)
{
    int before = -1;
    for (int r = 0; r < e->options.transport->size; r++) {
        e->links[r] = (struct sw_stage_link){.to = -1};
        e->member[r] = -1;
        if (e->options.slices[r].count == 0)
            continue;
        if (before >= 0)
            e->links[before].to = r;
        before = r;
    }
}

/* Everybody's block of `bytes` on everybody, in rank order; caller frees. */
static enum sw_status links_share(struct sw_transport *t, const void *mine, size_t bytes,
                                  void **all)
{
    const size_t size = (size_t)t->size;
    void **blocks = calloc(size, sizeof *blocks);
    size_t *lengths = calloc(size, sizeof *lengths);
    char *joined = calloc(size, bytes);
    enum sw_status status = blocks && lengths && joined
                                ? sw_transport_gather(t, mine, bytes, blocks, lengths)
                                : sw_fail(SW_ENOMEM, "no memory for %d ranks", t->size);
    for (size_t r = 0; r < size && blocks; r++) {
        if (status == SW_OK && t->rank == 0 && lengths[r] == bytes)
            memcpy(joined + r * bytes, blocks[r], bytes);
        free(blocks[r]);
    }
    free(blocks);
    free(lengths);
    void *out = joined;
    size_t length = size * bytes;
    if (status == SW_OK)
        status = sw_transport_broadcast(t, 0, &out, &length);
    if (out != joined || status != SW_OK)
        free(joined);
    if (status == SW_OK && length != size * bytes) {
        free(out);
        return sw_fail(SW_EPEER, "the ranks do not run the same program; start the same "
                                 "everywhere");
    }
    *all = out;
    return status;
}

/* ---- the choice */

static bool same_gpu(const struct sw_transport *t, const struct card *cards, int a, int b)
{
    return t->ranks[a].node == t->ranks[b].node && strcmp(cards[a].bus_id, cards[b].bus_id) == 0;
}

/* Why a link goes through host memory; NULL: it need not. */
static const char *obstacle(const struct sw_stage_links *e, const struct card *cards, int a, int b)
{
    const struct sw_engine_slice *slices = e->options.slices;
    if (!sw_slice_ends_on_gpu(&slices[a]) || !sw_slice_begins_on_gpu(&slices[b]))
        return "ends in host memory";
    if (cards[a].host_only || cards[b].host_only)
        return "--transport mpi";
    if (!cards[a].version || !cards[b].version)
        return "built without NCCL";
    if (cards[a].version != cards[b].version)
        return "different versions of NCCL";
    return same_gpu(e->options.transport, cards, a, b) ? "both on one GPU" : NULL;
}

/* *n members, all ranks with a direct link. */
static void links_choose(struct sw_stage_links *e, const struct card *cards, int *n)
{
    const int size = e->options.transport->size;
    *n = 0;
    for (int r = 0; r < size; r++) {
        struct sw_stage_link *link = &e->links[r];
        if (link->to < 0)
            continue;
        link->why = obstacle(e, cards, r, link->to);
        link->direct = !link->why;
        if (link->direct)
            e->member[r] = e->member[link->to] = 0;
    }
    for (int r = 0; r < size; r++)
        if (e->member[r] >= 0)
            e->member[r] = (*n)++;
}

static void links_give_up(struct sw_stage_links *e, const char *why)
{
    for (int r = 0; r < e->options.transport->size; r++) {
        if (e->links[r].direct)
            e->links[r].why = why;
        e->links[r].direct = false;
        e->member[r] = -1;
    }
}

/* ---- connecting */

/* From the first member to all; of no bytes when it cannot be made. */
static enum sw_status spread_id(struct sw_stage_links *e, struct sw_gpu_link_id *id, bool *made)
{
    struct sw_transport *t = e->options.transport;
    int first = 0;
    while (e->member[first] != 0)
        first++;
    void *bytes = id;
    size_t n = sizeof *id;
    if (t->rank == first && e->options.ops->make_id(id) != SW_OK) {
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

static void find_neighbours(struct sw_stage_links *e)
{
    const int rank = e->options.transport->rank;
    e->from = e->to = -1;
    if (e->links[rank].direct)
        e->to = e->member[e->links[rank].to];
    for (int r = 0; r < rank; r++)
        if (e->links[r].direct && e->links[r].to == rank)
            e->from = e->member[r];
}

/* Joins and tries this rank's links. A job that has failed meanwhile is a failure; else it goes on
 * without, and *mine says why. */
static enum sw_status connect_mine(struct sw_stage_links *e, const struct sw_gpu_link_id *id, int n,
                                   struct outcome *mine)
{
    struct sw_transport *t = e->options.transport;
    const struct sw_stage_links_options *o = &e->options;
    const double seconds = SW_START_S(t->options.silence_s);
    if (e->member[t->rank] < 0)
        return SW_OK;
    enum sw_status status = o->ops->join(o->gpu, id, e->member[t->rank], n, seconds);
    if (status == SW_OK)
        status = o->ops->warm_up(o->gpu, e->from, e->to, seconds);
    if (status == SW_OK)
        return SW_OK;
    mine->status = (int32_t)status;
    snprintf(mine->text, sizeof mine->text, "%s", sw_error_message());
    sw_error_clear();
    return sw_transport_alive(t);
}

/* The first failure of any rank makes all do without. */
static enum sw_status links_agree(struct sw_stage_links *e, const struct outcome *mine)
{
    struct sw_transport *t = e->options.transport;
    void *all;
    SW_TRY(links_share(t, mine, sizeof *mine, &all));
    const struct outcome *outcomes = all;
    int bad = -1;
    for (int r = t->size - 1; r >= 0; r--)
        if (outcomes[r].status != SW_OK)
            bad = r;
    if (bad >= 0) {
        char name[SW_HOST_MAX + 32];
        if (t->rank == 0)
            sw_log(SW_LOG_WARN, "GPUs exchange data through host memory: %s: %s",
                   sw_transport_name(t, bad, name, sizeof name), outcomes[bad].text);
        if (e->options.ops && e->options.gpu)
            e->options.ops->leave(e->options.gpu);
        links_give_up(e, "NCCL failed");
        find_neighbours(e);
    }
    free(all);
    return SW_OK;
}

static enum sw_status connect_all(struct sw_stage_links *e, int n)
{
    struct sw_gpu_link_id id;
    struct outcome mine = {0};
    bool made;
    SW_TRY(spread_id(e, &id, &made));
    if (!made) {
        links_give_up(e, "NCCL failed");
        return SW_OK;
    }
    find_neighbours(e);
    SW_TRY(connect_mine(e, &id, n, &mine));
    return links_agree(e, &mine);
}

/* ---- */

/* Lines like "rank 1 → 2: NCCL 2.28.9, GPU 0000:3b:00.0 on h1 to GPU 0000:3b:00.0 on h2, eth0". */
static void links_say(const struct sw_stage_links *e, const struct card *cards)
{
    const struct sw_transport *t = e->options.transport;
    for (int r = 0; r < t->size; r++) {
        const struct sw_stage_link *link = &e->links[r];
        const int to = link->to, v = cards[r].version;
        if (to < 0)
            continue;
        if (!link->direct)
            sw_log(SW_LOG_INFO, "rank %d → %d: MPI (%s)", r, to, link->why);
        else
            sw_log(SW_LOG_INFO, "rank %d → %d: NCCL %d.%d.%d, GPU %s on %s to GPU %s on %s%s%s", r,
                   to, v / 10000, v / 100 % 100, v % 100, cards[r].bus_id, t->ranks[r].host,
                   cards[to].bus_id, t->ranks[to].host,
                   t->ranks[r].node == t->ranks[to].node ? ""
                   : cards[r].network[0]                 ? ", by "
                                                         : ", by a network of NCCL's choice",
                   t->ranks[r].node == t->ranks[to].node ? "" : cards[r].network);
    }
}

static bool any_on_gpu(const struct sw_stage_links *e)
{
    for (int r = 0; r < e->options.transport->size; r++)
        if (e->options.slices[r].gpu_memory > 0 || sw_slice_begins_on_gpu(&e->options.slices[r]) ||
            sw_slice_ends_on_gpu(&e->options.slices[r]))
            return true;
    return false;
}

static struct card card_of(const struct sw_stage_links_options *o)
{
    struct card card = {.version = o->gpu && o->ops ? o->ops->version() : 0,
                        .host_only = o->host_only};
    snprintf(card.bus_id, sizeof card.bus_id, "%s", o->bus_id ? o->bus_id : "");
    if (card.version)
        sw_network_for_nccl(card.network, sizeof card.network);
    return card;
}

enum sw_status sw_stage_links_open(const struct sw_stage_links_options *options,
                                   struct sw_stage_links *e)
{
    struct sw_transport *t = options->transport;
    const struct card mine = card_of(options);
    void *cards;
    int n;
    *e = (struct sw_stage_links){.options = *options, .from = -1, .to = -1};
    e->links = calloc((size_t)t->size, sizeof *e->links);
    e->member = calloc((size_t)t->size, sizeof *e->member);
    if (!e->links || !e->member)
        return sw_fail(SW_ENOMEM, "no memory for the links of %d ranks", t->size);
    find_edges(e);
    if (t->size == 1 || !any_on_gpu(e))
        return SW_OK;
    SW_TRY(links_share(t, &mine, sizeof mine, &cards));
    links_choose(e, cards, &n);
    const enum sw_status status = n > 0 ? connect_all(e, n) : SW_OK;
    if (status == SW_OK && t->rank == 0)
        links_say(e, cards);
    free(cards);
    return status;
}

void sw_stage_links_close(struct sw_stage_links *e)
{
    if (e->options.gpu && e->options.ops) /* the transport may be gone by now */
        e->options.ops->leave(e->options.gpu);
    free(e->links);
    free(e->member);
    *e = (struct sw_stage_links){.from = -1, .to = -1};
}

enum sw_status sw_stage_links_send(struct sw_stage_links *e, const float *d_x, int64_t n)
{
    return e->options.ops->send(e->options.gpu, e->to, d_x, n);
}

enum sw_status sw_stage_links_receive(struct sw_stage_links *e, float *d_x, int64_t n)
{
    return e->options.ops->receive(e->options.gpu, e->from, d_x, n);
}

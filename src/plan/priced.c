/* Owns the bound on plans by a price on host memory, and the search for the price. */
#include "plan/priced.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

#define KIB 1024
#define PRICES_MAX 256

/* Rounded down, and up: what is paid is a lower bound, what there is an upper one. */
static sw_ps priced_paid(const struct priced *p, uint64_t bytes)
{
    return (sw_ps)(bytes / KIB) * p->price;
}

static sw_ps priced_given(const struct priced *p, uint64_t bytes)
{
    return (sw_ps)((bytes + KIB - 1) / KIB) * p->price;
}

static sw_ps priced_layer(const sw_ps *sums, int i)
{
    return sums[i + 1] - sums[i];
}

/* ---- a rank's run of layers */

/* What a mode has besides GPU layers. */
struct priced_tiers {
    bool prompt, streams; /* host layers are streamed for prompts; there may be streamed layers */
    int unit;             /* of streamed and disk layers: index of sw_cost.cached */
    bool disk, by_gpu;    /* there may be disk layers; the GPU runs them */
};

/* The fewest bytes of buffers in the GPU's memory. */
static uint64_t priced_buffers(const struct sw_cost *c, struct priced_tiers t)
{
    const bool by_expert = t.unit > 0;
    if (t.prompt)
        return c->stream_bytes + c->pass_bytes;
    if (t.streams && !by_expert)
        return c->stream_bytes;
    return t.streams || t.by_gpu ? c->disk_stream_bytes[by_expert] : 0;
}

static bool priced_is_possible(const struct sw_cost *c, const struct sw_kind *k,
                               struct priced_tiers t)
{
    const struct sw_plan_options *o = c->options;
    const struct sw_rank_resources *r = k->resources;
    const bool needs_gpu = t.streams || t.by_gpu;
    if ((t.disk && !r->disk) || (t.by_gpu && o->no_disk_gpu) || (needs_gpu && r->device < 0))
        return false;
    if (t.unit > 0 && ((needs_gpu && o->no_gpu_experts) || (!t.streams && !t.disk)))
        return false;
    if (t.prompt && c->fp->has_encoder)
        return false;
    return !needs_gpu ||
           o->gpu_context + c->fp->gpu_work_bytes + priced_buffers(c, t) <= r->gpu_cap;
}

/* Bytes that `buffers` leave for layers, embedding and head. */
static uint64_t priced_have(const struct sw_cost *c, const struct sw_kind *k, uint64_t buffers)
{
    const struct sw_rank_resources *r = k->resources;
    const uint64_t base = c->options->gpu_context + c->fp->gpu_work_bytes + buffers;
    return r->device >= 0 && r->gpu_cap > base ? r->gpu_cap - base : 0;
}

/* Whether layers [first, end) fit into so many bytes. */
static bool priced_fits(const struct sw_cost *c, int first, int end, uint64_t have)
{
    return c->weights[end] - c->weights[first] + c->kv[end] - c->kv[first] <= have;
}

static void priced_rooms(const struct sw_cost *c, uint64_t have, int16_t *room)
{
    for (int first = 0, end = 0; first <= c->n_layers; first++) {
        end = end > first ? end : first;
        while (end < c->n_layers && priced_fits(c, first, end + 1, have))
            end++;
        room[first] = (int16_t)(end - first);
    }
}

static void priced_mode_fill(const struct priced *p, const struct sw_kind *k, struct priced_tiers t,
                             struct priced_mode *m)
{
    const struct sw_cost *c = p->s->c;
    const bool gpu = k->resources->device >= 0;
    const uint64_t staging = t.disk ? c->disk_bytes[t.unit > 0] : 0;
    /* of layers streamed by expert host memory has the experts alone */
    const uint64_t *kept = c->resident[t.unit], *apart = c->resident[t.unit > 0];
    m->wins = true;
    m->fixed = priced_paid(p, c->options->rank_host + sw_max_u64(staging, c->fp->load_bytes) +
                                  (gpu ? c->bounce_bytes : 0));
    m->have = priced_have(c, k, priced_buffers(c, t));
    priced_rooms(c, m->have, m->room);
    for (int i = 0; i < c->n_layers; i++) {
        const uint64_t weights = c->weights[i + 1] - c->weights[i], kv = c->kv[i + 1] - c->kv[i];
        const sw_ps *host = (t.streams && !t.unit ? k->host_beside : k->host)[t.prompt];
        sw_ps off = priced_layer(host, i) + priced_paid(p, weights + kv);
        if (t.streams)
            off = sw_min_i64(off, priced_layer(k->streamed[t.unit], i) +
                                      priced_paid(p, weights - (apart[i + 1] - apart[i])));
        if (t.disk) {
            const sw_ps held = t.by_gpu ? 0 : priced_paid(p, kv + kept[i + 1] - kept[i]);
            off = sw_min_i64(off, priced_layer(k->disk[2 * t.unit + t.by_gpu], i) + held);
        }
        const sw_ps on = gpu ? priced_layer(k->gpu, i) : off;
        m->off[i + 1] = m->off[i] + off;
        m->all[i + 1] = m->all[i] + sw_min_i64(on, off);
        m->wins &= !gpu || on <= off;
    }
}

static enum sw_status priced_kind_init(const struct priced *p, const struct sw_kind *k,
                                       struct priced_kind *out)
{
    const struct sw_cost *c = p->s->c;
    const size_t n = (size_t)c->n_layers + 1;
    const int most = 9 * c->n_units;
    out->modes = calloc((size_t)most, sizeof *out->modes);
    for (int i = 0; out->modes && i < most; i++) {
        const int streams = i % 3, disk = i / 3 % 3;
        const struct priced_tiers t = {.prompt = streams == 2,
                                       .streams = streams > 0,
                                       .unit = i / 9,
                                       .disk = disk > 0,
                                       .by_gpu = disk == 2};
        struct priced_mode *m = &out->modes[out->n_modes];
        if (!priced_is_possible(c, k, t))
            continue;
        m->off = calloc(2 * n, sizeof *m->off);
        m->room = calloc(n, sizeof *m->room);
        out->n_modes++;
        if (!m->off || !m->room)
            break;
        m->all = m->off + n;
        priced_mode_fill(p, k, t, m);
    }
    if (!out->modes || (out->n_modes && !out->modes[out->n_modes - 1].all))
        return sw_fail(SW_ENOMEM, "no memory for the planner's bounds");
    return SW_OK;
}

/* A run in one mode, with so many layers on the GPU. */
static sw_ps priced_layers(const struct priced_mode *m, const sw_ps *gpu, int first, int count,
                           int on_gpu)
{
    const int end = first + count, on = first + on_gpu;
    return m->fixed + (m->wins ? gpu[on] - gpu[first] + m->off[end] - m->off[on]
                               : m->all[end] - m->all[first]);
}

/* Embedding and head on the GPU (bits of `ends`) leave less room for layers there. */
static sw_ps priced_run_ends(const struct priced *p, int kind, int first, int count, int ends)
{
    const struct sw_cost *c = p->s->c;
    const struct sw_kind *k = &c->kinds[kind];
    const bool embed = first == 0, head = first + count == c->n_layers;
    const bool gpu_embed = ends & 1, gpu_head = ends & 2;
    const uint64_t head_bytes = c->fp->head_bytes - (embed ? c->fp->tied_bytes : 0);
    const uint64_t on_gpu =
        (gpu_embed ? c->fp->embed_bytes : 0) + (gpu_head ? head_bytes + c->fp->logits_bytes : 0);
    const uint64_t on_host = (embed && !gpu_embed ? c->fp->embed_bytes : 0) +
                             (head && !gpu_head ? head_bytes : 0) +
                             (head ? c->fp->logits_bytes + c->fp->sampler_bytes : 0);
    sw_ps least = SW_PS_NEVER;
    for (int i = 0; i < p->kinds[kind].n_modes; i++) {
        const struct priced_mode *m = &p->kinds[kind].modes[i];
        int room = m->room[first] < count ? m->room[first] : count;
        if (on_gpu > m->have)
            continue;
        while (room > 0 && !priced_fits(c, first, first + room, m->have - on_gpu))
            room--;
        least = sw_min_i64(least, priced_layers(m, k->gpu, first, count, room));
    }
    if (least >= SW_PS_NEVER)
        return least;
    return least + priced_paid(p, on_host) + (embed ? k->embed[gpu_embed] : 0) +
           (head ? k->head[gpu_head] : 0);
}

static sw_ps priced_run(const struct priced *p, int kind, int first, int count)
{
    const struct sw_cost *c = p->s->c;
    const struct sw_kind *k = &c->kinds[kind];
    const int has = (first == 0 ? 1 : 0) | (first + count == c->n_layers ? 2 : 0);
    sw_ps least = SW_PS_NEVER;
    for (int i = 0; !has && i < p->kinds[kind].n_modes; i++) {
        const struct priced_mode *m = &p->kinds[kind].modes[i];
        const int room = m->room[first] < count ? m->room[first] : count;
        least = sw_min_i64(least, priced_layers(m, k->gpu, first, count, room));
    }
    for (int ends = has; has && ends >= 0; ends--)
        if ((ends & ~has) == 0 && (!ends || k->resources->device >= 0))
            least = sw_min_i64(least, priced_run_ends(p, kind, first, count, ends));
    return least;
}

sw_ps sw_priced_run(const struct priced *p, int kind, int first, int count)
{
    const sw_ps *runs = p->kinds[kind].runs;
    return runs ? runs[run_index(p->s->c, first, count)] : priced_run(p, kind, first, count);
}

/* Where layers are alike, all runs are tabulated. */
static enum sw_status priced_tabulate(const struct priced *p, int kind)
{
    const struct sw_cost *c = p->s->c;
    struct priced_kind *k = &p->kinds[kind];
    if (!c->uniform)
        return SW_OK;
    sw_ps *runs = calloc(run_indices(c), sizeof *runs);
    if (!runs)
        return sw_fail(SW_ENOMEM, "no memory for the planner's bounds");
    for (int count = 1; count <= c->n_layers; count++) {
        const int firsts[] = {0, c->n_layers - count, 1};
        for (int i = 0; i < 2 + (count < c->n_layers - 1); i++)
            runs[run_index(c, firsts[i], count)] = priced_run(p, kind, firsts[i], count);
    }
    k->runs = runs;
    return SW_OK;
}

/* ---- all ranks */

/* The least time of the hop into a rank, whichever rank before it has layers. */
static sw_ps priced_hop_into(const struct sw_cost *c, int rank, int layer)
{
    const sw_ps hop = hop_into(c, rank, layer, false);
    return layer > 0 && rank > 0 && same_node(c, rank - 1) ? sw_min_i64(hop, c->goal.local) : hop;
}

static sw_ps priced_hop_out(const struct sw_cost *c, int rank, int end)
{
    return end == c->n_layers ? sw_cost_hop(c, &c->goal, rank, -1) : 0;
}

static sw_ps *priced_to(const struct priced *p, int rank, int layer)
{
    return &p->to[(size_t)rank * (size_t)(p->s->c->n_layers + 1) + (size_t)layer];
}

static void priced_step(const struct priced *p, int j, int layer)
{
    const struct sw_cost *c = p->s->c;
    int low, high;
    count_range(c, j, layer, &low, &high);
    sw_ps least = low == 0 ? *priced_to(p, j + 1, layer) : SW_PS_NEVER;
    if (layer < c->n_layers) {
        const sw_ps hop = priced_hop_into(c, j, layer);
        const int kind = c->resources[j].kind;
        for (int n = low > 1 ? low : 1; n <= high && layer + n <= c->n_layers; n++) {
            const sw_ps rest = *priced_to(p, j + 1, layer + n);
            if (rest < SW_PS_NEVER)
                least = sw_min_i64(least, sw_priced_run(p, kind, layer, n) + hop + rest +
                                              priced_hop_out(c, j, layer + n));
        }
    }
    *priced_to(p, j, layer) = least;
}

/* Fills the bounds of runs. */
static enum sw_status priced_set_runs(struct priced *p, int64_t price)
{
    const struct sw_cost *c = p->s->c;
    p->price = price;
    sw_priced_free(&(struct priced){.s = p->s, .kinds = p->kinds});
    p->kinds = calloc((size_t)c->n_kinds, sizeof *p->kinds);
    if (!p->kinds)
        return sw_fail(SW_ENOMEM, "no memory for the planner's bounds");
    for (int k = 0; k < c->n_kinds; k++) {
        SW_TRY(priced_kind_init(p, &c->kinds[k], &p->kinds[k]));
        SW_TRY(priced_tabulate(p, k));
    }
    return SW_OK;
}

/* Fills what depends on the price; *bound: what all plans take at least. */
static enum sw_status priced_set(struct priced *p, int64_t price, sw_ps *bound)
{
    const struct sw_cost *c = p->s->c;
    sw_ps all = 0;
    SW_TRY(priced_set_runs(p, price));
    for (int n = c->n_nodes - 1; n >= 0; n--) {
        p->after[n] = all;
        all += priced_given(p, c->node_cap[n]);
    }
    for (int layer = 0; layer <= c->n_layers; layer++)
        *priced_to(p, c->n_ranks, layer) = layer == c->n_layers ? 0 : SW_PS_NEVER;
    for (int j = c->n_ranks - 1; j >= 0; j--)
        for (int layer = 0; layer <= c->n_layers; layer++)
            priced_step(p, j, layer);
    *bound = p->to[0] < SW_PS_NEVER ? p->to[0] - all : SW_PS_NEVER;
    return SW_OK;
}

/* ---- the price */

struct priced_list {
    int64_t prices[PRICES_MAX];
    int count;
    int64_t most; /* that keeps sums of prices in range */
};

/* The price at which `bytes` fewer in host memory are worth `more` time. */
static void priced_add(struct priced_list *list, sw_ps more, uint64_t bytes)
{
    if (more <= 0 || bytes < KIB || list->count == PRICES_MAX)
        return;
    const int64_t price = sw_min_i64(more / (int64_t)(bytes / KIB), list->most);
    int i = list->count;
    if (price <= 0)
        return;
    while (i > 0 && list->prices[i - 1] >= price)
        i--;
    if (i < list->count && list->prices[i] == price)
        return;
    memmove(list->prices + i + 1, list->prices + i,
            (size_t)(list->count - i) * sizeof *list->prices);
    list->prices[i] = price;
    list->count++;
}

/* The best price makes two tiers of some layer equally good: those of a middle layer are tried. */
static void priced_candidates(const struct sw_cost *c, const struct sw_kind *k,
                              struct priced_list *list)
{
    const int i = c->n_layers / 2;
    const uint64_t weights = c->weights[i + 1] - c->weights[i], kv = c->kv[i + 1] - c->kv[i];
    const bool gpu = k->resources->device >= 0;
    for (int d = 0; d < 2 * c->n_units; d++) {
        const uint64_t *sums = c->resident[d / 2];
        const uint64_t kept = d % 2 ? 0 : kv + sums[i + 1] - sums[i];
        const sw_ps disk = priced_layer(k->disk[d], i);
        const bool has_disk = k->resources->disk && (gpu || d % 2 == 0);
        const sw_ps streamed = gpu ? priced_layer(k->streamed[d / 2], i) : 0;
        for (int f = 0; f < 1 + gpu; f++) {
            const sw_ps host = priced_layer(k->host[f], i);
            if (gpu)
                priced_add(list, streamed - host, kv);
            if (has_disk && kept < weights + kv)
                priced_add(list, disk - host, weights + kv - kept);
        }
        if (gpu && has_disk && kept < weights)
            priced_add(list, disk - streamed, weights - kept);
    }
}

/* The bound is concave in the price, so of the sorted prices the best is found by halving. */
static enum sw_status priced_choose(struct priced *p, const struct priced_list *list)
{
    int low = 0, high = list->count - 1;
    sw_ps a, b;
    while (low < high) {
        const int mid = (low + high) / 2;
        SW_TRY(priced_set(p, list->prices[mid], &a));
        SW_TRY(priced_set(p, list->prices[mid + 1], &b));
        if (a < b)
            low = mid + 1;
        else
            high = mid;
    }
    SW_TRY(priced_set(p, 0, &a));
    if (list->count == 0)
        return SW_OK;
    SW_TRY(priced_set(p, list->prices[low], &b));
    return a <= b ? SW_OK : priced_set(p, 0, &a);
}

enum sw_status sw_priced_init(const struct search *s, struct priced *out)
{
    const struct sw_cost *c = s->c;
    uint64_t bytes = KIB + c->weights[c->n_layers] + c->kv[c->n_layers];
    *out = (struct priced){.s = s};
    out->to = calloc((size_t)(c->n_ranks + 1) * (size_t)(c->n_layers + 1), sizeof *out->to);
    out->after = calloc((size_t)c->n_nodes, sizeof *out->after);
    if (!out->to || !out->after)
        return sw_fail(SW_ENOMEM, "no memory for the planner's bounds");
    for (int n = 0; n < c->n_nodes; n++)
        bytes += c->node_cap[n];
    bytes += (uint64_t)c->n_ranks * sw_max_u64(c->disk_bytes[0], c->fp->load_bytes);
    struct priced_list list = {.count = 0, .most = SW_PS_NEVER / 8 / (int64_t)(bytes / KIB)};
    for (int k = 0; k < c->n_kinds; k++)
        priced_candidates(c, &c->kinds[k], &list);
    return priced_choose(out, &list);
}

enum sw_status sw_priced_init_runs(const struct search *s, struct priced *out)
{
    *out = (struct priced){.s = s};
    return priced_set_runs(out, 0);
}

void sw_priced_free(struct priced *p)
{
    for (int k = 0; p->kinds && k < p->s->c->n_kinds; k++) {
        for (int i = 0; i < p->kinds[k].n_modes; i++) {
            free(p->kinds[k].modes[i].off);
            free(p->kinds[k].modes[i].room);
        }
        free(p->kinds[k].modes);
        free(p->kinds[k].runs);
    }
    free(p->kinds);
    free(p->to);
    free(p->after);
    p->kinds = NULL;
    p->to = p->after = NULL;
}

/* ---- use */

/* The price of what memory is left from the node of a rank on. */
static sw_ps priced_left(const struct priced *p, int rank, uint64_t host)
{
    const int node = p->s->c->resources[rank].node;
    return priced_given(p, p->s->c->node_cap[node] - host) + p->after[node];
}

sw_ps sw_priced_rest(const struct priced *p, int rank, int layer, uint64_t host)
{
    const sw_ps to = *priced_to(p, rank, layer);
    if (rank == p->s->c->n_ranks || to >= SW_PS_NEVER)
        return to;
    const sw_ps rest = to - priced_left(p, rank, host);
    return rest > 0 ? rest : 0;
}

sw_ps sw_priced_rest_with(const struct priced *p, int rank, int layer, int count, uint64_t host)
{
    const struct sw_cost *c = p->s->c;
    const sw_ps to = *priced_to(p, rank + 1, layer + count);
    if (to >= SW_PS_NEVER)
        return to;
    const sw_ps rest = sw_priced_run(p, c->resources[rank].kind, layer, count) +
                       priced_hop_into(c, rank, layer) + priced_hop_out(c, rank, layer + count) +
                       to - priced_left(p, rank, host);
    return rest > 0 ? rest : 0;
}

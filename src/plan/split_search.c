/*
 * Owns how one rank best holds a given run of layers: the fastest split, and the frontier of splits
 * that trade host memory for time. What a split takes is in split.c.
 *
 * Host layers run on the CPU, or are streamed to the GPU for prompts, for which the GPU needs
 * buffers; disk layers are run by the CPU, or by the GPU, which needs the same buffers and has
 * their KV then; and disk and streamed layers with experts move whole, or by expert with a number
 * of experts kept. Each of these ways is searched by itself.
 *
 * Both searches leave out only splits that cannot be better than one that they try:
 *
 *  - When no layer is faster off the GPU (gpu_wins), moving the layer after the last GPU layer
 *    onto the GPU, if it fits, makes nothing slower and takes no more host memory. It adds no
 *    crossing unless it is the first GPU layer. So only 0 GPU layers or as many as fit are tried.
 *    Where the bus is what takes the time, a streamed layer becomes a host layer by that, so it is
 *    not slower either. All numbers are tried when layers differ and what they take in host memory
 *    is no sum of theirs (see sw_parts_time).
 *  - Where no layer is faster from disk than as a host layer (disk_loses), the fewest disk layers
 *    that fit are the fastest, as long as no layers are streamed for each use.
 *  - Streaming is tried when a layer may be faster so (not stream_loses), or when it could save
 *    disk layers, because the KV of streamed layers lies in GPU memory: see may_save(). It is not
 *    tried beyond a split that is as fast as any with so many streamed layers can be: least_time().
 *  - Disk layers on the GPU, or by expert, are tried with any number of streamed ones, from the
 *    fewest that memory allows (least_disk) up to where a split can no longer be as fast as one
 *    that was found.
 */
#include "plan/split.h"

#include <stdlib.h>
#include <string.h>

static struct run run_of(const struct sw_cost *c, int kind, int first, int count, uint64_t host_cap)
{
    const struct sw_kind *k = &c->kinds[kind];
    if (host_cap > k->resources->host_cap)
        host_cap = k->resources->host_cap;
    return (struct run){.c = c,
                        .k = k,
                        .first = first,
                        .count = count,
                        .host_cap = host_cap,
                        .embed = first == 0,
                        .head = first + count == c->n_layers};
}

/* The best split so far. */
struct best {
    struct sw_split split;
    bool found;
};

static void take_better(struct best *best, const struct sw_split *s)
{
    if (!best->found || s->time < best->split.time ||
        (s->time == best->split.time && s->host_bytes < best->split.host_bytes))
        best->split = *s;
    best->found = true;
}

/* Gives s, which has its GPU layers and no streamed ones, the fewest disk layers that fit. */
static bool fewest_disk(const struct run *r, struct sw_split *s)
{
    s->tiers.n_disk = 0;
    if (sw_split_complete(r, s))
        return true;
    if (!r->k->resources->disk)
        return false;
    /* host bytes fall with each disk layer after the first */
    int low = 1, high = r->count - s->tiers.n_gpu - s->stream_prompt;
    while (low < high) {
        s->tiers.n_disk = (low + high) / 2;
        if (sw_split_complete(r, s))
            high = s->tiers.n_disk;
        else
            low = s->tiers.n_disk + 1;
    }
    s->tiers.n_disk = high;
    return high >= 1 && sw_split_complete(r, s);
}

/*
 * Whether a split with streamed layers could have fewer disk layers than s, which has the most GPU
 * layers. It would hold all weights that s holds in host memory and at least one layer more; it can
 * save no more than the KV of all layers and the workspace (and the staging, without disk layers).
 */
static bool may_save(const struct run *r, const struct sw_split *s)
{
    const struct sw_cost *c = r->c;
    const int end = r->first + r->count;
    struct sw_split fewer = *s, none = *s;
    if (s->tiers.n_disk == 0)
        return false;
    fewer.tiers.n_disk--;
    fewer.tiers.n_host++;
    none.tiers.n_disk = 0;
    none.tiers.n_host += s->tiers.n_disk;
    const uint64_t a = sw_split_host_bytes(r, &fewer), b = sw_split_host_bytes(r, &none);
    return (a < b ? a : b) <= r->host_cap + (c->kv[end] - c->kv[r->first]) + c->fp->work_bytes;
}

/* Runs the statement for each sensible combination of embedding and head on GPU or CPU. */
#define FOR_EACH_ENDS(r, s)                                                                        \
    for (int ends_ = (r)->k->resources->device >= 0 ? 3 : 0; ends_ >= 0; ends_--)                  \
        if (ends_of((r), (s), ends_))

static bool ends_of(const struct run *r, struct sw_split *s, int ends)
{
    s->tiers.embed_on_gpu = ends & 1;
    s->tiers.head_on_gpu = ends & 2;
    if ((!r->embed && s->tiers.embed_on_gpu) || (!r->head && s->tiers.head_on_gpu))
        return false;
    /* a tied matrix has one copy */
    return !(r->embed && r->head && r->c->fp->tied_bytes) ||
           s->tiers.embed_on_gpu == s->tiers.head_on_gpu;
}

/* Whether no split fits, because the KV (without disk also the weights) exceeds all memory. */
static bool hopeless(const struct run *r)
{
    const struct sw_cost *c = r->c;
    const struct sw_rank_resources *p = r->k->resources;
    const int end = r->first + r->count;
    const uint64_t kv = c->kv[end] - c->kv[r->first];
    const uint64_t weights = p->disk ? 0 : c->weights[end] - c->weights[r->first];
    return kv + weights > r->host_cap + (p->device >= 0 ? p->gpu_cap : 0);
}

/* Whether the GPU has room for so many bytes of staging buffers at all. */
static bool has_room(const struct run *r, uint64_t staging)
{
    const struct sw_cost *c = r->c;
    return r->k->resources->device >= 0 &&
           c->options->gpu_context + c->fp->gpu_work_bytes + staging <= r->k->resources->gpu_cap;
}

/* Whether layers can be streamed whole, or by expert. */
static bool can_stream(const struct run *r, bool by_expert)
{
    if (by_expert)
        return !r->c->options->no_gpu_experts && has_room(r, r->c->disk_stream_bytes[1]);
    return has_room(r, r->c->stream_bytes);
}

/* Whether only 0 GPU layers or as many as fit are to be tried with what s has besides. */
static bool split_gpu_wins(const struct run *r, const struct sw_split *s)
{
    return r->k->gpu_wins[split_way(s)] &&
           (r->c->uniform || !(s->tiers.n_streamed || s->stream_prompt));
}

/* Whether splits of this way are to be searched; if so, *s is one without layers. */
static bool way_begin(const struct run *r, int way, struct sw_split *s)
{
    const bool prompt = way & SW_WAY_PROMPT, on_gpu = way & SW_WAY_DISK;
    const int unit = way / SW_WAY_UNIT;
    *s = (struct sw_split){.stream_prompt = prompt, .unit = unit, .tiers.disk_on_gpu = on_gpu};
    s->tiers.by_expert = unit > 0;
    s->tiers.cached_experts = unit > 0 ? r->c->cached[unit] : 0;
    if (prompt && (!can_stream(r, false) || r->c->fp->has_encoder))
        return false;
    const struct sw_plan_options *o = r->c->options;
    if (on_gpu && (o->no_disk_gpu || (unit > 0 && o->no_gpu_experts)))
        return false;
    if (on_gpu && !has_room(r, r->c->disk_stream_bytes[unit > 0]))
        return false;
    return way < SW_WAY_DISK || r->k->resources->disk || (!on_gpu && can_stream(r, true));
}

/* How many GPU layers there can be with the ends and way of s, and with streamed layers or not; -1:
 * none of its splits fits. */
static int most_gpu(const struct run *r, const struct sw_split *s, bool streamed)
{
    struct sw_split most = *s;
    most.tiers.n_host = most.tiers.n_disk = 0;
    most.tiers.n_streamed = streamed;
    return sw_split_gpu_room(r, &most, r->count - (s->stream_prompt || streamed));
}

/*
 * Tries splits without streamed layers; s has its ends and its way, in which the CPU runs disk
 * layers, and `most` is most_gpu. Returns whether splits with streamed layers may be better.
 */
static bool without_streamed(const struct run *r, struct sw_split *s, int most, struct best *best)
{
    const int f = s->stream_prompt;
    const bool gpu = can_stream(r, false), wins = split_gpu_wins(r, s);
    bool stream = gpu && !(r->k->stream_loses[f] && wins && r->k->disk_loses[f]);
    bool fits = false;
    s->tiers.n_host = s->tiers.n_streamed = s->tiers.n_disk = 0;
    if (f && r->k->prompt_loses) /* unless some are streamed anyway */
        return most >= 0 && gpu;
    for (int g = most; g >= 0; g = wins && g ? 0 : g - 1) {
        s->tiers.n_gpu = g;
        if (!fewest_disk(r, s))
            continue;
        take_better(best, s);
        fits |= g == most;
        stream |= gpu && g == most && may_save(r, s);
        if (g == r->count && wins && sw_split_crossings(r, s, 0) == 0)
            break; /* fewer GPU layers could only save crossings */
    }
    return most >= 0 && gpu && (stream || !fits);
}

/* The least time of any split with the ends and way of s and at most so many GPU layers, but for
 * what each streamed and each disk layer adds at least (stream_costs, disk_costs). */
static sw_ps least_time(const struct run *r, const struct sw_split *s, int most)
{
    const struct sw_kind *k = r->k;
    const int way = split_way(s), a = r->first, b = a + most, c = a + r->count;
    if (!k->gpu_wins[way])
        return k->floor[way][c] - k->floor[way][a] + sw_split_ends_time(r, s);
    return k->gpu[b] - k->gpu[a] + k->least[way][c] - k->least[way][b] + sw_split_ends_time(r, s);
}

/* The least time of any split with the ends, way, streamed and disk layers of s and so many GPU
 * layers. */
static sw_ps bound_with(const struct run *r, const struct sw_split *s, int n_gpu)
{
    const struct sw_kind *k = r->k;
    const int way = split_way(s), a = r->first, b = a + n_gpu, c = a + r->count;
    return k->gpu[b] - k->gpu[a] + k->least[way][c] - k->least[way][b] + sw_split_ends_time(r, s) +
           s->tiers.n_streamed * k->stream_costs[way] + s->tiers.n_disk * k->disk_costs[way];
}

/* The fewest disk layers of the splits of the way of s with so many streamed layers: a way of
 * layers that move by expert needs some, as does one with disk layers on the GPU. */
static int needs_disk(const struct sw_split *s, int streamed)
{
    return s->tiers.disk_on_gpu || (s->unit > 0 && streamed == 0);
}

/*
 * The fewest disk layers of any split with the ends and way of s: what is not on disk has to fit
 * into host and GPU memory together. count + 1: even with all on disk there is no room.
 */
static int least_disk(const struct run *r, const struct sw_split *s)
{
    const struct sw_cost *c = r->c;
    const struct sw_rank_resources *p = r->k->resources;
    const uint64_t have = r->host_cap + (p->device >= 0 ? p->gpu_cap : 0);
    const int end = r->first + r->count;
    struct sw_split all = *s;
    all.tiers.n_gpu = all.tiers.n_host = all.tiers.n_streamed = 0;
    const uint64_t *kept = c->resident[s->unit];
    for (int d = needs_disk(s, r->count); d <= r->count; d += d ? r->count : 1) {
        /* with the KV, wherever it is */
        all.tiers.n_disk = d ? r->count : 0;
        const uint64_t kv = d ? 0 : c->kv[end] - c->kv[r->first];
        const uint64_t fixed = sw_split_host_bytes(r, &all) + sw_split_gpu_bytes(r, &all, false) +
                               kv - sw_split_disk_kept(r, &all);
        if (fixed > have)
            continue;
        int low = d, high = d ? r->count : 0; /* the fewest that fit are in [low, high] */
        while (low < high) {
            const int mid = (low + high) / 2;
            if (c->weights[end - mid] - c->weights[r->first] + kept[end] - kept[end - mid] <=
                have - fixed)
                high = mid;
            else
                low = mid + 1;
        }
        if (c->weights[end - high] - c->weights[r->first] + kept[end] - kept[end - high] <=
            have - fixed)
            return high;
    }
    return r->count + 1;
}

/* Tries splits with so many streamed and disk layers. */
static void with_counts(const struct run *r, struct sw_split *s, int streamed, int disk,
                        struct best *best)
{
    s->tiers.n_host = 0;
    s->tiers.n_streamed = streamed;
    s->tiers.n_disk = disk;
    const bool wins = split_gpu_wins(r, s);
    const int most = r->count - s->stream_prompt;
    for (int g = sw_split_gpu_room(r, s, most - streamed - disk); g >= 0;
         g = wins && g ? 0 : g - 1) {
        s->tiers.n_gpu = g;
        if (!wins && best->found && bound_with(r, s, g) > best->split.time)
            continue;
        if (sw_split_complete(r, s))
            take_better(best, s);
    }
}

/*
 * Tries splits with streamed layers, and with more disk layers where the fewest may not be best; in
 * a way with disk layers on the GPU, or of layers by expert, all that have some.
 */
static void with_streamed(const struct run *r, struct sw_split *s, int most, struct best *best)
{
    const struct sw_kind *k = r->k;
    const int all = r->count - s->stream_prompt;
    const int with = can_stream(r, s->unit > 0) ? most_gpu(r, s, s->unit == 0) : -1;
    const bool some = (k->disk_loses[s->stream_prompt] && split_way(s) < SW_WAY_DISK) ||
                      (s->stream_prompt && k->prompt_loses);
    const sw_ps each = k->stream_costs[split_way(s)], each_disk = k->disk_costs[split_way(s)];
    int fewest = -1;
    for (int n = some; n <= (with >= 0 ? all : 0); n++) {
        const sw_ps least = least_time(r, s, n ? with : most) + n * each;
        if (n && best->found && least + needs_disk(s, n) * each_disk > best->split.time)
            return; /* mostly so at once */
        if (fewest < 0)
            fewest = least_disk(r, s);
        const int from = needs_disk(s, n) > fewest ? needs_disk(s, n) : fewest;
        for (int d = from; d <= (k->resources->disk ? all - n : 0); d++) {
            if (best->found && least + d * each_disk > best->split.time)
                break;
            with_counts(r, s, n, d, best);
        }
    }
}

bool sw_cost_fastest(const struct sw_cost *cost, int kind, int first, int count, uint64_t host_cap,
                     struct sw_split *out)
{
    const struct run r = run_of(cost, kind, first, count, host_cap);
    struct best best = {0};
    bool stream[SW_WAY_DISK][4] = {{false}};
    int most[SW_WAY_DISK][4];
    struct sw_split s;
    if (hopeless(&r))
        return false;
    for (int way = 0; way < SW_WAY_DISK; way++)
        if (way_begin(&r, way, &s))
            FOR_EACH_ENDS(&r, &s)
            {
                most[way][ends_] = most_gpu(&r, &s, false);
                stream[way][ends_] = without_streamed(&r, &s, most[way][ends_], &best);
            }
    for (int way = cost->n_ways - 1; way >= 0; way--)
        if (way_begin(&r, way, &s))
            FOR_EACH_ENDS(&r, &s)
            {
                const int room = way < SW_WAY_DISK ? most[way][ends_] : most_gpu(&r, &s, false);
                if (room >= 0 && (way >= SW_WAY_DISK || stream[way][ends_]))
                    with_streamed(&r, &s, room, &best);
            }
    *out = best.split;
    return best.found;
}

enum sw_status sw_splits_add(struct sw_splits *list, const struct sw_split *split)
{
    if (list->count == list->capacity) {
        const int capacity = list->capacity ? 2 * list->capacity : 256;
        struct sw_split *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items)
            return sw_fail(SW_ENOMEM, "no memory for %d splits", capacity);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = *split;
    return SW_OK;
}

/* Inserts s from `base` on unless an item is as good in time and bytes; removes those it beats. */
static enum sw_status split_insert(struct sw_splits *list, int base, const struct sw_split *s)
{
    struct sw_split *items = list->items;
    int low = base, high = list->count; /* first item with more host bytes than s */
    while (low < high) {
        const int mid = (low + high) / 2;
        if (items[mid].host_bytes <= s->host_bytes)
            low = mid + 1;
        else
            high = mid;
    }
    if (low > base && items[low - 1].time <= s->time)
        return SW_OK;
    int from = low, to = low;
    if (from > base && items[from - 1].host_bytes == s->host_bytes)
        from--;
    while (to < list->count && items[to].time >= s->time)
        to++;
    if (from == to) {
        SW_TRY(sw_splits_add(list, s)); /* makes room; its place is found below */
        list->count--;
        items = list->items;
    }
    memmove(items + from + 1, items + to, (size_t)(list->count - to) * sizeof *items);
    items[from] = *s;
    list->count += from + 1 - to;
    return SW_OK;
}

enum sw_status sw_cost_frontier(const struct sw_cost *cost, int kind, int first, int count,
                                uint64_t host_cap, struct sw_splits *out)
{
    const struct run r = run_of(cost, kind, first, count, host_cap);
    const struct sw_rank_resources *p = r.k->resources;
    const int base = out->count, end = first + count;
    struct sw_split s;
    if (hopeless(&r))
        return SW_OK;
    for (int way = 0; way < cost->n_ways; way++) {
        if (!way_begin(&r, way, &s))
            continue;
        /* slower streamed layers can only pay because their KV is not in host memory */
        const struct sw_kind *k = r.k;
        const bool moves = way >= SW_WAY_DISK;
        const bool stream =
            can_stream(&r, s.unit > 0) && (!k->stream_loses[s.stream_prompt] || !k->gpu_wins[way] ||
                                           moves || cost->kv[end] > cost->kv[first]);
        const int most = count - s.stream_prompt, some = s.stream_prompt && k->prompt_loses;
        s.tiers.n_host = 0;
        FOR_EACH_ENDS(&r, &s)
        for (int n = some; n <= (stream ? most : 0); n++)
            for (s.tiers.n_streamed = n, s.tiers.n_disk = needs_disk(&s, n);
                 s.tiers.n_disk <= (p->disk ? most - n : 0); s.tiers.n_disk++, s.tiers.n_host = 0)
                for (int g = sw_split_gpu_room(&r, &s, most - n - s.tiers.n_disk); g >= 0;
                     g = split_gpu_wins(&r, &s) && g ? 0 : g - 1) {
                    s.tiers.n_gpu = g;
                    if (sw_split_complete(&r, &s))
                        SW_TRY(split_insert(out, base, &s));
                }
    }
    return SW_OK;
}

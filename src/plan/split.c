/*
 * Owns how one rank best holds a given run of layers: bytes and time of a split from prefix sums,
 * the fastest split, and the frontier of splits that trade host memory for time.
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
 * fewest that memory allows (least_disk) up to where a split can no longer be as fast as one that
 * was found.
 */
#include "base/checked.h"
#include "plan/cost.h"

#include <stdlib.h>
#include <string.h>

struct run {
    const struct sw_cost *c;
    const struct sw_kind *k;
    int first, count;
    bool embed, head;
    uint64_t host_cap;
};

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

static uint64_t head_bytes(const struct run *r)
{
    return r->c->fp->head_bytes - (r->embed ? r->c->fp->tied_bytes : 0);
}

/* KV bytes of the streamed layers, which are spread among the host layers (sw_tier_at). */
static uint64_t streamed_kv(const struct run *r, const struct sw_split *s)
{
    const struct sw_cost *c = r->c;
    const struct sw_tiers *t = &s->tiers;
    const int end = r->first + r->count - t->n_disk, both = t->n_host + t->n_streamed;
    uint64_t bytes = 0;
    if (c->kv_alike || !sw_tiers_mixed(t))
        return c->kv[end] - c->kv[end - t->n_streamed];
    for (int i = 0; i < both; i++)
        if (sw_is_spread(i, t->n_streamed, both))
            bytes += c->fp->layers[end - both + i].kv_bytes;
    return bytes;
}

static bool disk_by_gpu(const struct sw_tiers *t)
{
    return t->n_disk && t->disk_on_gpu;
}

static int way_of(const struct sw_split *s)
{
    return (s->stream_prompt ? SW_WAY_PROMPT : 0) + (s->tiers.disk_on_gpu ? SW_WAY_DISK : 0) +
           SW_WAY_UNIT * s->unit;
}

/* Bytes of the disk layers that are kept where they are run. */
static uint64_t disk_resident(const struct run *r, const struct sw_split *s)
{
    const uint64_t *sums = r->c->resident[s->unit];
    const int end = r->first + r->count;
    return sums[end] - sums[end - s->tiers.n_disk];
}

/* Bytes of the streamed layers that are kept on the GPU, with the experts of this unit. */
static uint64_t streamed_resident(const struct run *r, const struct sw_split *s, int unit)
{
    const uint64_t *sums = r->c->resident[unit];
    const int end = r->first + r->count - s->tiers.n_disk;
    return sums[end] - sums[end - s->tiers.n_streamed];
}

/* GPU bytes besides those of GPU layers; 0 when nothing else uses the GPU and `used` is false. */
static uint64_t gpu_base(const struct run *r, const struct sw_split *s, bool used)
{
    const struct sw_cost *c = r->c;
    const struct sw_tiers *t = &s->tiers;
    const int end = r->first + r->count - t->n_disk;
    const bool embed = r->embed && t->embed_on_gpu, head = r->head && t->head_on_gpu;
    const bool streams = t->n_streamed || s->stream_prompt;
    if (!used && !embed && !head && !streams && !disk_by_gpu(t))
        return 0;
    return c->options->gpu_context + c->fp->gpu_work_bytes + (embed ? c->fp->embed_bytes : 0) +
           (head ? head_bytes(r) + c->fp->logits_bytes : 0) +
           sw_cost_gpu_staging(c, t, s->stream_prompt) + streamed_resident(r, s, s->unit) +
           (disk_by_gpu(t) ? disk_resident(r, s) + c->kv[end + t->n_disk] - c->kv[end] : 0) +
           streamed_kv(r, s);
}

static uint64_t host_bytes(const struct run *r, const struct sw_split *s)
{
    const struct sw_cost *c = r->c;
    const struct sw_tiers *t = &s->tiers;
    const int end = r->first + r->count, disk = end - t->n_disk;
    const int host = disk - t->n_streamed - t->n_host;
    const bool embed = r->embed && !t->embed_on_gpu, head = r->head && !t->head_on_gpu;
    const bool disk_by_cpu = t->n_disk && !t->disk_on_gpu;
    const bool works = t->n_host || disk_by_cpu || embed || head;
    const uint64_t staging = t->n_disk ? c->disk_bytes[t->by_expert] : 0;
    return c->options->rank_host + (staging > c->fp->load_bytes ? staging : c->fp->load_bytes) +
           (r->k->resources->device >= 0 ? c->bounce_bytes : 0) + (works ? c->fp->work_bytes : 0) +
           (r->head ? c->fp->logits_bytes + c->fp->sampler_bytes : 0) +
           (embed ? c->fp->embed_bytes : 0) + (head ? head_bytes(r) : 0) +
           (c->weights[disk] - c->weights[host]) -
           streamed_resident(r, s, s->unit > 0) + /* all experts are there */
           (c->kv[disk] - c->kv[host] - streamed_kv(r, s)) +
           (disk_by_cpu ? c->kv[end] - c->kv[disk] + disk_resident(r, s) : 0);
}

/* Number of hand-overs in the stage when host layers run on the GPU (`host` 1) or the CPU (0). */
static int split_crossings(const struct run *r, const struct sw_split *s, int host)
{
    int at = -1, n = 0;
#define PASS(there, on) ((there) ? (n += at >= 0 && at != (on), at = (on)) : 0)
    PASS(r->embed, s->tiers.embed_on_gpu);
    PASS(s->tiers.n_gpu, 1);
    PASS(s->tiers.n_host, host);
    PASS(s->tiers.n_streamed, 1);
    if (sw_tiers_mixed(&s->tiers) && !host) /* they take turns */
        n += 2 * (sw_min_int(s->tiers.n_host, s->tiers.n_streamed) - 1);
    PASS(s->tiers.n_disk, s->tiers.disk_on_gpu);
    PASS(r->head, s->tiers.head_on_gpu);
#undef PASS
    return n;
}

static sw_ps ends_time(const struct run *r, const struct sw_split *s)
{
    const struct sw_kind *k = r->k;
    const struct sw_tiers *t = &s->tiers;
    return (r->embed ? k->embed[t->embed_on_gpu] : 0) + (r->head ? k->head[t->head_on_gpu] : 0);
}

/* Sums of what the layers in host memory that move whole ask for, where s has its numbers of them.
 */
static struct sw_parts split_parts(const struct run *r, const struct sw_split *s,
                                   enum sw_asking host, enum sw_asking streamed)
{
    const struct sw_parts *h = r->k->parts[host], *st = r->k->parts[streamed];
    const int n[2] = {s->tiers.n_host, s->tiers.by_expert ? 0 : s->tiers.n_streamed};
    const int both = n[0] + n[1], from = r->first + s->tiers.n_gpu;
    struct sw_parts sum = {0};
#define ADD(of, a, b, times)                                                                       \
    (sum.computing += (times) * ((of)[b].computing - (of)[a].computing),                           \
     sum.bus += (times) * ((of)[b].bus - (of)[a].bus),                                             \
     sum.memory += (times) * ((of)[b].memory - (of)[a].memory))
    if (!n[0] || !n[1])
        ADD(n[0] ? h : st, from, from + both, 1);
    else if (r->c->uniform)
        ADD(h, 0, 1, n[0]), ADD(st, 0, 1, n[1]);
    else
        for (int i = 0; i < both; i++)
            ADD(sw_is_spread(i, n[1], both) ? st : h, from + i, from + i + 1, 1);
#undef ADD
    return sum;
}

/* The time of the layers in host memory. */
static sw_ps split_host_time(const struct run *r, const struct sw_split *s)
{
    const bool both = sw_tiers_mixed(&s->tiers), passing = s->stream_prompt;
    const enum sw_asking prompt = passing ? SW_PROMPT_PASSING : SW_PROMPT_HOST;
    const sw_ps *streamed = r->k->streamed[s->unit];
    const int end = r->first + r->count - s->tiers.n_disk;
    return sw_parts_time(split_parts(r, s, SW_STEP_HOST, SW_STEP_STREAMED), both) +
           sw_parts_time(split_parts(r, s, prompt, SW_PROMPT_STREAMED), both && !passing) +
           (s->unit ? streamed[end] - streamed[end - s->tiers.n_streamed] : 0);
}

static sw_ps split_time(const struct run *r, const struct sw_split *s)
{
    const struct sw_kind *k = r->k;
    const sw_ps *on_disk = k->disk[way_of(s) / SW_WAY_DISK];
    const int a = r->first, b = a + s->tiers.n_gpu, e = a + r->count, d = e - s->tiers.n_disk;
    return k->gpu[b] - k->gpu[a] + split_host_time(r, s) + on_disk[e] - on_disk[d] +
           split_crossings(r, s, 0) * k->crossing +
           split_crossings(r, s, s->stream_prompt) * k->prompt_crossing + ends_time(r, s);
}

/*
 * How many of the first `most` layers fit into the GPU with what s has there; -1: not even none.
 * Where it depends on that number which layers are streamed, and their KV caches differ, these do
 * not count: see split_complete.
 */
static int gpu_room(const struct run *r, const struct sw_split *s, int most)
{
    const struct sw_cost *c = r->c;
    const struct sw_rank_resources *p = r->k->resources;
    if (p->device < 0)
        return 0;
    const uint64_t unknown = c->kv_alike ? 0 : streamed_kv(r, s);
    if (gpu_base(r, s, false) - unknown > p->gpu_cap)
        return -1;
    const uint64_t base = gpu_base(r, s, true) - unknown;
    if (base > p->gpu_cap)
        return 0;
    const uint64_t room = p->gpu_cap - base;
    int low = 0, high = most; /* low fits */
    while (low < high) {
        const int n = (low + high + 1) / 2, end = r->first + n;
        const uint64_t bytes =
            c->weights[end] - c->weights[r->first] + c->kv[end] - c->kv[r->first];
        if (bytes <= room)
            low = n;
        else
            high = n - 1;
    }
    return low;
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

/* Fills the host layers, bytes and time of s, whose GPU layers gpu_room has let pass; false: it
 * does not fit. */
static bool split_complete(const struct run *r, struct sw_split *s)
{
    const struct sw_cost *c = r->c;
    const int a = r->first, b = a + s->tiers.n_gpu;
    s->tiers.n_host = r->count - s->tiers.n_gpu - s->tiers.n_streamed - s->tiers.n_disk;
    s->host_bytes = host_bytes(r, s);
    if (s->host_bytes > r->host_cap)
        return false;
    if (!c->kv_alike && s->tiers.n_streamed &&
        gpu_base(r, s, true) + c->weights[b] - c->weights[a] + c->kv[b] - c->kv[a] >
            r->k->resources->gpu_cap)
        return false;
    s->time = split_time(r, s);
    return true;
}

/* Gives s, which has its GPU layers and no streamed ones, the fewest disk layers that fit. */
static bool fewest_disk(const struct run *r, struct sw_split *s)
{
    s->tiers.n_disk = 0;
    if (split_complete(r, s))
        return true;
    if (!r->k->resources->disk)
        return false;
    /* host bytes fall with each disk layer after the first */
    int low = 1, high = r->count - s->tiers.n_gpu - s->stream_prompt;
    while (low < high) {
        s->tiers.n_disk = (low + high) / 2;
        if (split_complete(r, s))
            high = s->tiers.n_disk;
        else
            low = s->tiers.n_disk + 1;
    }
    s->tiers.n_disk = high;
    return high >= 1 && split_complete(r, s);
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
    const uint64_t a = host_bytes(r, &fewer), b = host_bytes(r, &none);
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
    return r->k->gpu_wins[way_of(s)] &&
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
    return gpu_room(r, &most, r->count - (s->stream_prompt || streamed));
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
        if (g == r->count && wins && split_crossings(r, s, 0) == 0)
            break; /* fewer GPU layers could only save crossings */
    }
    return most >= 0 && gpu && (stream || !fits);
}

/* The least time of any split with the ends and way of s and at most so many GPU layers, but for
 * what each streamed and each disk layer adds at least (stream_costs, disk_costs). */
static sw_ps least_time(const struct run *r, const struct sw_split *s, int most)
{
    const struct sw_kind *k = r->k;
    const int way = way_of(s), a = r->first, b = a + most, c = a + r->count;
    if (!k->gpu_wins[way])
        return k->floor[way][c] - k->floor[way][a] + ends_time(r, s);
    return k->gpu[b] - k->gpu[a] + k->least[way][c] - k->least[way][b] + ends_time(r, s);
}

/* The least time of any split with the ends, way, streamed and disk layers of s and so many GPU
 * layers. */
static sw_ps bound_with(const struct run *r, const struct sw_split *s, int n_gpu)
{
    const struct sw_kind *k = r->k;
    const int way = way_of(s), a = r->first, b = a + n_gpu, c = a + r->count;
    return k->gpu[b] - k->gpu[a] + k->least[way][c] - k->least[way][b] + ends_time(r, s) +
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
        const uint64_t fixed =
            host_bytes(r, &all) + gpu_base(r, &all, false) + kv - disk_resident(r, &all);
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
    for (int g = gpu_room(r, s, most - streamed - disk); g >= 0; g = wins && g ? 0 : g - 1) {
        s->tiers.n_gpu = g;
        if (!wins && best->found && bound_with(r, s, g) > best->split.time)
            continue;
        if (split_complete(r, s))
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
    const bool some = (k->disk_loses[s->stream_prompt] && way_of(s) < SW_WAY_DISK) ||
                      (s->stream_prompt && k->prompt_loses);
    const sw_ps each = k->stream_costs[way_of(s)], each_disk = k->disk_costs[way_of(s)];
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
                for (int g = gpu_room(&r, &s, most - n - s.tiers.n_disk); g >= 0;
                     g = split_gpu_wins(&r, &s) && g ? 0 : g - 1) {
                    s.tiers.n_gpu = g;
                    if (split_complete(&r, &s))
                        SW_TRY(split_insert(out, base, &s));
                }
    }
    return SW_OK;
}

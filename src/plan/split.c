/* Owns what a split of layers takes: bytes and time of it from prefix sums, and whether it fits. */
#include "plan/split.h"

#include "base/checked.h"

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

uint64_t sw_split_disk_kept(const struct run *r, const struct sw_split *s)
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

uint64_t sw_split_gpu_bytes(const struct run *r, const struct sw_split *s, bool used)
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
           (disk_by_gpu(t) ? sw_split_disk_kept(r, s) + c->kv[end + t->n_disk] - c->kv[end] : 0) +
           streamed_kv(r, s);
}

uint64_t sw_split_host_bytes(const struct run *r, const struct sw_split *s)
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
           (disk_by_cpu ? c->kv[end] - c->kv[disk] + sw_split_disk_kept(r, s) : 0);
}

int sw_split_crossings(const struct run *r, const struct sw_split *s, int host)
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

sw_ps sw_split_ends_time(const struct run *r, const struct sw_split *s)
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
    const sw_ps *on_disk = k->disk[split_way(s) / SW_WAY_DISK];
    const int a = r->first, b = a + s->tiers.n_gpu, e = a + r->count, d = e - s->tiers.n_disk;
    return k->gpu[b] - k->gpu[a] + split_host_time(r, s) + on_disk[e] - on_disk[d] +
           sw_split_crossings(r, s, 0) * k->crossing +
           sw_split_crossings(r, s, s->stream_prompt) * k->prompt_crossing +
           sw_split_ends_time(r, s);
}

int sw_split_gpu_room(const struct run *r, const struct sw_split *s, int most)
{
    const struct sw_cost *c = r->c;
    const struct sw_rank_resources *p = r->k->resources;
    if (p->device < 0)
        return 0;
    const uint64_t unknown = c->kv_alike ? 0 : streamed_kv(r, s);
    if (sw_split_gpu_bytes(r, s, false) - unknown > p->gpu_cap)
        return -1;
    const uint64_t base = sw_split_gpu_bytes(r, s, true) - unknown;
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

bool sw_split_complete(const struct run *r, struct sw_split *s)
{
    const struct sw_cost *c = r->c;
    const int a = r->first, b = a + s->tiers.n_gpu;
    s->tiers.n_host = r->count - s->tiers.n_gpu - s->tiers.n_streamed - s->tiers.n_disk;
    s->host_bytes = sw_split_host_bytes(r, s);
    if (s->host_bytes > r->host_cap)
        return false;
    if (!c->kv_alike && s->tiers.n_streamed &&
        sw_split_gpu_bytes(r, s, true) + c->weights[b] - c->weights[a] + c->kv[b] - c->kv[a] >
            r->k->resources->gpu_cap)
        return false;
    s->time = split_time(r, s);
    return true;
}

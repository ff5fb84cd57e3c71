/*
 * The planner's oracle: every way to hold a small model, weighed by arithmetic of its own. From
 * src/plan it takes the structures and nothing that computes.
 */
#ifndef TESTS_PLAN_ORACLE_H
#define TESTS_PLAN_ORACLE_H

#include "plan/plan.h"

#include <math.h>

#define RANKS 4

struct oracle {
    const struct sw_footprint *fp;
    const struct sw_cluster *cl;
    const struct sw_plan_options *o;
    int n_ranks, batch, position, last_node;
    double chunk, step_share, prompt_share; /* of a prompt; what is minimised is made up of these */
    int node[RANKS], device[RANKS], ranks_of[RANKS];
    bool found;
    double best[2]; /* latency: sum, 0; throughput: slowest, sum */
};

/* One rank's way to hold its layers. */
struct way {
    int first, n[4]; /* gpu, host, streamed, disk */
    bool egpu, hgpu;
    bool passing; /* host layers are streamed for prompts */
    bool dgpu;    /* disk layers are run by the GPU */
    int cached;   /* experts of each disk layer that are kept; -1: they are read whole */
};

/* Whether one stage works at a time. */
static bool one_by_one(const struct sw_plan_options *o)
{
    return o->objective == SW_OBJECTIVE_LATENCY || o->groups == 1;
}

/* What takes so much for a decode step and so much for a chunk of a prompt. */
static double goal(const struct oracle *q, double step, double prompt)
{
    return q->step_share * step + q->prompt_share * prompt;
}

static double max2(double a, double b)
{
    return a > b ? a : b;
}

/* Positions that a decoded token sees, and a prompt's on the average, counted one by one. */
static double seen_in_step(const struct oracle *q, const struct sw_layer_footprint *l)
{
    return l->window && l->window < q->position ? l->window : q->position;
}

static double seen_in_prompt(const struct oracle *q, const struct sw_layer_footprint *l)
{
    double sum = 0;
    for (int i = 1; i <= q->o->prompt_tokens; i++)
        sum += l->window && l->window < i ? l->window : i;
    return sum / q->o->prompt_tokens;
}

/* Experts from the i-th on that some of the rows choose, counted one by one. */
static double touched(const struct oracle *q, const struct sw_layer_footprint *l, int from,
                      double rows)
{
    double sum = 0;
    for (int i = from; i < l->n_experts; i++) {
        const bool known = q->o->popularity && q->o->n_popularity == l->n_experts;
        const double share = known ? q->o->popularity[i] : 1.0 / l->n_experts;
        sum += 1 - pow(1 - fmin(1, share * l->n_used), rows);
    }
    return sum;
}

/* What a layer from disk keeps in memory, and what it then reads. */
static double kept(const struct sw_layer_footprint *l, int cached)
{
    if (cached < 0 || !l->n_experts)
        return 0;
    return (double)l->weight_bytes - (double)l->expert_bytes * (l->n_experts - cached);
}

/* Returns false when it does not fit; adds the host bytes to *host, gives the time. */
static bool weigh(const struct oracle *q, int rank, const struct way *w, double *host, double *time)
{
    const struct sw_footprint *fp = q->fp;
    const struct sw_node *node = &q->cl->nodes[q->node[rank]];
    const struct sw_plan_options *o = q->o;
    const bool gpu = q->device[rank] >= 0;
    const struct sw_device *dev = gpu ? &node->devices[q->device[rank]] : NULL;
    const double k = q->ranks_of[q->node[rank]];
    const double busy = o->groups > 0 ? fmin(o->groups, k) : k; /* ranks that read at once */
    const double host_bw = one_by_one(o) ? node->rank_bandwidth : node->host_bandwidth / busy;
    const double bus = one_by_one(o) ? node->bus_bandwidth : node->bus_bandwidth / busy;
    const double disk = one_by_one(o) ? node->disk_bandwidth : node->disk_bandwidth / busy;
    const double both = max2(max2(host_bw, bus), max2(node->both_bandwidth, node->host_bandwidth) /
                                                     (one_by_one(o) ? 1 : busy));
    const double cpu = node->cpu_flops / k;
    const double cpu_attend =
        (node->cpu_attend > 0 ? node->cpu_attend : node->cpu_flops * SW_HOST_ATTEND_SHARE) / k;
    const double cpu_decode =
        node->cpu_attend_decode > 0 ? node->cpu_attend_decode / k : cpu_attend;
    const double gpu_attend = !gpu              ? 0
                              : dev->attend > 0 ? dev->attend
                                                : dev->flops * SW_GPU_ATTEND_SHARE;
    const int count = w->n[0] + w->n[1] + w->n[2] + w->n[3];
    const bool embed = w->first == 0, head = w->first + count == fp->n_layers;
    double g = 0, h = 0, t = 0, biggest = 0, biggest_kv = 0;
    int at = -1, crossings = 0, at_prompt = -1, prompt_crossings = 0;
    if (!gpu && (w->n[0] || w->n[2] || (embed && w->egpu) || (head && w->hgpu)))
        return false;
    if (w->n[3] && (!node->disk_tier || o->no_disk))
        return false;
    if (w->passing && (!gpu || !w->n[1]))
        return false;
    if (w->dgpu && (!gpu || !w->n[3] || o->no_disk_gpu))
        return false;
    if (w->cached >= 0 && (w->dgpu || w->n[2]) && o->no_gpu_experts)
        return false;
    if (w->cached >= 0 && !w->n[3] && !w->n[2])
        return false;
    double unit = 0;
    for (int i = 0; i < fp->n_layers; i++) {
        biggest = max2(biggest, (double)fp->layers[i].weight_bytes);
        biggest_kv = max2(biggest_kv, (double)fp->layers[i].kv_bytes);
        unit = max2(unit, fp->layers[i].n_experts && w->cached >= 0
                              ? (double)fp->layers[i].expert_bytes * fp->layers[i].n_used
                              : (double)fp->layers[i].weight_bytes);
    }
#define AT(where, where_prompt)                                                                    \
    (crossings += at >= 0 && at != (where), at = (where),                                          \
     prompt_crossings += at_prompt >= 0 && at_prompt != (where_prompt),                            \
     at_prompt = (where_prompt))
    if (embed) {
        AT(w->egpu, w->egpu);
        *(w->egpu ? &g : &h) += (double)fp->embed_bytes;
        t += goal(q, q->batch, q->chunk) * (double)fp->embed_read_bytes /
             (w->egpu ? dev->bandwidth : host_bw);
    }
    double together[2][3] = {{0}}; /* of layers in host memory: computing, bus, memory */
    for (int j = 0, due = 0; j < count; j++) {
        const int i = w->first + j, mixed = w->n[1] + w->n[2];
        int tier = j < w->n[0] ? 0 : j < w->n[0] + mixed ? 1 : 3;
        if (tier == 1 && w->cached >= 0)
            tier = j < w->n[0] + w->n[1] ? 1 : 2;
        else if (tier == 1 && (due += w->n[2]) >= mixed) {
            tier = 2;
            due -= mixed;
        }
        {
            const struct sw_layer_footprint *l = &fp->layers[i];
            const double wb = (double)l->weight_bytes, kv = (double)l->kv_bytes;
            const double share = (double)l->read_bytes / wb;
            const bool on_gpu = tier == 0 || tier == 2 || (tier == 3 && w->dgpu);
            double lt[2]; /* a step's, a prompt's */
            for (int p = 0; p < 2; p++) {
                const double rows = p ? q->chunk : q->batch;
                const double positions = p ? seen_in_prompt(q, l) : seen_in_step(q, l);
                const double kv_rows =
                    p ? max2(rows, positions + (rows - 1) / 2) : rows * positions;
                const double seen = (double)l->kv_row_bytes * kv_rows;
                const double reads = l->n_experts ? wb - (double)l->expert_bytes *
                                                             (l->n_experts - touched(q, l, 0, rows))
                                                  : wb * (1 - pow(1 - share, rows));
                const bool by_expert = tier >= 2 && w->cached >= 0 && l->n_experts;
                const double moved =
                    by_expert ? (double)l->expert_bytes * touched(q, l, w->cached, rows) : wb;
                const double work = l->token_flops * rows;
                const double attention = l->attend_flops * rows * positions;
                const bool passes = p && tier == 1 && w->passing;
                const double attends =
                    on_gpu || passes
                        ? max2(seen / dev->bandwidth, attention / gpu_attend) + 8 * dev->launch
                        : max2(seen / host_bw, attention / (p ? cpu_attend : cpu_decode));
                lt[p] = on_gpu || passes ? max2(reads / dev->bandwidth, work / dev->flops)
                                         : max2(reads / host_bw, work / cpu);
                if (!by_expert)
                    lt[p] += attends;
                const double copies = passes ? seen + rows * (double)l->kv_row_bytes : 0;
                if (tier == 2 && w->cached >= 0) {
                    if (!l->n_experts) /* behind the layer before it */
                        lt[p] += wb / bus;
                    else
                        lt[p] = max2(lt[p], moved / bus);
                } else if (tier == 1 || tier == 2) {
                    const bool moves = tier == 2 || passes;
                    together[p][0] += lt[p] + copies / bus;
                    together[p][1] += moves ? (wb + copies) / bus : 0;
                    together[p][2] += (moves ? wb + copies : reads + seen) / both;
                    lt[p] = 0;
                }
                if (tier == 3 && w->dgpu)
                    lt[p] += moved / bus;
                if (tier == 3)
                    lt[p] = max2(lt[p], moved / disk);
                if (by_expert)
                    lt[p] += attends;
            }
            AT(on_gpu, on_gpu || (tier == 1 && w->passing));
            *(tier == 0 || (tier == 3 && on_gpu) ? &g : &h) += tier == 3 ? kept(l, w->cached) : wb;
            if (tier ==
                2) { /* the host has all experts, and nothing else of a layer that has some */
                g += kept(l, w->cached);
                h -= kept(l, w->cached < 0 ? -1 : 0);
            }
            *(on_gpu ? &g : &h) += kv;
            t += goal(q, lt[0], lt[1]);
        }
    }
    for (int p = 0; p < 2; p++) {
        const double longest = max2(together[p][0], max2(together[p][1], together[p][2]));
        const bool two = w->n[1] && w->n[2] && w->cached < 0 && !(p && w->passing);
        t += goal(q, p ? 0 : longest, p ? longest : 0) * (two ? 1.05 : 1);
    }
    if (head) {
        const double bytes = (double)fp->head_bytes, work = fp->head_flops;
        const double rate = w->hgpu ? dev->flops : cpu, read = w->hgpu ? dev->bandwidth : host_bw;
        AT(w->hgpu, w->hgpu);
        *(w->hgpu ? &g : &h) += bytes - (embed ? (double)fp->tied_bytes : 0);
        t += goal(q, max2(bytes / read, work * q->batch / rate), max2(bytes / read, work / rate));
    }
    if (embed && head && fp->tied_bytes && w->egpu != w->hgpu)
        return false;
    if (gpu)
        t += goal(q, crossings * (10e-6 + (double)fp->hop_bytes * q->batch / bus),
                  prompt_crossings * (10e-6 + (double)fp->hop_bytes * q->chunk / bus));
    if (w->n[0] || w->n[2] || w->passing || w->dgpu || (embed && w->egpu) || (head && w->hgpu))
        g += (double)o->gpu_context + (double)fp->gpu_work_bytes +
             (head && w->hgpu ? (double)fp->logits_bytes : 0) +
             ((w->n[2] && w->cached < 0) || w->passing ? 2 * biggest
              : w->dgpu && w->cached < 0               ? unit
                                                       : 0) +
             (w->cached >= 0 && (w->n[2] || w->dgpu) ? unit : 0) +
             (w->passing ? (double)fp->matrix_bytes + biggest_kv : 0);
    if (w->n[1] || (w->n[3] && !w->dgpu) || (embed && !w->egpu) || (head && !w->hgpu))
        h += (double)fp->work_bytes;
    h += (double)o->rank_host + (head ? (double)(fp->logits_bytes + fp->sampler_bytes) : 0) +
         max2((double)fp->load_bytes, w->n[3] ? 2 * unit + (double)fp->disk_read_bytes : 0) +
         (gpu ? 2.0 * (double)fp->hop_bytes * fp->params.max_batch_tokens : 0);
    if (g > 0) {
        const uint64_t have = o->gpu_memory < dev->free ? o->gpu_memory : dev->free;
        if (g > (double)have - (double)o->gpu_reserve)
            return false;
    }
    if (o->host_memory != UINT64_MAX && h > (double)o->host_memory)
        return false;
    *host += h;
    *time = t;
    return *host <= (double)node->host_free - (double)(o->node_reserve < node->host_free / 8
                                                           ? o->node_reserve
                                                           : node->host_free / 8);
}

static double hop(const struct oracle *q, int from, int to, bool ids)
{
    const double bytes = ids ? 4.0 : (double)q->fp->hop_bytes;
    const bool local = q->node[from] == q->node[to];
    const double latency = local ? q->cl->local_latency : q->cl->link_latency;
    const double bandwidth = local ? q->cl->local_bandwidth : q->cl->link_bandwidth;
    if (from == to)
        return 0;
    return goal(q, latency + q->batch * bytes / bandwidth,
                latency + (ids ? q->batch : q->chunk) * bytes / bandwidth);
}

static void finish(struct oracle *q, int last, double sum, double slowest)
{
    const double back = hop(q, last, 0, true);
    sum += back;
    slowest = max2(slowest, back);
    const bool latency = one_by_one(q->o);
    const double v[2] = {latency ? sum : slowest, latency ? 0 : sum};
    const double slack = 1e-10 * (fabs(v[0]) + fabs(q->best[0]));
    if (!q->found || v[0] < q->best[0] - slack ||
        (v[0] < q->best[0] + slack && v[1] < q->best[1])) {
        q->best[0] = v[0];
        q->best[1] = v[1];
    }
    q->found = true;
}

static void place(struct oracle *q, int rank, int first, int last, double host, double sum,
                  double slowest)
{
    if (first == q->fp->n_layers) {
        if (!q->o->slices)
            finish(q, last, sum, slowest);
        else {
            for (int r = rank; r < q->n_ranks; r++)
                if (q->o->slices[r])
                    return;
            finish(q, last, sum, slowest);
        }
        return;
    }
    if (rank == q->n_ranks)
        return;
    if (rank > 0 && q->node[rank] != q->node[rank - 1])
        host = 0;
    const int rest = q->fp->n_layers - first;
    for (int count = 0; count <= rest; count++) {
        if (q->o->slices && count != q->o->slices[rank])
            continue;
        if (count == 0) {
            place(q, rank + 1, first, last, host, sum, slowest);
            continue;
        }
        const double in = hop(q, last < 0 ? 0 : last, rank, last < 0);
        int experts = 0;
        for (int i = 0; i < q->fp->n_layers && !q->o->no_experts; i++)
            experts = q->fp->layers[i].n_experts > experts ? q->fp->layers[i].n_experts : experts;
        for (int bits = 0; bits < 16 * (1 + experts); bits++) {
            struct way w = {.cached = bits / 16 - 1,
                            .first = first,
                            .egpu = bits & 1,
                            .hgpu = bits & 2,
                            .passing = bits & 4,
                            .dgpu = bits & 8};
            if ((w.egpu && first > 0) || (w.hgpu && count < rest))
                continue;
            for (w.n[0] = 0; w.n[0] <= count; w.n[0]++)
                for (w.n[1] = 0; w.n[0] + w.n[1] <= count; w.n[1]++)
                    for (w.n[2] = 0; w.n[0] + w.n[1] + w.n[2] <= count; w.n[2]++) {
                        double used = host, t;
                        w.n[3] = count - w.n[0] - w.n[1] - w.n[2];
                        if (weigh(q, rank, &w, &used, &t))
                            place(q, rank + 1, first + count, rank, used, sum + in + t,
                                  max2(slowest, max2(in, t)));
                    }
        }
    }
}
/* Hits and bytes from disk of the plan's stages, counted anew. */
static bool disk_is_told(const struct sw_plan *plan, const struct oracle *q)
{
    bool good = true;
    for (int r = 0; r < plan->n_ranks; r++) {
        const struct sw_plan_stage *s = &plan->stages[r];
        const int cached = s->tiers.by_expert ? s->tiers.cached_experts : -1;
        double bytes = 0, choices = 0, missed = 0;
        const int disk = s->first + s->count - s->tiers.n_disk;
        for (int i = disk - s->tiers.n_streamed; i < s->first + s->count; i++) {
            const struct sw_layer_footprint *l = &q->fp->layers[i];
            const bool by_expert = cached >= 0 && l->n_experts;
            const bool known = q->o->popularity && q->o->n_popularity == l->n_experts;
            if (i >= disk)
                bytes += by_expert ? (double)l->expert_bytes * touched(q, l, cached, q->batch)
                                   : (double)l->weight_bytes;
            choices += l->n_used;
            for (int e = cached; by_expert && e < l->n_experts; e++)
                missed += l->n_used * (known ? q->o->popularity[e] : 1.0 / l->n_experts);
        }
        good &= fabs(s->disk_read - bytes) <= 1e-9 * bytes;
        good &= !s->tiers.by_expert || choices <= 0 ||
                fabs(s->expert_hits - (1 - missed / choices)) < 1e-9;
    }
    return good;
}

static void plan_value(const struct sw_plan *plan, const struct oracle *q, double v[2])
{
    double sum = 0, slowest = 0;
    for (int r = 0, last = -1; r < plan->n_ranks; r++) {
        const struct sw_plan_stage *s = &plan->stages[r];
        if (!s->count)
            continue;
        const double in = hop(q, last < 0 ? 0 : last, r, last < 0);
        const double out = s->head ? hop(q, r, 0, true) : 0;
        const double t = goal(q, s->step_s, s->prompt_s);
        sum += in + t + out;
        slowest = max2(slowest, max2(t, max2(in, out)));
        last = r;
    }
    const bool latency = one_by_one(q->o);
    v[0] = latency ? sum : slowest;
    v[1] = latency ? 0 : sum;
}

/* Chunks of a request's prompt, and their weight against a step. */
static void weigh_request(struct oracle *q)
{
    const struct sw_plan_options *o = q->o;
    const double most = q->fp->params.max_batch_tokens, prompt = o->prompt_tokens;
    const bool full = o->objective == SW_OBJECTIVE_THROUGHPUT;
    double chunks;
    if (full) {
        q->chunk = fmin(most, prompt * q->fp->params.slots);
        chunks = prompt / q->chunk;
    } else {
        chunks = ceil(prompt / most);
        q->chunk = ceil(prompt / chunks);
    }
    q->step_share = o->new_tokens ? 1 : 0;
    q->prompt_share = o->new_tokens ? chunks * q->batch / o->new_tokens : 1;
}

#endif

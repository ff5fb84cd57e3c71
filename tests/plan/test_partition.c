/* The planner against a brute force with its own arithmetic, on thousands of small clusters. */
#include "plan/plan.h"
#include "unit.h"

#include <math.h>

#define LAYERS 5
#define RANKS 4

struct oracle {
    const struct sw_footprint *fp;
    const struct sw_cluster *cl;
    const struct sw_plan_options *o;
    int n_ranks, batch, position, last_node;
    int node[RANKS], device[RANKS], ranks_of[RANKS];
    bool found;
    double best[2]; /* latency: sum, 0; throughput: slowest, sum */
};

/* One rank's way to hold its layers. */
struct way {
    int first, n[4]; /* gpu, host, streamed, disk */
    bool egpu, hgpu;
};

static double max2(double a, double b)
{
    return a > b ? a : b;
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
    const bool latency = o->objective == SW_OBJECTIVE_LATENCY;
    const double host_bw = latency ? node->rank_bandwidth : node->host_bandwidth / k;
    const double bus = latency ? node->bus_bandwidth : node->bus_bandwidth / k;
    const double disk = latency ? node->disk_bandwidth : node->disk_bandwidth / k;
    const double cpu = node->cpu_flops / k;
    const int count = w->n[0] + w->n[1] + w->n[2] + w->n[3];
    const bool embed = w->first == 0, head = w->first + count == fp->n_layers;
    double g = 0, h = 0, t = 0, biggest = 0;
    int at = -1, crossings = 0;
    if (!gpu && (w->n[0] || w->n[2] || (embed && w->egpu) || (head && w->hgpu)))
        return false;
    if (w->n[3] && (!node->disk_tier || o->no_disk))
        return false;
    for (int i = 0; i < fp->n_layers; i++)
        biggest = max2(biggest, (double)fp->layers[i].weight_bytes);
#define AT(where) (crossings += at >= 0 && at != (where), at = (where))
    if (embed) {
        AT(w->egpu);
        *(w->egpu ? &g : &h) += (double)fp->embed_bytes;
        t += (double)fp->embed_read_bytes * q->batch / (w->egpu ? dev->bandwidth : host_bw);
    }
    for (int tier = 0, i = w->first; tier < 4; tier++)
        for (int end = i + w->n[tier]; i < end; i++) {
            const struct sw_layer_footprint *l = &fp->layers[i];
            const double wb = (double)l->weight_bytes, kv = (double)l->kv_bytes;
            const double share = (double)l->read_bytes / wb;
            const double touched = wb * (1 - pow(1 - share, q->batch)) +
                                   (double)l->kv_row_bytes * q->batch * q->position;
            const double work = l->token_flops * q->batch;
            const bool on_gpu = tier == 0 || tier == 2;
            double lt = on_gpu ? max2(touched / dev->bandwidth, work / dev->flops)
                               : max2(touched / host_bw, work / cpu);
            AT(on_gpu);
            *(tier == 0 ? &g : &h) += tier == 3 ? 0 : wb;
            *(on_gpu ? &g : &h) += kv;
            if (tier == 2)
                lt = max2(lt, wb / bus);
            if (tier == 3)
                lt = max2(lt, wb / disk);
            t += lt;
        }
    if (head) {
        const double bytes = (double)fp->head_bytes, work = fp->head_flops * q->batch;
        AT(w->hgpu);
        *(w->hgpu ? &g : &h) += bytes - (embed ? (double)fp->tied_bytes : 0);
        t += w->hgpu ? max2(bytes / dev->bandwidth, work / dev->flops)
                     : max2(bytes / host_bw, work / cpu);
    }
    if (embed && head && fp->tied_bytes && w->egpu != w->hgpu)
        return false;
    if (gpu)
        t += crossings * (10e-6 + (double)fp->hop_bytes * q->batch / bus);
    if (w->n[0] || w->n[2] || (embed && w->egpu) || (head && w->hgpu))
        g += (double)o->gpu_context + (double)fp->gpu_work_bytes +
             (head && w->hgpu ? (double)fp->logits_bytes : 0) +
             (w->n[2] ? 2 * biggest + (double)fp->matrix_bytes : 0);
    if (w->n[1] || w->n[3] || (embed && !w->egpu) || (head && !w->hgpu))
        h += (double)fp->work_bytes;
    h += (double)o->rank_host + (head ? (double)fp->logits_bytes : 0) +
         max2((double)fp->load_bytes, w->n[3] ? 2 * biggest : 0) +
         (gpu ? 2.0 * (double)fp->hop_bytes * fp->params.rows : 0);
    if (g > 0) {
        const uint64_t have = o->gpu_memory < dev->free ? o->gpu_memory : dev->free;
        if (g > (double)have - (double)o->gpu_reserve)
            return false;
    }
    if (o->host_memory != UINT64_MAX && h > (double)o->host_memory)
        return false;
    *host += h;
    *time = t;
    return *host <= (double)node->host_free - (double)o->node_reserve;
}

static double hop(const struct oracle *q, int from, int to, bool ids)
{
    const double bytes = q->batch * (ids ? 4.0 : (double)q->fp->hop_bytes);
    if (from == to)
        return 0;
    if (q->node[from] == q->node[to])
        return q->cl->local_latency + bytes / q->cl->local_bandwidth;
    return q->cl->link_latency + bytes / q->cl->link_bandwidth;
}

static void finish(struct oracle *q, int last, double sum, double slowest)
{
    const double back = hop(q, last, 0, true);
    sum += back;
    slowest = max2(slowest, back);
    const bool latency = q->o->objective == SW_OBJECTIVE_LATENCY;
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
        for (int bits = 0; bits < 4; bits++) {
            struct way w = {.first = first, .egpu = bits & 1, .hgpu = bits & 2};
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

static uint64_t state;
static unsigned roll(unsigned n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

static void random_footprint(struct sw_footprint *fp, struct sw_layer_footprint *layers)
{
    const bool uniform = roll(2);
    *fp = (struct sw_footprint){.n_layers = 1 + (int)roll(LAYERS), .layers = layers};
    fp->params = (struct sw_footprint_params){.weights = SW_F16,
                                              .kv = SW_F16,
                                              .context = 1 + (int)roll(50),
                                              .slots = 1 + (int)roll(6),
                                              .rows = 1 + (int)roll(4)};
    for (int i = 0; i < fp->n_layers; i++) {
        struct sw_layer_footprint *l = &layers[i];
        if (i && uniform) {
            *l = layers[0];
            continue;
        }
        l->weight_bytes = 1000 + roll(2000);
        l->read_bytes = roll(3) ? l->weight_bytes : l->weight_bytes / (1 + roll(4));
        l->kv_bytes = roll(4) ? roll(800) : 0;
        l->kv_row_bytes = roll(20);
        l->token_flops = roll(4) ? 2.0 * (double)l->read_bytes : 1000.0 * roll(100);
    }
    fp->embed_bytes = roll(1500);
    fp->embed_read_bytes = roll(50);
    fp->head_bytes = 100 + roll(1500);
    fp->tied_bytes = roll(2) ? 0 : roll((unsigned)fp->head_bytes);
    if (fp->tied_bytes > fp->embed_bytes)
        fp->tied_bytes = fp->embed_bytes;
    fp->head_flops = roll(3000);
    fp->hop_bytes = roll(60);
    fp->work_bytes = roll(400);
    fp->gpu_work_bytes = roll(400);
    fp->matrix_bytes = roll(1500);
    fp->logits_bytes = roll(200);
    fp->load_bytes = roll(900);
}

static void random_cluster(struct sw_cluster *cl, int most_ranks)
{
    sw_cluster_init(cl);
    const bool slow_gpu = roll(6) == 0;
    for (int ranks = 0; ranks < most_ranks;) {
        struct sw_node *node = sw_cluster_add_node(cl);
        const int n = 1 + (int)roll((unsigned)(most_ranks - ranks));
        const int devices = (int)roll((unsigned)n + 1);
        node->host_free = node->host_total = 600 + roll(14000);
        node->rank_bandwidth = 1e6 * (1 + roll(40));
        node->host_bandwidth = node->rank_bandwidth * (1 + roll(3));
        node->cpu_flops = 1e6 * (1 + roll(400));
        node->bus_bandwidth = 1e6 * (1 + roll(60));
        node->disk_bandwidth = 1e6 * (1 + roll(10));
        node->disk_tier = roll(2);
        for (int d = 0; d < devices; d++) {
            struct sw_device *device = sw_node_add_device(node);
            device->free = device->total = 500 + roll(9000);
            device->bandwidth = slow_gpu ? 1e6 * (1 + roll(30)) : 1e6 * (50 + roll(500));
            device->flops = slow_gpu ? 1e6 * (1 + roll(300)) : 1e9;
            if (d && roll(2))
                *device = node->devices[d - 1];
        }
        node->n_ranks = n;
        ranks += n;
        if (roll(3) == 0)
            break;
    }
    cl->link_latency = roll(3) * 20e-6;
    cl->link_bandwidth = 1e6 * (1 + roll(50));
    cl->local_latency = roll(2) * 2e-6;
    cl->local_bandwidth = 1e6 * (20 + roll(100));
}

static void random_options(struct sw_plan_options *o, const struct sw_cluster *cl, int n_layers,
                           int *slices)
{
    sw_plan_options_init(o);
    o->objective = roll(2) ? SW_OBJECTIVE_LATENCY : SW_OBJECTIVE_THROUGHPUT;
    o->micro_batch = (int)roll(4);
    o->gpu_context = roll(200);
    o->gpu_reserve = roll(100);
    o->rank_host = roll(100);
    o->node_reserve = roll(100);
    o->gpu_memory = roll(5) ? UINT64_MAX : 3000 + roll(5000);
    o->host_memory = roll(5) ? UINT64_MAX : 3000 + roll(5000);
    o->no_disk = roll(6) == 0;
    o->position = roll(2) ? -1 : (int)roll(30);
    if (roll(5) == 0) {
        const int ranks = sw_cluster_n_ranks(cl);
        for (int r = 0, rest = n_layers; r < ranks; r++) {
            slices[r] = r + 1 == ranks ? rest : (int)roll((unsigned)rest + 1);
            rest -= slices[r];
        }
        o->slices = slices;
        o->n_slices = ranks;
    }
}

static void plan_value(const struct sw_plan *plan, const struct oracle *q, double v[2])
{
    double sum = 0, slowest = 0;
    for (int r = 0, last = -1; r < plan->n_ranks; r++) {
        const struct sw_stage *s = &plan->stages[r];
        if (!s->count)
            continue;
        const double in = hop(q, last < 0 ? 0 : last, r, last < 0);
        const double out = s->head ? hop(q, r, 0, true) : 0;
        sum += in + s->step_s + out;
        slowest = max2(slowest, max2(s->step_s, max2(in, out)));
        last = r;
    }
    const bool latency = q->o->objective == SW_OBJECTIVE_LATENCY;
    v[0] = latency ? sum : slowest;
    v[1] = latency ? 0 : sum;
}

/* One random case; returns whether it fits. */
static bool compare(uint64_t seed, int most_ranks)
{
    struct sw_layer_footprint layers[LAYERS];
    struct sw_footprint fp;
    struct sw_cluster cl;
    struct sw_plan_options o;
    struct sw_plan plan;
    int slices[RANKS];
    char why[256];
    state = seed * 2654435761u + 12345;
    random_footprint(&fp, layers);
    random_cluster(&cl, most_ranks);
    random_options(&o, &cl, fp.n_layers, slices);
    struct oracle q = {.fp = &fp, .cl = &cl, .o = &o, .n_ranks = sw_cluster_n_ranks(&cl)};
    for (int r = 0; r < q.n_ranks; r++) {
        sw_cluster_rank(&cl, r, &q.node[r], &q.device[r]);
        q.ranks_of[q.node[r]]++;
    }
    const enum sw_status status = sw_plan_make(&fp, &cl, &o, &plan);
    q.batch = o.micro_batch ? o.micro_batch
              : o.objective == SW_OBJECTIVE_THROUGHPUT && fp.params.slots > q.n_ranks
                  ? fp.params.slots / q.n_ranks
                  : 1;
    q.position = o.position >= 0 ? o.position : fp.params.context / 2;
    place(&q, 0, 0, -1, 0, 0, 0);
    bool good = status == (q.found ? SW_OK : SW_ENOFIT) && plan.fits == q.found;
    if (good && q.found) {
        double v[2];
        plan_value(&plan, &q, v);
        /* times are whole picoseconds: a few of them may be off */
        good = fabs(v[0] - q.best[0]) <= 1e-9 * q.best[0] + 1e-10 &&
               fabs(v[1] - q.best[1]) <= 1e-9 * q.best[1] + 1e-10;
        if (!good)
            printf("    seed %llu: planned %.15g %.15g, brute force %.15g %.15g\n",
                   (unsigned long long)seed, v[0], v[1], q.best[0], q.best[1]);
        if (!sw_plan_check(&plan, &fp, &cl, &o, why, sizeof why)) {
            printf("    seed %llu: %s\n", (unsigned long long)seed, why);
            good = false;
        }
    } else if (!good) {
        printf("    seed %llu: status %s, brute force %s: %s\n", (unsigned long long)seed,
               sw_status_name(status), q.found ? "fits" : "does not", sw_error_message());
    }
    CU_ASSERT(good);
    sw_plan_free(&plan);
    sw_cluster_free(&cl);
    return q.found;
}

static void equals_brute_force(void)
{
    int fits = 0, cases = 0;
    for (uint64_t seed = 1; seed <= 20000; seed++, cases++)
        fits += compare(seed, 3);
    for (uint64_t seed = 100001; seed <= 101500; seed++, cases++)
        fits += compare(seed, RANKS);
    printf("    %d cases, %d fit\n", cases, fits);
    CU_ASSERT(fits > cases / 4);
    CU_ASSERT(fits < cases);
}

SW_UNIT_TESTS({"equals brute force", equals_brute_force})

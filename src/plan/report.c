/* Owns a plan as text: the table of ranks, a bar for each memory, the prediction, the advice. */
#include "plan/report.h"

#include "base/units.h"
#include "model/weight_choice.h"

#include <stdio.h>
#include <string.h>

/* The parts of a bar, in their order. */
enum part { PART_WEIGHTS, PART_KV, PART_WORK, PART_RESERVE, PART_OTHERS, PART_FREE, PARTS };

static const struct bar_look {
    const char *unicode, *ascii, *colour, *name;
} bar_looks[PARTS] = {
    {"█", "#", "\033[34m", "weights"},   {"▓", "k", "\033[36m", "KV cache"},
    {"▒", "w", "\033[33m", "workspace"}, {"░", "-", "\033[90m", "reserve"},
    {"╳", "x", "\033[31m", "in use"},    {"·", ".", "\033[90m", "free"},
};

struct bar {
    uint64_t part[PARTS];
    uint64_t total;
};

struct printer {
    const struct sw_report *r;
    const struct sw_report_style *style;
    struct sw_strbuf *out;
};

static void bar_add(struct bar *bar, const struct sw_bytes *b)
{
    bar->part[PART_WEIGHTS] += b->weights + b->embed + b->head;
    bar->part[PART_KV] += b->kv;
    bar->part[PART_WORK] += b->total - b->weights - b->embed - b->head - b->kv;
}

static void bar_close(struct bar *bar, uint64_t free, uint64_t total, uint64_t reserve)
{
    uint64_t used = 0;
    bar->total = total;
    bar->part[PART_OTHERS] = total - free;
    bar->part[PART_RESERVE] = reserve < free ? reserve : free;
    for (int i = 0; i < PART_FREE; i++)
        used += bar->part[i];
    bar->part[PART_FREE] = used < total ? total - used : 0;
}

static void put_bar(const struct printer *p, const struct bar *bar, int width)
{
    uint64_t end = 0;
    int cell = 0;
    sw_strbuf_puts(p->out, p->style->unicode ? "▕" : "[");
    for (int i = 0; i < PARTS && bar->total; i++) {
        end += bar->part[i];
        const int stop =
            i + 1 == PARTS ? width : (int)((double)end / (double)bar->total * width + 0.5);
        if (p->style->colour && cell < stop)
            sw_strbuf_puts(p->out, bar_looks[i].colour);
        for (const int from = cell; cell < stop && cell < width; cell++)
            sw_strbuf_puts(p->out, cell < from         ? ""
                                   : p->style->unicode ? bar_looks[i].unicode
                                                       : bar_looks[i].ascii);
        if (p->style->colour)
            sw_strbuf_puts(p->out, "\033[0m");
    }
    sw_strbuf_puts(p->out, p->style->unicode ? "▏" : "]");
}

static uint64_t bar_used(const struct bar *bar)
{
    return bar->part[PART_WEIGHTS] + bar->part[PART_KV] + bar->part[PART_WORK];
}

static const char *report_range(int first, int count, char *out, size_t cap)
{
    if (count == 1)
        snprintf(out, cap, "%d", first);
    else
        snprintf(out, cap, "%d-%d", first, first + count - 1);
    return out;
}

/* "layers 20-33", "streamed 34-40", "layers 20-40 (14 by the CPU, 7 over the bus meanwhile)", or
 * "layers 20-33, streamed by expert 34-40". */
static const char *report_host_layers(const struct sw_plan_stage *s, char *out, size_t cap)
{
    const struct sw_tiers *t = &s->tiers;
    const int first = s->first + t->n_gpu, count = t->n_host + t->n_streamed;
    const char *prompts = s->stream_prompt ? "on the GPU for prompts" : "";
    char layers[32], range[32];
    int n = 0;
    if (t->n_host && t->n_streamed && !t->by_expert) {
        snprintf(out, cap, "%s (%d by the CPU%s%s, %d over the bus meanwhile)",
                 sw_layers_format(first, count, layers, sizeof layers), t->n_host,
                 prompts[0] ? " and " : "", prompts, t->n_streamed);
        return out;
    }
    if (t->n_host)
        n = snprintf(
            out, cap, "%s%s%s%s%s", sw_layers_format(first, t->n_host, layers, sizeof layers),
            prompts[0] ? " (" : "", prompts, prompts[0] ? ")" : "", t->n_streamed ? ", " : "");
    if (t->n_streamed && n >= 0 && (size_t)n < cap)
        snprintf(out + n, cap - (size_t)n, "streamed %s%s", t->by_expert ? "by expert " : "",
                 report_range(first + t->n_host, t->n_streamed, range, sizeof range));
    return out;
}

/* Writes what a stage has in host memory, "layers 20-33, from disk 34-40, head". */
static void describe_host(const struct sw_plan_stage *s, char *text, size_t cap)
{
    struct sw_strbuf b = {0};
    char layers[96];
    const char *comma = "";
#define ITEM(there, ...)                                                                           \
    ((there) ? (sw_strbuf_puts(&b, comma), comma = ", ", sw_strbuf_printf(&b, __VA_ARGS__))        \
             : (void)0)
    ITEM(s->embed && !s->tiers.embed_on_gpu, "embedding");
    ITEM(s->tiers.n_host || s->tiers.n_streamed, "%s",
         report_host_layers(s, layers, sizeof layers));
    ITEM(s->tiers.n_disk && !s->tiers.disk_on_gpu, "from disk %s",
         report_range(s->first + s->count - s->tiers.n_disk, s->tiers.n_disk, layers,
                      sizeof layers));
    ITEM(s->head && !s->tiers.head_on_gpu, "head");
    snprintf(text, cap, "%s", b.text ? b.text : "");
    sw_strbuf_free(&b);
}

/* Writes what a stage has in GPU memory, or runs there from disk, "embedding, layers 0-19". */
static void describe_gpu(const struct sw_plan_stage *s, char *text, size_t cap)
{
    struct sw_strbuf b = {0};
    char layers[32];
    const char *comma = "";
    ITEM(s->embed && s->tiers.embed_on_gpu, "embedding");
    ITEM(s->tiers.n_gpu, "%s", sw_layers_format(s->first, s->tiers.n_gpu, layers, sizeof layers));
    ITEM(s->tiers.disk_on_gpu, "from disk %s",
         report_range(s->first + s->count - s->tiers.n_disk, s->tiers.n_disk, layers,
                      sizeof layers));
    ITEM(s->head && s->tiers.head_on_gpu, "head");
    ITEM(!s->count, "left out");
#undef ITEM
    snprintf(text, cap, "%s", b.text ? b.text : "");
    sw_strbuf_free(&b);
}

static void put_memory(const struct printer *p, const char *rank, const char *name,
                       const struct bar *bar, const char *what)
{
    char used[16], total[16];
    const int columns = p->style->width ? p->style->width : 100;
    int width = columns - 72;
    width = width < 12 ? 12 : width > 48 ? 48 : width;
    sw_strbuf_printf(p->out, "  %4s  %-5s", rank, name);
    put_bar(p, bar, width);
    sw_strbuf_printf(p->out, " %9s of ", sw_size_format(bar_used(bar), used, sizeof used));
    sw_size_format(bar->total, total, sizeof total);
    if (what[0])
        sw_strbuf_printf(p->out, "%-9s %s\n", total, what);
    else
        sw_strbuf_printf(p->out, "%s\n", total);
}

static void put_gpu_rank(const struct printer *p, const struct sw_plan_stage *s)
{
    const struct sw_node *node = &p->r->cluster->nodes[s->node];
    const struct sw_device *device = &node->devices[s->device];
    char text[192], name[24], rank[16];
    struct bar bar = {0};
    describe_gpu(s, text, sizeof text);
    snprintf(name, sizeof name, "gpu%d", s->device);
    snprintf(rank, sizeof rank, "%d", s->rank);
    if (s->count)
        bar_add(&bar, &s->gpu);
    bar_close(&bar, device->free, device->total, p->r->options->gpu_reserve);
    put_memory(p, rank, name, &bar, text);
}

static bool same_amounts(const struct sw_node *a, const struct sw_node *b)
{
    return a->host_free == b->host_free && a->host_total == b->host_total &&
           a->n_devices == b->n_devices && a->n_ranks == b->n_ranks;
}

/* Whether a node has no layers; equal ones in a row are reported in one line. */
static bool node_idle(const struct sw_plan *plan, int node)
{
    for (int r = 0; r < plan->n_ranks; r++)
        if (plan->stages[r].node == node && plan->stages[r].count)
            return false;
    return true;
}

static void report_put_node(const struct printer *p, int n)
{
    const struct sw_plan *plan = p->r->plan;
    const struct sw_node *node = &p->r->cluster->nodes[n];
    struct bar host = {0};
    int ranks = 0;
    char text[192] = "", more[192], rank[16];
    sw_strbuf_printf(p->out, "\n%s\n", node->name);
    for (int r = 0; r < plan->n_ranks; r++) {
        const struct sw_plan_stage *s = &plan->stages[r];
        if (s->node != n)
            continue;
        if (s->device >= 0)
            put_gpu_rank(p, s);
        if (!s->count)
            continue;
        bar_add(&host, &s->host);
        describe_host(s, more, sizeof more);
        if (more[0]) { /* the last rank with something in host memory; `ranks` counts them */
            ranks++;
            snprintf(text, sizeof text, "%s", more);
            snprintf(rank, sizeof rank, "%d", r);
        }
    }
    bar_close(&host, node->host_free, node->host_total,
              sw_node_reserve(p->r->options, node->host_free));
    if (node_idle(plan, n) && !node->n_devices)
        snprintf(text, sizeof text, "left out");
    if (ranks <= 1) {
        put_memory(p, ranks ? rank : "", "host", &host, text);
        return;
    }
    put_memory(p, "", "host", &host, "");
    for (int r = 0; r < plan->n_ranks; r++) {
        char used[16];
        const struct sw_plan_stage *s = &plan->stages[r];
        describe_host(s, more, sizeof more);
        if (s->node == n && s->count && more[0])
            sw_strbuf_printf(p->out, "  %4d    of which %s: %s\n", r,
                             sw_size_format(s->host.total, used, sizeof used), more);
    }
}

static void put_nodes(const struct printer *p)
{
    const struct sw_plan *plan = p->r->plan;
    const int last = plan->stages[plan->n_ranks - 1].node;
    for (int n = 0; n <= last; n++) {
        int idle = 0;
        while (n + idle <= last && node_idle(plan, n + idle) &&
               same_amounts(&p->r->cluster->nodes[n], &p->r->cluster->nodes[n + idle]))
            idle++;
        if (idle > 1) {
            sw_strbuf_printf(p->out, "\n%s to %s: left out (%d nodes)\n",
                             p->r->cluster->nodes[n].name, p->r->cluster->nodes[n + idle - 1].name,
                             idle);
            n += idle - 1;
        } else {
            report_put_node(p, n);
        }
    }
}

static void put_legend(const struct printer *p)
{
    sw_strbuf_puts(p->out, "\n ");
    for (int i = 0; i < PARTS; i++)
        sw_strbuf_printf(p->out, " %s%s%s %s%s", p->style->colour ? bar_looks[i].colour : "",
                         p->style->unicode ? bar_looks[i].unicode : bar_looks[i].ascii,
                         p->style->colour ? "\033[0m" : "", bar_looks[i].name,
                         i + 1 < PARTS ? " " : "\n");
}

static void put_title(const struct printer *p)
{
    const struct sw_footprint *fp = p->r->footprint;
    char size[16], kv[16], names[SW_CHOICE_TEXT];
    uint64_t weights = fp->embed_bytes + fp->head_bytes - fp->tied_bytes, cache = 0;
    bool states = false;
    for (int i = 0; i < fp->n_layers; i++) {
        weights += fp->layers[i].weight_bytes;
        cache += fp->layers[i].kv_bytes;
        states |= fp->layers[i].state_bytes > 0;
    }
    sw_strbuf_printf(p->out, "%s: %d layers, %s of %s weights, %s of KV cache%s (%d x %d tokens)\n",
                     p->r->model ? p->r->model : "model", fp->n_layers,
                     sw_size_format(weights, size, sizeof size),
                     sw_weights_text(&fp->params, names), sw_size_format(cache, kv, sizeof kv),
                     states ? " and states" : "", fp->params.slots, fp->params.context);
}

/* What is kept of layers that move by expert, and what is done about the rest. */
static void report_put_experts(const struct printer *p)
{
    for (int r = 0; r < p->r->plan->n_ranks; r++) {
        const struct sw_plan_stage *s = &p->r->plan->stages[r];
        const bool streams = s->tiers.n_streamed > 0, reads = s->tiers.n_disk > 0;
        if (s->tiers.by_expert)
            sw_strbuf_printf(
                p->out,
                "  experts    rank %d keeps %d of each %s layer's%s and %s what else is chosen: "
                "%.0f%% hits\n",
                r, s->tiers.cached_experts,
                streams && reads ? "streamed and disk"
                : streams        ? "streamed"
                                 : "disk",
                (streams && !reads) || s->tiers.disk_on_gpu ? " on its GPU" : "",
                reads ? "reads" : "copies", 100 * s->expert_hits);
    }
}

/* What memory has no room for, and what that costs; whom a pass serves for which weights move. */
static void report_put_moving(const struct printer *p)
{
    const struct sw_plan *plan = p->r->plan;
    char bytes[16];
    int layers = 0, streamed = 0;
    for (int r = 0; r < plan->n_ranks; r++) {
        const struct sw_plan_stage *s = &plan->stages[r];
        layers += s->tiers.n_disk;
        streamed += s->tiers.n_streamed + s->stream_prompt;
    }
    if (layers)
        sw_strbuf_printf(
            p->out,
            "  from disk  %d of %d layers, which memory has no room for: %s for each token\n",
            layers, plan->n_layers,
            sw_size_format((uint64_t)plan->predicted.disk_bytes, bytes, sizeof bytes));
    report_put_experts(p);
    if (plan->objective == SW_OBJECTIVE_THROUGHPUT && (layers || streamed))
        sw_strbuf_printf(p->out,
                         "  each pass over the weights serves %d sequence%s or %d tokens of "
                         "prompts\n",
                         plan->micro_batch, plan->micro_batch == 1 ? "" : "s", plan->prompt_rows);
}

static void put_prediction(const struct printer *p)
{
    const struct sw_plan *plan = p->r->plan;
    const struct sw_prediction *q = &plan->predicted;
    char load[32], token[32], request[32], rate[16], prompts[16];
    const bool full = plan->objective == SW_OBJECTIVE_THROUGHPUT;
    sw_strbuf_printf(p->out, "\n  predicted  %s tokens/s",
                     sw_number_format(q->tokens_per_s, rate, sizeof rate));
    sw_strbuf_printf(p->out, " (%s a token%s), prompts %s tokens/s, loading %s\n",
                     sw_seconds_format(q->s_per_token, token, sizeof token),
                     full ? " in each slot" : "",
                     sw_number_format(q->prompt_tokens_per_s, prompts, sizeof prompts),
                     sw_seconds_format(q->load_s, load, sizeof load));
    report_put_moving(p);
    sw_strbuf_printf(p->out,
                     "  %s for %s of requests with %d prompt and %d new tokens (%s each)\n"
                     "  %d stage%s on %d rank%s",
                     p->r->options->slices ? "cut by hand, tiers" : "optimum",
                     full ? "throughput" : "latency", p->r->options->prompt_tokens,
                     p->r->options->new_tokens,
                     sw_seconds_format(q->s_per_request, request, sizeof request), plan->n_stages,
                     plan->n_stages == 1 ? "" : "s", plan->n_ranks, plan->n_ranks == 1 ? "" : "s");
    if (plan->n_stages < plan->n_ranks)
        sw_strbuf_printf(p->out, ", %d left out", plan->n_ranks - plan->n_stages);
    sw_strbuf_puts(p->out, "\n");
}

static void put_advice(const struct printer *p)
{
    const struct sw_plan *plan = p->r->plan;
    char need[16], have[16];
    sw_strbuf_printf(p->out,
                     "\n  does not fit: weights and KV cache take %s, free after reserves "
                     "are %s\n",
                     sw_size_format(plan->needed, need, sizeof need),
                     sw_size_format(plan->available, have, sizeof have));
    sw_strbuf_puts(p->out, plan->n_advice ? "  any one of these makes it fit:\n"
                                          : "  no single change that was tried makes it fit\n");
    for (int i = 0; i < plan->n_advice; i++)
        sw_strbuf_printf(p->out, "    %s %s\n", p->style->unicode ? "•" : "-",
                         plan->advice[i].text);
}

/* Where GPUs are there and cannot be used. */
static void report_put_cpu_only(const struct printer *p)
{
    int gpus = 0;
    for (int i = 0; i < p->r->cluster->n_nodes; i++)
        gpus += p->r->cluster->nodes[i].n_devices;
    const int only = p->r->footprint->cpu_only;
    if (gpus && only)
        sw_strbuf_printf(p->out, "  GPUs are left out: they have no kernels for %s\n",
                         only == SW_CPU_ONLY_LATENT ? "latents so wide"
                         : only == SW_CPU_ONLY_HEADS
                             ? "heads so wide"
                             : sw_format_of((enum sw_format_id)(only - 1))->name);
}

void sw_report_text(const struct sw_report *report, const struct sw_report_style *style,
                    struct sw_strbuf *out)
{
    const struct printer p = {report, style, out};
    put_title(&p);
    report_put_cpu_only(&p);
    if (!report->plan->fits) {
        put_advice(&p);
        return;
    }
    put_nodes(&p);
    put_legend(&p);
    put_prediction(&p);
}

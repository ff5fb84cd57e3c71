/* Owns a plan as a Slurm job file: the requests for its nodes, part by part, then the script. */
#include "plan/report.h"

#include "base/units.h"

#include <stdio.h>
#include <string.h>

#define PARTS_MAX 128  /* parts of a job; Slurm's own limit */
#define LOADER_CORES 4 /* cores for a rank whose layers are all on its GPU */
#define BODY "# ---- what runs ----\n"
#define GIB (1ull << 30)
#define MIB (1ull << 20)

extern const unsigned char sw_job_script[]; /* launch/slurm.sbatch; made by CMakeLists.txt */

/* What one node of the plan needs. */
struct need {
    int ranks, gpus;
    int cpus;     /* cores for each rank; 0: all of the node */
    uint64_t mib; /* MiB of host memory */
};

/* Nodes [first, last] of the cluster, of which those with layers have equal needs. */
struct part {
    struct need need;
    uint64_t room;          /* MiB of host memory that are free on each of its nodes */
    int first, last, nodes; /* nodes: number of those with layers */
    int first_rank, last_rank, first_layer, last_layer;
};

/*
 * MiB to request for a node: what its ranks hold and the planner's reserve; also a twentieth more
 * for other processes of the job, if the node has that.
 */
static uint64_t sbatch_memory(const struct sw_report *r, const struct sw_node *node, uint64_t bytes)
{
    const uint64_t least = sw_node_with_reserve(r->options, bytes);
    uint64_t most = bytes + r->options->node_reserve + bytes / 20 + GIB / 4;
    if (most > node->host_free)
        most = node->host_free > least ? node->host_free : least;
    const uint64_t unit = most > 8 * GIB ? GIB : 256 * MIB;
    const uint64_t up = (most + unit - 1) / unit * unit;
    const uint64_t down = most / unit * unit;
    return (up <= node->host_free || down < least ? up : down) / MIB;
}

/* Fills a part with what node n needs. False: the node has no layers. */
static bool sbatch_need(const struct sw_report *r, const struct sw_sbatch_job *job, int n,
                        struct part *part)
{
    const struct sw_node *node = &r->cluster->nodes[n];
    struct need *need = &part->need;
    uint64_t bytes = 0;
    bool computes = false;
    *part = (struct part){
        .first = n, .last = n, .nodes = 1, .first_rank = -1, .room = node->host_free / MIB};
    for (int i = 0; i < r->plan->n_ranks; i++) {
        const struct sw_plan_stage *s = &r->plan->stages[i];
        if (s->node != n || !s->count)
            continue;
        if (part->first_rank < 0) {
            part->first_rank = i;
            part->first_layer = s->first;
        }
        part->last_rank = i;
        part->last_layer = s->first + s->count - 1;
        need->ranks++;
        need->gpus += s->device >= 0;
        bytes += s->host.total;
        computes = computes || s->tiers.n_host || (s->tiers.n_disk && !s->tiers.disk_on_gpu);
    }
    if (!need->ranks)
        return false;
    need->mib = sbatch_memory(r, node, bytes);
    need->cpus = node->cores / need->ranks;
    if (!computes && (!need->cpus || need->cpus > LOADER_CORES))
        need->cpus = LOADER_CORES;
    if (node->cores && !need->cpus)
        need->cpus = 1;
    if (job->threads)
        need->cpus = job->threads;
    return true;
}

/* Adds a node to a part if both have equal needs, and memory for the larger of the two. */
static bool sbatch_join(struct part *part, const struct part *next)
{
    struct need *a = &part->need;
    const struct need *b = &next->need;
    const uint64_t mib = a->mib > b->mib ? a->mib : b->mib;
    const uint64_t room = part->room < next->room ? part->room : next->room;
    if (a->ranks != b->ranks || a->gpus != b->gpus || a->cpus != b->cpus ||
        (a->mib != b->mib && mib > room))
        return false;
    a->mib = mib;
    part->room = room;
    part->last = next->last;
    part->last_rank = next->last_rank;
    part->last_layer = next->last_layer;
    part->nodes++;
    return true;
}

/* Fills parts and returns their number. Ranks follow the parts, so only neighbours are joined. */
static int sbatch_parts(const struct sw_report *r, const struct sw_sbatch_job *job,
                        struct part *parts)
{
    int n = 0;
    for (int i = 0; i < r->cluster->n_nodes; i++) {
        struct part next;
        if (!sbatch_need(r, job, i, &next))
            continue;
        if (n > 0 && n <= PARTS_MAX && sbatch_join(&parts[n - 1], &next))
            continue;
        if (n++ < PARTS_MAX)
            parts[n - 1] = next;
    }
    return n;
}

/* "layer 3", "layers 3-8" */
static const char *sbatch_range(const char *what, int first, int last, char *out, size_t cap)
{
    if (first == last)
        snprintf(out, cap, "%s %d", what, first);
    else
        snprintf(out, cap, "%ss %d-%d", what, first, last);
    return out;
}

static void put_part(const struct sw_report *r, const struct part *p, struct sw_strbuf *out)
{
    const struct need *n = &p->need;
    char ranks[32], layers[32];
    const char *first = r->cluster->nodes[p->first].name, *last = r->cluster->nodes[p->last].name;
    sw_strbuf_printf(out, "#\n# %s%s%s of the plan: %s, %s\n", first, p->nodes > 1 ? " to " : "",
                     p->nodes > 1 ? last : "",
                     sbatch_range("rank", p->first_rank, p->last_rank, ranks, sizeof ranks),
                     sbatch_range("layer", p->first_layer, p->last_layer, layers, sizeof layers));
    sw_strbuf_printf(out, "#SBATCH --nodes=%d\n#SBATCH --ntasks-per-node=%d\n", p->nodes, n->ranks);
    if (n->gpus == n->ranks)
        sw_strbuf_puts(out, "#SBATCH --gpus-per-task=1\n");
    else if (n->gpus)
        sw_strbuf_printf(out, "#SBATCH --gres=gpu:%d\n", n->gpus);
    if (n->mib % 1024 == 0)
        sw_strbuf_printf(out, "#SBATCH --mem=%lluG\n", (unsigned long long)n->mib / 1024);
    else
        sw_strbuf_printf(out, "#SBATCH --mem=%lluM\n", (unsigned long long)n->mib);
    if (n->cpus)
        sw_strbuf_printf(out, "#SBATCH --cpus-per-task=%d\n", n->cpus);
    else
        sw_strbuf_puts(out, "# the CPU computes here, so all cores; or --cpus-per-task=N\n"
                            "#SBATCH --exclusive\n");
    sw_strbuf_puts(out, "##SBATCH --time=12:00:00\n##SBATCH --partition=NAME\n");
    if (n->gpus)
        sw_strbuf_puts(out,
                       "# the kind of GPU, as your site names it\n##SBATCH --constraint=NAME\n");
}

static void put_head(const struct sw_report *r, const struct sw_sbatch_job *job,
                     const struct part *parts, int n, struct sw_strbuf *out)
{
    const struct sw_prediction *q = &r->plan->predicted;
    int nodes = 0;
    char size[16], rate[16];
    for (int i = 0; i < n; i++)
        nodes += parts[i].nodes;
    sw_strbuf_printf(
        out,
        "#!/bin/bash\n# %s by Spillway on %d node%s, %d rank%s; made by 'spillway plan "
        "--sbatch'.\n",
        job->name, nodes, nodes == 1 ? "" : "s", r->plan->n_stages,
        r->plan->n_stages == 1 ? "" : "s");
    sw_strbuf_printf(out,
                     "# Predicted: %s tokens/s, loading %s.\n#\n"
                     "#   sbatch FILE                  runs the command below\n"
                     "#   sbatch FILE VERB MODEL …     runs this one\n#\n",
                     sw_number_format(q->tokens_per_s, rate, sizeof rate),
                     sw_seconds_format(q->load_s, size, sizeof size));
    sw_strbuf_printf(out,
                     "# ##SBATCH lines are not read: with one # they are. Memory is that of a "
                     "node.\n#SBATCH --job-name=%s\n#SBATCH --output=%%x-%%j.log\n",
                     job->name);
    sw_strbuf_puts(out, "# Two minutes before the time limit the ranks are asked to stop; then the "
                        "job is queued again.\n#SBATCH --signal=B:USR1@120\n#SBATCH --requeue\n"
                        "#SBATCH --open-mode=append\n");
    if (n > 1)
        sw_strbuf_printf(out,
                         "# The nodes have different needs, so the job has %d parts; each has its "
                         "own time and\n# partition. Such a job has no array, and mpirun sees its "
                         "first part only.\n",
                         n);
    else
        sw_strbuf_puts(out, "# Many inputs: a task each, with its number where %a stands in the "
                            "command.\n##SBATCH --array=0-3\n");
}

/* What is read for each pass, where layers stay on disk. */
static void put_disk(const struct sw_plan *plan, struct sw_strbuf *out)
{
    char size[16];
    uint64_t bytes = 0;
    int layers = 0;
    for (int i = 0; i < plan->n_ranks && plan->stages; i++) {
        layers += plan->stages[i].tiers.n_disk;
        bytes += plan->stages[i].disk_bytes;
    }
    if (layers > 0)
        sw_strbuf_printf(
            out,
            "# %d of %d layers, %s, stay in the model's files: each node reads its own of them for "
            "each pass.\n# Where the files lie on a disk that nodes share, name a folder on a disk "
            "of "
            "each node's own\n# (##SBATCH --tmp=SIZE asks for room there): they are copied to it "
            "first.\n#export SPILLWAY_LOCAL=/tmp\n",
            layers, plan->n_layers, sw_size_format(bytes, size, sizeof size));
}

static void put_command(const struct sw_report *r, const struct sw_sbatch_job *job,
                        struct sw_strbuf *out)
{
    sw_strbuf_puts(out, "\n# ---- what was planned ----\nmodel=");
    sw_strbuf_put_quoted(out, job->model);
    sw_strbuf_puts(out, "\n");
    put_disk(r->plan, out);
    sw_strbuf_puts(out, "[ $# -gt 0 ] || set -- batch \"$model\" prompts.jsonl answers.jsonl\n");
    if (job->options[0]) /* before the user's options, which override them */
        sw_strbuf_printf(out,
                         "case $1 in run | batch | score | bench | trace)\n"
                         "    set -- \"$1\"%s \"${@:2}\" ;;\n"
                         "esac\n",
                         job->options);
    sw_strbuf_puts(out, "\n");
}

enum sw_status sw_report_sbatch(const struct sw_report *report, const struct sw_sbatch_job *job,
                                struct sw_strbuf *out)
{
    struct part parts[PARTS_MAX];
    const char *body = strstr((const char *)sw_job_script, BODY);
    const int n = sbatch_parts(report, job, parts);
    if (n > PARTS_MAX)
        return sw_fail(SW_ENOFIT,
                       "the plan has %d runs of nodes with different needs, a Slurm job at most %d "
                       "parts; list nodes of a kind together in the cluster, or plan for fewer",
                       n, PARTS_MAX);
    put_head(report, job, parts, n, out);
    for (int i = 0; i < n; i++) {
        sw_strbuf_puts(out, i ? "#SBATCH hetjob\n" : "");
        put_part(report, &parts[i], out);
    }
    put_command(report, job, out);
    sw_strbuf_puts(out, body ? body : "");
    return SW_OK;
}

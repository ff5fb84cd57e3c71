/* Owns the probe's output for users: the table, and warnings. */
#include "probe/probe.h"

#include "base/cpu_info.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHM_LOW (64u << 20)   /* warn below so many free bytes of /dev/shm for each rank */
#define LOCK_LOW (1ull << 30) /* warn below so many bytes that may be locked */
#define SWAP_LOW (64u << 20)  /* warn above so many bytes of swap in use */
#define THREADS_A_CORE 2      /* warn above so many: cores may have two hardware threads */

static int first_rank_of(const struct sw_probe *probe, int node)
{
    for (int i = 0; i < probe->n_ranks; i++)
        if (probe->hosts[i].node == node)
            return i;
    return -1;
}

static int ranks_on(const struct sw_probe *probe, int node)
{
    int n = 0;
    for (int i = 0; i < probe->n_ranks; i++)
        n += probe->hosts[i].node == node;
    return n;
}

/* Cores of the node that at least one of its ranks may use. */
static int cores_in_use(const struct sw_probe *probe, int node)
{
    uint64_t set[SW_CPU_MAX / 64] = {0};
    int n = 0;
    for (int i = 0; i < probe->n_ranks; i++)
        for (int k = 0; k < SW_CPU_MAX / 64 && probe->hosts[i].node == node; k++)
            set[k] |= probe->ranks[i].cores.bound[k];
    for (int k = 0; k < SW_CPU_MAX / 64; k++)
        n += __builtin_popcountll(set[k]);
    return n;
}

static void warn_cores(const struct sw_probe *probe, int node, struct sw_strbuf *out)
{
    const int first = first_rank_of(probe, node), ranks = ranks_on(probe, node);
    const char *host = probe->hosts[first].host;
    const int machine = probe->ranks[first].cores.n_machine, used = cores_in_use(probe, node);
    if (used < machine)
        sw_strbuf_printf(out,
                         "%s: its %d rank%s may use %d of %d cores, the others idle; start them "
                         "with mpirun --bind-to none\n",
                         host, ranks, ranks == 1 ? "" : "s", used, machine);
    if (ranks > used)
        sw_strbuf_printf(out, "%s: %d ranks share %d core%s; start fewer ranks there\n", host,
                         ranks, used, used == 1 ? "" : "s");
}

/* "0.5 cores' worth of time" */
static const char *quota_text(double quota, char *out, size_t cap)
{
    snprintf(out, cap, "%.3g core%s' worth of time", quota, quota == 1 ? "" : "s");
    return out;
}

static void warn_quota(const struct sw_probe *probe, int node, struct sw_strbuf *out)
{
    const int first = first_rank_of(probe, node);
    const struct sw_cpu_share *cores = &probe->ranks[first].cores;
    char text[48];
    if (cores->quota > 0 && cores->quota < cores->n_bound)
        sw_strbuf_printf(out,
                         "%s: the CPU quota of cgroup %s allows %s of %d cores, and threads follow "
                         "it; give the container or job more (docker --cpus, cpu.max)\n",
                         probe->hosts[first].host, cores->quota_group,
                         quota_text(cores->quota, text, sizeof text), cores->n_bound);
}

void sw_probe_warn_threads(const struct sw_probe *probe, struct sw_strbuf *out)
{
    int least = 0, cores = SW_CPU_MAX;
    for (int i = 0; i < probe->n_ranks; i++) {
        const int n = sw_probe_threads(probe, i, true, probe->ranks[i].cores.n_bound);
        if (n < cores) {
            cores = n;
            least = i;
        }
    }
    if (probe->threads > cores * THREADS_A_CORE)
        sw_strbuf_printf(out,
                         "%s: %d threads share the %d core%s that rank %d may use, which is slower "
                         "than one a core; leave out --threads\n",
                         probe->hosts[least].host, probe->threads, cores, cores == 1 ? "" : "s",
                         least);
}

static void warn_memory(const struct sw_probe *probe, int node, struct sw_strbuf *out)
{
    const int first = first_rank_of(probe, node), ranks = ranks_on(probe, node);
    const struct sw_host_memory *m = &probe->ranks[first].memory;
    const char *host = probe->hosts[first].host;
    char a[16], b[16];
    if (m->cgroup_limit < m->total)
        sw_strbuf_printf(out, "%s: the memory cgroup %s allows %s of the machine's %s\n", host,
                         m->cgroup, sw_size_format(m->cgroup_limit, a, sizeof a),
                         sw_size_format(m->total, b, sizeof b));
    if (m->address_free < m->total)
        sw_strbuf_printf(out,
                         "%s: the address space of a process is limited to %s more "
                         "(ulimit -v)\n",
                         host, sw_size_format(m->address_free, a, sizeof a));
    if (m->data_free < m->total)
        sw_strbuf_printf(out, "%s: the data of a process is limited to %s more (ulimit -d)\n", host,
                         sw_size_format(m->data_free, a, sizeof a));
    if (m->swap_used > SWAP_LOW)
        sw_strbuf_printf(out,
                         "%s: %s of swap is in use; what has been swapped out comes back "
                         "slowly, and memory was short\n",
                         host, sw_size_format(m->swap_used, a, sizeof a));
    if (ranks > 1 && m->shm_free < (uint64_t)SHM_LOW * (uint64_t)ranks)
        sw_strbuf_printf(
            out,
            "%s: only %s free in /dev/shm, through which its %d ranks exchange messages; "
            "make it larger (in a container: --shm-size=1g)\n",
            host, sw_size_format(m->shm_free, a, sizeof a), ranks);
    const bool gpus = probe->ranks[first].n_devices > 0;
    if ((m->infiniband || gpus) && m->lock_limit < LOCK_LOW)
        sw_strbuf_printf(out,
                         "%s: a process may lock %s of memory (ulimit -l), which is little for "
                         "%s%s%s; set memlock to unlimited in "
                         "/etc/security/limits.conf and for slurmd (LimitMEMLOCK=infinity)\n",
                         host, sw_size_format(m->lock_limit, a, sizeof a),
                         m->infiniband ? "InfiniBand" : "", m->infiniband && gpus ? " and " : "",
                         gpus ? "GPUs" : "");
}

void sw_probe_warn_gpus(const struct sw_probe *probe, struct sw_strbuf *out)
{
    for (int i = 0; i < probe->n_ranks; i++) {
        const struct sw_probe_rank *info = &probe->ranks[i];
        const bool known = info->n_unused > 0; /* some drivers do not report how many there are */
        if (i != first_rank_of(probe, probe->hosts[i].node) || (!known && !*info->unused_why))
            continue;
        sw_strbuf_printf(out, "%s: ", probe->hosts[i].host);
        if (known)
            sw_strbuf_printf(out, "its %d GPU%s not used: %s\n", info->n_unused,
                             info->n_unused == 1 ? " is" : "s are", info->unused_why);
        else
            sw_strbuf_printf(out, "its GPUs are not used: %s\n", info->unused_why);
    }
}

/* Appends a part of the sentence of sw_probe_limits when `left` is less than `available`. */
static void report_put_limit(struct sw_strbuf *out, bool *some, uint64_t left, uint64_t available,
                             const char *name)
{
    char a[16];
    if (left >= available)
        return;
    sw_strbuf_printf(out, "%s%s leaves %s", *some ? ", " : "", name,
                     sw_size_format(left, a, sizeof a));
    *some = true;
}

void sw_probe_limits(const struct sw_probe *probe, struct sw_strbuf *out)
{
    for (int i = 0; i < probe->n_ranks; i++) {
        const struct sw_host_memory *m = &probe->ranks[i].memory;
        char name[288], a[16];
        bool some = false;
        if (first_rank_of(probe, probe->hosts[i].node) != i || sw_memory_left(m) >= m->available)
            continue;
        sw_strbuf_printf(out, ". On %s ", probe->hosts[i].host);
        snprintf(name, sizeof name, "the memory cgroup %s (%s of %s)", m->cgroup, m->cgroup_file,
                 sw_size_format(m->cgroup_limit, a, sizeof a));
        report_put_limit(out, &some, m->cgroup_free, m->available, name);
        report_put_limit(out, &some, m->address_free, m->available,
                         "the limit of address space (ulimit -v)");
        report_put_limit(out, &some, m->data_free, m->available, "the limit of data (ulimit -d)");
        sw_strbuf_printf(out, ", of %s that the machine has available: raise that limit",
                         sw_size_format(m->available, a, sizeof a));
    }
}

/* Warns of ranks with GPUs whose NCCL differs from that of the first: their links use MPI. */
static void warn_nccl(const struct sw_probe *probe, struct sw_strbuf *out)
{
    int first = -1;
    for (int i = 0; i < probe->n_ranks; i++) {
        const struct sw_probe_rank *info = &probe->ranks[i];
        if (info->n_seen == 0 || info->nccl == 0)
            continue;
        first = first < 0 ? i : first;
        if (info->nccl == probe->ranks[first].nccl)
            continue;
        sw_strbuf_printf(out,
                         "rank %d on %s has NCCL %d.%d.%d, another one than rank %d on %s; between "
                         "them activations go through host memory: install the same one\n",
                         i, probe->hosts[i].host, info->nccl / 10000, info->nccl / 100 % 100,
                         info->nccl % 100, first, probe->hosts[first].host);
        return;
    }
}

static void warn_alike(const struct sw_probe *probe, struct sw_strbuf *out)
{
    bool reported_version = false, reported_isa = false, reported_order = false;
    int highest = 0;
    for (int i = 1; i < probe->n_ranks; i++) {
        const struct sw_probe_rank *a = &probe->ranks[0], *b = &probe->ranks[i];
        const char *host = probe->hosts[i].host;
        if (!reported_version && strncmp(a->version, b->version, sizeof a->version) != 0) {
            sw_strbuf_printf(out,
                             "rank %d on %s runs version %.31s, rank 0 runs %.31s; install "
                             "the same one everywhere\n",
                             i, host, b->version, a->version);
            reported_version = true;
        }
        if (!reported_isa && a->isa != b->isa) {
            sw_strbuf_printf(out, "rank %d on %s has %s, rank 0 has %s; all use what all have\n", i,
                             host, sw_isa_name((enum sw_isa)b->isa),
                             sw_isa_name((enum sw_isa)a->isa));
            reported_isa = true;
        }
        if (!reported_order && probe->hosts[i].node < highest &&
            probe->hosts[i].node != probe->hosts[i - 1].node) {
            sw_strbuf_printf(out,
                             "rank %d is on %s again, after ranks of other hosts: every hop "
                             "crosses the network; number ranks host by host (mpirun "
                             "--map-by slot)\n",
                             i, host);
            reported_order = true;
        }
        if (probe->hosts[i].node > highest)
            highest = probe->hosts[i].node;
    }
}

enum sw_status sw_probe_warn(struct sw_probe *probe)
{
    struct sw_strbuf text = {0}, bad = {0};
    int nodes = 0;
    int *choice = malloc((size_t)probe->n_ranks * sizeof *choice);
    sw_strbuf_puts(&text, probe->warnings ? probe->warnings : "");
    sw_strbuf_puts(&bad, probe->problems ? probe->problems : "");
    if (choice) {
        sw_probe_assign_gpus(probe, choice);
        sw_probe_assign_problems(probe, choice, &bad);
    }
    warn_alike(probe, &text);
    warn_nccl(probe, &text);
    sw_probe_warn_threads(probe, &text);
    sw_probe_warn_gpus(probe, &text);
    for (int i = 0; i < probe->n_ranks; i++)
        if (probe->hosts[i].node >= nodes)
            nodes = probe->hosts[i].node + 1;
    for (int node = 0; node < nodes; node++) {
        warn_cores(probe, node, &text);
        warn_quota(probe, node, &text);
        warn_memory(probe, node, &text);
    }
    const bool failed = text.failed || bad.failed || !choice;
    free(choice);
    if (failed) {
        sw_strbuf_free(&text);
        sw_strbuf_free(&bad);
        return sw_fail(SW_ENOMEM, "no memory for the probe's report");
    }
    free(probe->warnings);
    free(probe->problems);
    probe->warnings = text.text;
    probe->problems = bad.text;
    return SW_OK;
}

/* "12.3", or "-" when it was not measured. */
static const char *probe_report_rate(double value, double unit, char *out, size_t cap)
{
    snprintf(out, cap, value > 0 ? "%.1f" : "-", value / unit);
    return out;
}

static const char *report_hop(const struct sw_probe_rank *info, char *out, size_t cap)
{
    if (info->link_bandwidth > 0)
        snprintf(out, cap, "%.1f us, %.2f GB/s", info->link_latency * 1e6,
                 info->link_bandwidth / 1e9);
    else
        snprintf(out, cap, "-");
    return out;
}

/* Appends a line for a GPU, below that of its rank. */
static void put_device(const struct sw_probe_rank *info, const struct sw_device *d, int width,
                       struct sw_strbuf *out)
{
    char a[24], b[24];
    sw_strbuf_printf(out, "      %-*s  GPU %s: %s of %s free", width, "", d->name,
                     sw_size_format(d->free, a, sizeof a), sw_size_format(d->total, b, sizeof b));
    if (info->to_device > 0)
        sw_strbuf_printf(
            out, ", %.1f GB/s, %.2f TFLOP/s, %.1f us a launch, %.1f GB/s from host memory",
            d->bandwidth / 1e9, d->flops / 1e12, d->launch * 1e6, info->to_device / 1e9);
    if (info->device >= 0)
        sw_strbuf_printf(out, ", at %.*s", SW_GPU_BUS - 1, info->seen[info->device]);
    if (info->nccl)
        sw_strbuf_printf(out, ", NCCL %d.%d.%d", info->nccl / 10000, info->nccl / 100 % 100,
                         info->nccl % 100);
    sw_strbuf_puts(out, "\n");
}

/* ", 4 cores, quota 0.5 cores' worth of time, avx2, 1 memory node" */
static void put_processor(const struct sw_probe_rank *info, struct sw_strbuf *out)
{
    char text[48];
    sw_strbuf_printf(out, ", %d cores", info->cores.n_machine);
    if (info->cores.quota > 0)
        sw_strbuf_printf(out, ", quota %s", quota_text(info->cores.quota, text, sizeof text));
    sw_strbuf_printf(out, ", %s%s, %d memory node%s", sw_isa_name((enum sw_isa)info->isa),
                     info->amx ? " with AMX" : "", info->cores.n_numa,
                     info->cores.n_numa == 1 ? "" : "s");
}

void sw_probe_table(const struct sw_probe *probe, struct sw_strbuf *out)
{
    int width = 4;
    char a[24], b[24], c[24], d[40];
    for (int i = 0; i < probe->n_ranks; i++)
        if ((int)strlen(probe->hosts[i].host) > width)
            width = (int)strlen(probe->hosts[i].host);
    sw_strbuf_printf(out, "rank  %-*s  cores  free RAM    GB/s  GFLOP/s  to the next rank\n", width,
                     "node");
    for (int i = 0; i < probe->n_ranks; i++) {
        const struct sw_probe_rank *info = &probe->ranks[i];
        const bool again =
            i > 0 && probe->hosts[i].node == probe->hosts[i - 1].node; /* the same memory */
        sw_strbuf_printf(
            out, "%4d  %-*s  %5d  %8s  %6s  %7s  %s\n", i, width, probe->hosts[i].host,
            info->threads,
            again ? "shared" : sw_size_format(sw_memory_left(&info->memory), a, sizeof a),
            probe_report_rate(info->read_bandwidth, 1e9, b, sizeof b),
            probe_report_rate(info->flops, 1e9, c, sizeof c), report_hop(info, d, sizeof d));
        for (int k = 0; k < info->n_devices; k++)
            put_device(info, &info->devices[k], width, out);
    }
    for (int i = 0; i < probe->cluster.n_nodes; i++) {
        const struct sw_node *node = &probe->cluster.nodes[i];
        const int first = first_rank_of(probe, i);
        sw_strbuf_printf(out, "\n%s: %s", node->name, first >= 0 ? probe->ranks[first].cpu : "");
        if (first >= 0)
            put_processor(&probe->ranks[first], out);
        sw_strbuf_printf(out, "\n  %s of %s free", sw_size_format(node->host_free, a, sizeof a),
                         sw_size_format(node->host_total, b, sizeof b));
        if (first >= 0 && probe->ranks[first].read_bandwidth > 0)
            sw_strbuf_printf(out, ", read at %.1f GB/s together, %.1f GB/s by one rank alone",
                             node->host_bandwidth / 1e9, node->rank_bandwidth / 1e9);
        if (node->both_bandwidth > 0)
            sw_strbuf_printf(out, ", %.1f with the bus", node->both_bandwidth / 1e9);
        if (node->cpu_attend > 0)
            sw_strbuf_printf(out, ", attention at %.0f GFLOP/s", node->cpu_attend / 1e9);
        if (node->cpu_attend_decode > 0)
            sw_strbuf_printf(out, ", of decoded tokens at %.0f", node->cpu_attend_decode / 1e9);
        if (first >= 0 && probe->ranks[first].disk_bandwidth > 0)
            sw_strbuf_printf(out, ", model's disk %.2f GB/s", node->disk_bandwidth / 1e9);
        sw_strbuf_puts(out, "\n");
    }
}

/* Owns turning the measurements of all ranks into the cluster that the planner takes. */
#include "probe/probe.h"

#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/*
 * Free memory of the node that ranks [first, end) run on: what the machine has available, and no
 * more than its cgroups leave (each counted once) nor its processes may address.
 */
static uint64_t node_free_memory(const struct sw_probe *probe, int first, int end)
{
    uint64_t available = UINT64_MAX, cgroups = 0, address = 0;
    struct sw_plan_options options;
    sw_plan_options_init(&options);
    for (int i = first; i < end; i++) {
        const struct sw_host_memory *m = &probe->ranks[i].memory;
        bool counted = false;
        for (int k = first; k < i && !counted; k++)
            counted = strcmp(probe->ranks[k].memory.cgroup, m->cgroup) == 0;
        available = least(available, m->available);
        cgroups = counted ? cgroups : add_capped(cgroups, m->cgroup_free);
        /* the node's reserve is for others, who do not count against this limit */
        address = add_capped(address,
                             least(m->address_free, sw_node_with_reserve(&options, m->data_free)));
    }
    return least(available, least(cgroups, address));
}

static void node_fill_speeds(const struct sw_probe *probe, int first, int end, struct sw_node *node)
{
    double bandwidth = 0, alone = 0, flops = 0, disk = 0, bus = 0, both = 0;
    bool all_both = true;
    double attend = 0, attend_decode = 0;
    for (int i = first; i < end; i++) {
        bandwidth += probe->ranks[i].read_bandwidth;
        flops += probe->ranks[i].flops;
        attend += probe->ranks[i].attend;
        attend_decode += probe->ranks[i].attend_decode;
        disk += probe->ranks[i].disk_bandwidth;
        bus += probe->ranks[i].to_device;
        both += probe->ranks[i].both_bandwidth;
        all_both = all_both && probe->ranks[i].both_bandwidth > 0;
        if (probe->ranks[i].alone_bandwidth > alone)
            alone = probe->ranks[i].alone_bandwidth;
    }
    if (bandwidth > 0)
        node->host_bandwidth = node->rank_bandwidth = bandwidth;
    if (alone > 0)
        node->rank_bandwidth = alone < bandwidth ? alone : bandwidth;
    if (flops > 0)
        node->cpu_flops = flops;
    if (attend > 0)
        node->cpu_attend = attend;
    if (attend_decode > 0)
        node->cpu_attend_decode = attend_decode;
    if (bus > 0)
        node->bus_bandwidth = bus;
    if (bus > 0 && all_both)
        node->both_bandwidth = both;
    if (disk > 0)
        node->disk_bandwidth = disk;
}

/* The number of cores that a job can compute with: at most the whole cores of a quota, at least 1.
 */
static int node_cores(const struct sw_cpu_share *share)
{
    if (share->quota <= 0 || share->quota >= share->n_machine)
        return share->n_machine;
    return share->quota >= 1 ? (int)share->quota : 1;
}

/*
 * Adds ranks [first, end) as a node of the plan. `of`: the number of ranks of the real node; when
 * its ranks are not numbered in a row, each run of them becomes a node with its share of memory.
 */
static enum sw_status probe_add_node(struct sw_probe *probe, int first, int end, int of)
{
    struct sw_node *node = sw_cluster_add_node(&probe->cluster);
    if (!node)
        return sw_fail(SW_ENOMEM, "no memory for a node");
    const uint64_t share = (uint64_t)(end - first), all = (uint64_t)of;
    snprintf(node->name, sizeof node->name, "%.*s", SW_NAME_MAX - 1, probe->hosts[first].host);
    node->n_ranks = end - first;
    node->host_free = node_free_memory(probe, first, end) / all * share;
    node->host_total = probe->ranks[first].memory.total / all * share;
    if (node->host_free > node->host_total)
        node->host_free = node->host_total;
    node_fill_speeds(probe, first, end, node);
    node->cores = node_cores(&probe->ranks[first].cores);
    for (int i = first; i < end; i++)
        for (int k = 0; k < probe->ranks[i].n_devices; k++) {
            struct sw_device *device = sw_node_add_device(node);
            if (!device)
                return sw_fail(SW_ENOMEM, "no memory for a device");
            *device = probe->ranks[i].devices[k];
        }
    return SW_OK;
}

/*
 * Fills the links with means over the hops of each kind, so that the sum over a pipeline's hops is
 * right. A latency without a bandwidth was measured briefly (probe.c): it is kept as what hops take
 * now, but not used for plans, which should not depend on a busy moment of a machine.
 */
static void cluster_fill_links(struct sw_probe *probe)
{
    struct sw_cluster *cl = &probe->cluster;
    double latency[2] = {0}, seconds_per_byte[2] = {0};
    int n[2] = {0}, n_measured[2] = {0};
    for (int i = 0; i + 1 < probe->n_ranks; i++) {
        const struct sw_probe_rank *info = &probe->ranks[i];
        const int local = probe->hosts[i].node == probe->hosts[i + 1].node;
        if (info->link_latency <= 0)
            continue;
        latency[local] += info->link_latency;
        n[local]++;
        if (info->link_bandwidth <= 0)
            continue;
        seconds_per_byte[local] += 1 / info->link_bandwidth;
        n_measured[local]++;
    }
    probe->link_now = n[0] ? latency[0] / n[0] : cl->link_latency;
    probe->local_now = n[1] ? latency[1] / n[1] : cl->local_latency;
    if (n_measured[0]) {
        cl->link_latency = probe->link_now;
        cl->link_bandwidth = n_measured[0] / seconds_per_byte[0];
    }
    if (n_measured[1]) {
        cl->local_latency = probe->local_now;
        cl->local_bandwidth = n_measured[1] / seconds_per_byte[1];
    }
}

enum sw_status sw_probe_cluster(struct sw_probe *probe)
{
    for (int first = 0, end; first < probe->n_ranks; first = end) {
        const int where = probe->hosts[first].node;
        int of = 0;
        for (int i = 0; i < probe->n_ranks; i++)
            of += probe->hosts[i].node == where;
        for (end = first + 1; end < probe->n_ranks && probe->hosts[end].node == where;)
            end++;
        SW_TRY(probe_add_node(probe, first, end, of));
    }
    cluster_fill_links(probe);
    return SW_OK;
}

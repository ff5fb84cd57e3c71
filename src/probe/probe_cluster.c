/* Owns turning the ranks' cards into the cluster that the planner takes. */
#include "probe/probe.h"

#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

/* What this rank's own limits leave, beside the node's. */
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
static uint64_t free_of(const struct sw_probe *probe, int first, int end)
{
    uint64_t available = UINT64_MAX, cgroups = 0, address = 0;
    for (int i = first; i < end; i++) {
        const struct sw_host_memory *m = &probe->ranks[i].memory;
        bool counted = false;
        for (int k = first; k < i && !counted; k++)
            counted = strcmp(probe->ranks[k].memory.cgroup, m->cgroup) == 0;
        available = least(available, m->available);
        cgroups = counted ? cgroups : add_capped(cgroups, m->cgroup_free);
        /* the node's reserve is for others, who do not count against this limit */
        address = add_capped(
            address, least(m->address_free, add_capped(m->data_free, SW_NODE_RESERVE_BYTES)));
    }
    return least(available, least(cgroups, address));
}

static void fill_speeds(const struct sw_probe *probe, int first, int end, struct sw_node *node)
{
    double bandwidth = 0, alone = 0, flops = 0, attend = 0, disk = 0, bus = 0;
    for (int i = first; i < end; i++) {
        bandwidth += probe->ranks[i].read_bandwidth;
        flops += probe->ranks[i].flops;
        attend += probe->ranks[i].attend;
        disk += probe->ranks[i].disk_bandwidth;
        bus += probe->ranks[i].to_device;
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
    if (bus > 0)
        node->bus_bandwidth = bus;
    if (disk > 0)
        node->disk_bandwidth = disk;
}

/* Those that a job can compute with: no more than whole ones of a quota, at least one. */
static int cores_of(const struct sw_cpu_share *share)
{
    if (share->quota <= 0 || share->quota >= share->n_machine)
        return share->n_machine;
    return share->quota >= 1 ? (int)share->quota : 1;
}

/*
 * Ranks [first, end) become a node of the plan. `share`, `of`: ranks of the real node that they
 * are; when the ranks of a node are not numbered in a row, each run of them gets its part of it.
 */
static enum sw_status add_node(struct sw_probe *probe, int first, int end, int of)
{
    struct sw_node *node = sw_cluster_add_node(&probe->cluster);
    if (!node)
        return sw_fail(SW_ENOMEM, "no memory for a node");
    const uint64_t share = (uint64_t)(end - first), all = (uint64_t)of;
    snprintf(node->name, sizeof node->name, "%.*s", SW_NAME_MAX - 1, probe->places[first].host);
    node->n_ranks = end - first;
    node->host_free = free_of(probe, first, end) / all * share;
    node->host_total = probe->ranks[first].memory.total / all * share;
    if (node->host_free > node->host_total)
        node->host_free = node->host_total;
    fill_speeds(probe, first, end, node);
    node->cores = cores_of(&probe->ranks[first].cores);
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
 * Means over the hops of each kind, such that the sum over a pipeline's hops comes out right. A
 * latency without a bandwidth is from a glance (probe.c): it says what this job's hops take now,
 * but a plan should not differ with how busy a machine was in those milliseconds.
 */
static void fill_links(struct sw_probe *probe)
{
    struct sw_cluster *cl = &probe->cluster;
    double latency[2] = {0}, seconds_per_byte[2] = {0};
    int n[2] = {0}, n_measured[2] = {0};
    for (int i = 0; i + 1 < probe->n_ranks; i++) {
        const struct sw_probe_rank *card = &probe->ranks[i];
        const int local = probe->places[i].node == probe->places[i + 1].node;
        if (card->link_latency <= 0)
            continue;
        latency[local] += card->link_latency;
        n[local]++;
        if (card->link_bandwidth <= 0)
            continue;
        seconds_per_byte[local] += 1 / card->link_bandwidth;
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
        const int where = probe->places[first].node;
        int of = 0;
        for (int i = 0; i < probe->n_ranks; i++)
            of += probe->places[i].node == where;
        for (end = first + 1; end < probe->n_ranks && probe->places[end].node == where;)
            end++;
        SW_TRY(add_node(probe, first, end, of));
    }
    fill_links(probe);
    return SW_OK;
}

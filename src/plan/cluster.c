/* Owns clusters in memory (building, copying, ranks), and telling the text form from the JSON form.
 */
#include "plan/cluster.h"

#include "base/file.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST (16u << 20) /* most bytes of a cluster file */

void sw_cluster_init(struct sw_cluster *cluster)
{
    *cluster = (struct sw_cluster){.link_bandwidth = SW_LINK_BANDWIDTH,
                                   .link_latency = SW_LINK_LATENCY,
                                   .local_bandwidth = SW_LOCAL_BANDWIDTH,
                                   .local_latency = SW_LOCAL_LATENCY};
}

struct sw_node *sw_cluster_add_node(struct sw_cluster *cluster)
{
    const size_t n = (size_t)cluster->n_nodes;
    struct sw_node *nodes = cluster->nodes;
    if ((n & (n - 1)) == 0) { /* room for the next power of two */
        nodes = realloc(nodes, (n ? 2 * n : 1) * sizeof *nodes);
        if (!nodes)
            return NULL;
        cluster->nodes = nodes;
    }
    struct sw_node *node = &nodes[n];
    *node = (struct sw_node){.host_bandwidth = SW_HOST_BANDWIDTH,
                             .rank_bandwidth = SW_HOST_BANDWIDTH,
                             .cpu_flops = SW_HOST_FLOPS,
                             .bus_bandwidth = SW_BUS_BANDWIDTH,
                             .disk_bandwidth = SW_DISK_BANDWIDTH,
                             .n_ranks = 1};
    snprintf(node->name, sizeof node->name, "node%zu", n);
    cluster->n_nodes++;
    return node;
}

struct sw_device *sw_node_add_device(struct sw_node *node)
{
    const size_t n = (size_t)node->n_devices;
    struct sw_device *devices = realloc(node->devices, (n + 1) * sizeof *devices);
    if (!devices)
        return NULL;
    node->devices = devices;
    devices[n] = (struct sw_device){
        .bandwidth = SW_GPU_BANDWIDTH, .flops = SW_GPU_FLOPS, .launch = SW_GPU_LAUNCH};
    snprintf(devices[n].name, sizeof devices[n].name, "gpu%zu", n);
    node->n_devices++;
    return &devices[n];
}

enum sw_status sw_cluster_copy(const struct sw_cluster *from, struct sw_cluster *to)
{
    *to = *from;
    to->nodes = NULL;
    to->n_nodes = 0;
    for (int i = 0; i < from->n_nodes; i++) {
        const struct sw_node *old = &from->nodes[i];
        struct sw_node *node = sw_cluster_add_node(to);
        bool ok = node != NULL;
        if (ok) {
            *node = *old;
            node->devices = NULL;
            node->n_devices = 0;
        }
        for (int d = 0; ok && d < old->n_devices; d++) {
            struct sw_device *device = sw_node_add_device(node);
            ok = device != NULL;
            if (ok)
                *device = old->devices[d];
        }
        if (!ok) {
            sw_cluster_free(to);
            return sw_fail(SW_ENOMEM, "no memory for a cluster of %d nodes", from->n_nodes);
        }
    }
    return SW_OK;
}

void sw_cluster_free(struct sw_cluster *cluster)
{
    for (int i = 0; i < cluster->n_nodes; i++)
        free(cluster->nodes[i].devices);
    free(cluster->nodes);
    cluster->nodes = NULL;
    cluster->n_nodes = 0;
}

int sw_cluster_n_ranks(const struct sw_cluster *cluster)
{
    int n = 0;
    for (int i = 0; i < cluster->n_nodes; i++)
        n += cluster->nodes[i].n_ranks;
    return n;
}

void sw_cluster_rank(const struct sw_cluster *cluster, int rank, int *node, int *device)
{
    int n = 0;
    while (n + 1 < cluster->n_nodes && rank >= cluster->nodes[n].n_ranks)
        rank -= cluster->nodes[n++].n_ranks;
    *node = n;
    *device = rank < cluster->nodes[n].n_devices ? rank : -1;
}

enum sw_status sw_cluster_parse(const char *text, size_t length, struct sw_cluster *out)
{
    size_t i = 0;
    while (i < length && isspace((unsigned char)text[i]))
        i++;
    sw_cluster_init(out);
    const enum sw_status status = i < length && text[i] == '{'
                                      ? sw_cluster_parse_json(text + i, length - i, out)
                                      : sw_cluster_parse_text(text, length, out);
    if (status != SW_OK)
        sw_cluster_free(out);
    return status;
}

enum sw_status sw_cluster_open(const char *text_or_path, struct sw_cluster *out)
{
    char *bytes;
    size_t length;
    enum sw_file_kind kind = SW_FILE_ABSENT;
    const bool is_text = strpbrk(text_or_path, "({");
    sw_cluster_init(out);
    if (!is_text || strlen(text_or_path) <= NAME_MAX) /* no file has a longer name */
        SW_TRY(sw_file_find(text_or_path, &kind));
    if (kind == SW_FILE_ABSENT) {
        if (!is_text)
            return sw_fail(SW_EINPUT,
                           "--cluster: '%s' is neither a file nor a cluster such as "
                           "\"2x(gpu:2x24G host:64G) + 1x(host:128G)\"",
                           text_or_path);
        return sw_cluster_parse(text_or_path, strlen(text_or_path), out);
    }
    SW_TRY(sw_file_read(text_or_path, LONGEST, &bytes, &length));
    const enum sw_status status = sw_cluster_parse(bytes, length, out);
    if (status != SW_OK)
        sw_error_context("%s", text_or_path);
    free(bytes);
    return status;
}

/* Owns the JSON form of a cluster: the structs' fields by name. A missing field is a default. */
#include "plan/cluster.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static enum sw_status json_wrong(const char *where, const char *key, const char *expected)
{
    return sw_fail(SW_EINPUT, "cluster JSON: %s%s%s is not %s", where, *where ? "." : "", key,
                   expected);
}

static enum sw_status get_bytes(const json_t *object, const char *where, const char *key,
                                uint64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return SW_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > SW_MAX_BYTES)
        return json_wrong(where, key, "a number of bytes from 0 to 2^50");
    *out = (uint64_t)json_integer_value(value);
    return SW_OK;
}

static enum sw_status get_positive(const json_t *object, const char *where, const char *key,
                                   double *out)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return SW_OK;
    if (!json_is_number(value) || !(json_number_value(value) >= 1) ||
        json_number_value(value) > SW_MAX_RATE)
        return json_wrong(where, key, "a speed in units per second, from 1 to 1e18");
    *out = json_number_value(value);
    return SW_OK;
}

static enum sw_status get_latency(const json_t *object, const char *where, const char *key,
                                  double *out)
{
    const json_t *value = json_object_get(object, key);
    if (!value)
        return SW_OK;
    if (!json_is_number(value) || !(json_number_value(value) >= 0) ||
        json_number_value(value) > SW_MAX_LATENCY)
        return json_wrong(where, key, "a number of seconds, at most 1000");
    *out = fabs(json_number_value(value)); /* -0 */
    return SW_OK;
}

static enum sw_status get_name(const json_t *object, const char *where, char *name)
{
    const json_t *value = json_object_get(object, "name");
    if (!value)
        return SW_OK;
    if (!json_is_string(value) || !json_string_length(value))
        return json_wrong(where, "name", "a text");
    snprintf(name, SW_NAME_MAX - 8, "%s", json_string_value(value));
    for (char *c = name; *c; c++) /* the text form has to hold it as one word */
        if ((unsigned char)*c <= ' ' || (unsigned char)*c > '~' || *c == '(' || *c == ')' ||
            *c == '+' || *c == '#')
            *c = '_';
    return SW_OK;
}

/* Reads a whole number from 1 to `most`; *out is unchanged when there is no such field. */
static enum sw_status get_count(const json_t *object, const char *where, const char *key, int most,
                                int *out)
{
    char expected[48];
    const json_t *value = json_object_get(object, key);
    if (!value)
        return SW_OK;
    snprintf(expected, sizeof expected, "a number from 1 to %d", most);
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > most)
        return json_wrong(where, key, expected);
    *out = (int)json_integer_value(value);
    return SW_OK;
}

static enum sw_status get_sizes(const json_t *object, const char *where, const char *free_key,
                                const char *total_key, uint64_t *free, uint64_t *total)
{
    if (!json_object_get(object, free_key))
        return json_wrong(where, free_key, "there");
    SW_TRY(get_bytes(object, where, free_key, free));
    *total = *free;
    SW_TRY(get_bytes(object, where, total_key, total));
    return *free <= *total && *total > 0
               ? SW_OK
               : json_wrong(where, free_key, "at most the total, and that above 0");
}

static enum sw_status get_device(const json_t *object, const char *where, struct sw_node *node)
{
    struct sw_device *device = sw_node_add_device(node);
    if (!device)
        return sw_fail(SW_ENOMEM, "no memory for the cluster");
    if (!json_is_object(object))
        return json_wrong(where, "", "an object");
    SW_TRY(get_name(object, where, device->name));
    SW_TRY(get_sizes(object, where, "free", "total", &device->free, &device->total));
    SW_TRY(get_positive(object, where, "bandwidth", &device->bandwidth));
    SW_TRY(get_positive(object, where, "flops", &device->flops));
    SW_TRY(get_positive(object, where, "attend", &device->attend));
    return get_latency(object, where, "launch", &device->launch);
}

static enum sw_status get_node(const json_t *object, int index, struct sw_cluster *out)
{
    char where[64];
    struct sw_node *node = sw_cluster_add_node(out);
    if (!node)
        return sw_fail(SW_ENOMEM, "no memory for the cluster");
    snprintf(where, sizeof where, "nodes[%d]", index);
    if (!json_is_object(object))
        return json_wrong(where, "", "an object");
    SW_TRY(get_name(object, where, node->name));
    SW_TRY(
        get_sizes(object, where, "host_free", "host_total", &node->host_free, &node->host_total));
    SW_TRY(get_positive(object, where, "host_bandwidth", &node->host_bandwidth));
    node->rank_bandwidth = node->host_bandwidth;
    SW_TRY(get_positive(object, where, "rank_bandwidth", &node->rank_bandwidth));
    SW_TRY(get_positive(object, where, "cpu_flops", &node->cpu_flops));
    SW_TRY(get_positive(object, where, "cpu_attend", &node->cpu_attend));
    SW_TRY(get_positive(object, where, "cpu_attend_decode", &node->cpu_attend_decode));
    SW_TRY(get_positive(object, where, "bus_bandwidth", &node->bus_bandwidth));
    SW_TRY(get_positive(object, where, "both_bandwidth", &node->both_bandwidth));
    SW_TRY(get_positive(object, where, "disk_bandwidth", &node->disk_bandwidth));
    node->disk_tier = json_is_true(json_object_get(object, "disk_tier"));
    const json_t *devices = json_object_get(object, "devices");
    if (devices && (!json_is_array(devices) || json_array_size(devices) > SW_MAX_DEVICES))
        return json_wrong(where, "devices", "an array of at most 64 GPUs");
    for (size_t i = 0; i < json_array_size(devices); i++) {
        snprintf(where, sizeof where, "nodes[%d].devices[%zu]", index, i);
        SW_TRY(get_device(json_array_get(devices, i), where, node));
    }
    node->n_ranks = node->n_devices ? node->n_devices : 1;
    SW_TRY(get_count(object, where, "ranks", SW_MAX_NODE_RANKS, &node->n_ranks));
    return get_count(object, where, "cores", SW_MAX_NODE_CORES, &node->cores);
}

static enum sw_status get_cluster(const json_t *root, struct sw_cluster *out)
{
    const json_t *nodes = json_object_get(root, "nodes");
    if (!json_is_array(nodes) || json_array_size(nodes) < 1 ||
        json_array_size(nodes) > SW_MAX_NODES)
        return json_wrong("", "nodes", "an array of 1 to 4096 nodes");
    SW_TRY(get_positive(root, "", "link_bandwidth", &out->link_bandwidth));
    SW_TRY(get_positive(root, "", "local_bandwidth", &out->local_bandwidth));
    SW_TRY(get_latency(root, "", "link_latency", &out->link_latency));
    SW_TRY(get_latency(root, "", "local_latency", &out->local_latency));
    for (size_t i = 0; i < json_array_size(nodes); i++)
        SW_TRY(get_node(json_array_get(nodes, i), (int)i, out));
    return SW_OK;
}

enum sw_status sw_cluster_parse_json(const char *text, size_t length, struct sw_cluster *out)
{
    json_t *root;
    enum sw_status status = sw_json_read(text, length, SW_JSON_INPUT | SW_JSON_NO_NUL, &root);
    if (status != SW_OK)
        sw_error_context("cluster JSON");
    else
        status = get_cluster(root, out);
    json_decref(root);
    return status;
}

static void put_string(struct sw_strbuf *out, const char *text)
{
    sw_strbuf_puts(out, "\"");
    for (const char *c = text; *c; c++)
        if (*c == '"' || *c == '\\')
            sw_strbuf_printf(out, "\\%c", *c);
        else
            sw_strbuf_append(out, (unsigned char)*c < ' ' || *c & 0x80 ? "_" : c, 1);
    sw_strbuf_puts(out, "\"");
}

static void json_put_node(struct sw_strbuf *out, const struct sw_node *node)
{
    sw_strbuf_puts(out, "    {\"name\": ");
    put_string(out, node->name);
    sw_strbuf_printf(out,
                     ", \"ranks\": %d,\n     \"host_free\": %llu, \"host_total\": %llu,\n"
                     "     \"host_bandwidth\": %.17g, \"rank_bandwidth\": %.17g,\n"
                     "     \"cpu_flops\": %.17g, \"bus_bandwidth\": %.17g,\n"
                     "     \"disk_bandwidth\": %.17g, \"disk_tier\": %s,",
                     node->n_ranks, (unsigned long long)node->host_free,
                     (unsigned long long)node->host_total, node->host_bandwidth,
                     node->rank_bandwidth, node->cpu_flops, node->bus_bandwidth,
                     node->disk_bandwidth, node->disk_tier ? "true" : "false");
    if (node->cpu_attend > 0)
        sw_strbuf_printf(out, " \"cpu_attend\": %.17g,", node->cpu_attend);
    if (node->cpu_attend_decode > 0)
        sw_strbuf_printf(out, " \"cpu_attend_decode\": %.17g,", node->cpu_attend_decode);
    if (node->both_bandwidth > 0)
        sw_strbuf_printf(out, " \"both_bandwidth\": %.17g,", node->both_bandwidth);
    if (node->cores)
        sw_strbuf_printf(out, " \"cores\": %d,", node->cores);
    sw_strbuf_puts(out, "\n     \"devices\": [");
    for (int i = 0; i < node->n_devices; i++) {
        const struct sw_device *d = &node->devices[i];
        sw_strbuf_puts(out, i ? ",\n       {\"name\": " : "\n       {\"name\": ");
        put_string(out, d->name);
        sw_strbuf_printf(out,
                         ", \"free\": %llu, \"total\": %llu, \"bandwidth\": %.17g, "
                         "\"flops\": %.17g, ",
                         (unsigned long long)d->free, (unsigned long long)d->total, d->bandwidth,
                         d->flops);
        if (d->attend > 0)
            sw_strbuf_printf(out, "\"attend\": %.17g, ", d->attend);
        sw_strbuf_printf(out, "\"launch\": %.17g}", d->launch);
    }
    sw_strbuf_puts(out, "]}");
}

void sw_cluster_to_json(const struct sw_cluster *cluster, struct sw_strbuf *out)
{
    sw_strbuf_puts(out, "{\n  \"nodes\": [\n");
    for (int i = 0; i < cluster->n_nodes; i++) {
        sw_strbuf_puts(out, i ? ",\n" : "");
        json_put_node(out, &cluster->nodes[i]);
    }
    sw_strbuf_printf(out,
                     "],\n  \"link_bandwidth\": %.17g, \"link_latency\": %.17g,\n"
                     "  \"local_bandwidth\": %.17g, \"local_latency\": %.17g\n}\n",
                     cluster->link_bandwidth, cluster->link_latency, cluster->local_bandwidth,
                     cluster->local_latency);
}

/* Owns the text form of a cluster: parsing and writing the grammar in cluster.h. */
#include "plan/cluster.h"

#include "base/units.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 200

struct parser {
    const char *text;
    size_t length, at;
    bool marked; /* only lines that start with "#:" count: the file is also a hostfile */
    bool line_start;
    char word[WORD_MAX];
    size_t word_at; /* where the word started, for messages */
    struct sw_cluster *cluster;
};

static enum sw_status cluster_text_wrong(const struct parser *p, const char *expected)
{
    return sw_fail(SW_EINPUT,
                   "cluster: at byte %zu, '%s': expected %s; for example "
                   "\"2x(gpu:2x24G host:64G) + 1x(host:128G)\"",
                   p->word_at + 1, p->word, expected);
}

static void skip_line(struct parser *p)
{
    while (p->at < p->length && p->text[p->at] != '\n')
        p->at++;
}

/* Skips spaces and comments, and in a hostfile everything but what follows "#:". */
static void skip_blank(struct parser *p)
{
    while (p->at < p->length) {
        const char c = p->text[p->at];
        if (p->line_start && p->marked) {
            p->line_start = false;
            if (p->length - p->at >= 2 && c == '#' && p->text[p->at + 1] == ':')
                p->at += 2;
            else
                skip_line(p);
        } else if (c == '\n') {
            p->at++;
            p->line_start = true;
        } else if (c == '#') {
            skip_line(p);
        } else if (isspace((unsigned char)c)) {
            p->at++;
        } else {
            return;
        }
    }
}

/* Reads the next word: "(", ")", "+", or what is between these and spaces. Empty at the end. */
static enum sw_status parser_next(struct parser *p)
{
    skip_blank(p);
    size_t n = 0;
    p->word_at = p->at;
    while (p->at < p->length) {
        const char c = p->text[p->at];
        const bool mark = c == '(' || c == ')' || c == '+';
        if (isspace((unsigned char)c) || c == '#' || (mark && n > 0))
            break;
        if (n + 1 >= WORD_MAX || !isprint((unsigned char)c)) {
            p->word[n] = 0;
            return cluster_text_wrong(p, "a shorter word of printable characters");
        }
        p->word[n++] = c;
        p->at++;
        p->line_start = false;
        if (mark)
            break;
    }
    p->word[n] = 0;
    return SW_OK;
}

/* Parses "12x…" into the number and *rest, which follows the x. False: there is no such prefix. */
static bool count_prefix(const char *word, int *count, const char **rest)
{
    char *end;
    if (!isdigit((unsigned char)word[0]))
        return false;
    const long n = strtol(word, &end, 10);
    if ((*end != 'x' && *end != 'X') || n < 1 || n > SW_MAX_NODES)
        return false;
    *count = (int)n;
    *rest = end + 1;
    return true;
}

static bool rate_parse(const char *text, double *rate)
{
    double value;
    if (sw_rate_parse(text, &value) != SW_OK || value < 1 || value > SW_MAX_RATE)
        return false;
    *rate = value;
    return true;
}

/* Parses "12GB/s", or "12GB/s@50GB/s" with what cores and bus read together. */
static bool bus_parse(const char *text, struct sw_node *node)
{
    char bus[WORD_MAX];
    const char *both = strchr(text, '@');
    snprintf(bus, sizeof bus, "%.*s", (int)(both ? (size_t)(both - text) : strlen(text)), text);
    return rate_parse(bus, &node->bus_bandwidth) &&
           (!both || rate_parse(both + 1, &node->both_bandwidth));
}

/* Parses "3GB/s", or "2x3GB/s": so many disks that are read at the same time. */
static bool disk_rate_parse(const char *text, double *rate)
{
    double value;
    int count = 1;
    count_prefix(text, &count, &text);
    if (!rate_parse(text, &value) || count * value > SW_MAX_RATE)
        return false;
    *rate = count * value;
    return true;
}

static bool flops_parse(const char *text, double *flops)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"GF", 1e9}, {"TF", 1e12}, {"PF", 1e15}, {"F", 1}};
    char *end;
    const double number = isdigit((unsigned char)text[0]) ? strtod(text, &end) : 0;
    for (size_t i = 0; number > 0 && i < sizeof units / sizeof units[0]; i++)
        if (!strcasecmp(end, units[i].unit)) {
            *flops = number * units[i].factor;
            return *flops >= 1 && *flops <= SW_MAX_RATE;
        }
    return false;
}

static bool time_parse(const char *text, double *seconds)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    const double number = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (!strcasecmp(end, units[i].unit)) {
            *seconds = number * units[i].factor;
            return *seconds <= SW_MAX_LATENCY;
        }
    return false;
}

/* Parses "22G/24G" (free/total) or "24G" (both). Changes the text. */
static enum sw_status parse_memory(struct parser *p, char *text, uint64_t *free, uint64_t *total)
{
    char *slash = strchr(text, '/');
    if (slash)
        *slash = 0;
    if (sw_size_parse(text, free) != SW_OK || (slash && sw_size_parse(slash + 1, total) != SW_OK))
        return cluster_text_wrong(p, "a size such as 24G, or free/total such as 22G/24G");
    if (!slash)
        *total = *free;
    if (*free > *total || *total > SW_MAX_BYTES || !*total)
        return cluster_text_wrong(
            p, "free memory of no more than the total, and that above 0, up to 1024T");
    return SW_OK;
}

/*
 * Parses "672GB/s@80GB/s@16TF@8TF@2us": rates into rates[0] and rates[1]; flops of products, of
 * attention and of decoded tokens' attention into flops[0] to flops[2]; the time of a launch into
 * *launch. NULL: not allowed here.
 */
static enum sw_status parse_speeds(struct parser *p, char *text, double *rates[2], double *flops[3],
                                   double *launch)
{
    int n = 0, n_flops = 0;
    while (text) {
        char *rest = strchr(text, '@');
        if (rest)
            *rest++ = 0;
        if (n_flops < 3 && flops[n_flops] && flops_parse(text, flops[n_flops]))
            n_flops++;
        else if (!(launch && time_parse(text, launch))) {
            if (n == 2 || !rates[n] || !rate_parse(text, rates[n]))
                return cluster_text_wrong(p, launch
                                                 ? "a speed such as 672GB/s, 16TF or 2us behind @"
                                                 : "a speed such as 80GB/s or 1.2TF behind @");
            n++;
        }
        text = rest;
    }
    return SW_OK;
}

static enum sw_status gpu_item(struct parser *p, struct sw_node *node, const char *value)
{
    char text[WORD_MAX];
    int count = 1;
    struct sw_device like = {
        .bandwidth = SW_GPU_BANDWIDTH, .flops = SW_GPU_FLOPS, .launch = SW_GPU_LAUNCH};
    count_prefix(value, &count, &value);
    snprintf(text, sizeof text, "%s", value);
    char *at = strchr(text, '@');
    if (at)
        *at++ = 0;
    SW_TRY(parse_memory(p, text, &like.free, &like.total));
    SW_TRY(parse_speeds(p, at, (double *[2]){&like.bandwidth, NULL},
                        (double *[3]){&like.flops, &like.attend, NULL}, &like.launch));
    for (int i = 0; i < count; i++) {
        if (node->n_devices == SW_MAX_DEVICES)
            return cluster_text_wrong(p, "fewer GPUs in one node");
        struct sw_device *device = sw_node_add_device(node);
        if (!device)
            return sw_fail(SW_ENOMEM, "no memory for the cluster");
        snprintf(like.name, sizeof like.name, "%s", device->name);
        *device = like;
    }
    return SW_OK;
}

static enum sw_status host_item(struct parser *p, struct sw_node *node, const char *value)
{
    char text[WORD_MAX];
    double alone = 0;
    snprintf(text, sizeof text, "%s", value);
    char *at = strchr(text, '@');
    if (at)
        *at++ = 0;
    SW_TRY(parse_memory(p, text, &node->host_free, &node->host_total));
    SW_TRY(parse_speeds(
        p, at, (double *[2]){&node->host_bandwidth, &alone},
        (double *[3]){&node->cpu_flops, &node->cpu_attend, &node->cpu_attend_decode}, NULL));
    node->rank_bandwidth = alone > 0 ? alone : node->host_bandwidth;
    return SW_OK;
}

/* Parses one item of a group into its node. *ranks: set when the item is "ranks:". */
static enum sw_status parse_item(struct parser *p, struct sw_node *node, int *ranks)
{
    const char *colon = strchr(p->word, ':');
    const char *value = colon ? colon + 1 : "";
    const size_t key = colon ? (size_t)(colon - p->word) : 0;
#define KEY(name) (key == strlen(name) && !strncasecmp(p->word, name, key))
    if (KEY("gpu"))
        return gpu_item(p, node, value);
    if (KEY("host"))
        return host_item(p, node, value);
    if (KEY("bus"))
        return bus_parse(value, node)
                   ? SW_OK
                   : cluster_text_wrong(p, "a rate such as bus:12GB/s, or bus:12GB/s@50GB/s");
    if (KEY("disk")) {
        node->disk_tier = true;
        return disk_rate_parse(value, &node->disk_bandwidth)
                   ? SW_OK
                   : cluster_text_wrong(p, "a rate such as disk:3GB/s, or disk:2x3GB/s");
    }
    if (KEY("load"))
        return disk_rate_parse(value, &node->disk_bandwidth)
                   ? SW_OK
                   : cluster_text_wrong(p, "a rate such as load:3GB/s, or load:2x3GB/s");
    if (KEY("ranks")) {
        char *end;
        const long n = strtol(value, &end, 10);
        if (end == value || *end || n < 1 || n > SW_MAX_NODE_RANKS)
            return cluster_text_wrong(p, "a number of ranks such as ranks:2");
        *ranks = (int)n;
        return SW_OK;
    }
    if (KEY("cores")) {
        char *end;
        const long n = strtol(value, &end, 10);
        if (end == value || *end || n < 1 || n > SW_MAX_NODE_CORES)
            return cluster_text_wrong(p, "a number of cores such as cores:16");
        node->cores = (int)n;
        return SW_OK;
    }
    if (KEY("name") && value[0] && strlen(value) < SW_NAME_MAX) {
        snprintf(node->name, sizeof node->name, "%s", value);
        return SW_OK;
    }
#undef KEY
    return cluster_text_wrong(p, "gpu:, host:, bus:, disk:, load:, ranks:, cores: or name:");
}

static enum sw_status cluster_text_repeat(struct parser *p, int first, int count, bool named)
{
    for (int i = 1; i < count; i++) {
        struct sw_node *node = sw_cluster_add_node(p->cluster);
        if (!node)
            return sw_fail(SW_ENOMEM, "no memory for the cluster");
        const struct sw_node *like = &p->cluster->nodes[first];
        char name[SW_NAME_MAX];
        snprintf(name, sizeof name, "%s", node->name);
        *node = *like;
        node->devices = NULL;
        node->n_devices = 0;
        if (named)
            snprintf(node->name, sizeof node->name, "%.*s%d", SW_NAME_MAX - 8, like->name,
                     i % 10000);
        else
            snprintf(node->name, sizeof node->name, "%s", name);
        for (int d = 0; d < like->n_devices; d++) {
            struct sw_device *device = sw_node_add_device(node);
            if (!device)
                return sw_fail(SW_ENOMEM, "no memory for the cluster");
            *device = like->devices[d];
        }
    }
    if (named && count > 1) {
        char *name = p->cluster->nodes[first].name;
        const size_t n = strlen(name);
        snprintf(name + (n < SW_NAME_MAX - 8 ? n : SW_NAME_MAX - 8), 2, "0");
    }
    return SW_OK;
}

static enum sw_status parse_group(struct parser *p)
{
    int count = 1, ranks = 0;
    const char *rest = p->word;
    if (strcmp(p->word, "(") != 0) {
        if (!count_prefix(p->word, &count, &rest) || *rest)
            return cluster_text_wrong(p, "a group such as 2x(gpu:24G host:64G)");
        SW_TRY(parser_next(p));
        if (strcmp(p->word, "(") != 0)
            return cluster_text_wrong(p, "'(' behind the count");
    }
    const int first = p->cluster->n_nodes;
    if (first + count > SW_MAX_NODES)
        return cluster_text_wrong(p, "fewer nodes");
    struct sw_node *node = sw_cluster_add_node(p->cluster);
    if (!node)
        return sw_fail(SW_ENOMEM, "no memory for the cluster");
    char plain[SW_NAME_MAX];
    snprintf(plain, sizeof plain, "%s", node->name);
    for (;;) {
        SW_TRY(parser_next(p));
        if (!strcmp(p->word, ")"))
            break;
        if (!p->word[0])
            return cluster_text_wrong(p, "')'");
        SW_TRY(parse_item(p, node, &ranks));
    }
    if (!node->host_total)
        return cluster_text_wrong(p, "the host memory of the group, as host:64G, before its ')'");
    node->n_ranks = ranks ? ranks : node->n_devices ? node->n_devices : 1;
    return cluster_text_repeat(p, first, count, strcmp(plain, node->name) != 0);
}

static enum sw_status link_item(struct parser *p)
{
    char text[WORD_MAX];
    const bool local = !strncasecmp(p->word, "local:", 6);
    double *rate = local ? &p->cluster->local_bandwidth : &p->cluster->link_bandwidth;
    double *latency = local ? &p->cluster->local_latency : &p->cluster->link_latency;
    snprintf(text, sizeof text, "%s", strchr(p->word, ':') + 1);
    char *slash = strrchr(text, '/');
    if (slash && time_parse(slash + 1, latency))
        *slash = 0;
    return rate_parse(text, rate) ? SW_OK
                                  : cluster_text_wrong(p, "a link such as link:1.2GB/s/30us");
}

static bool is_link(const char *word)
{
    return !strncasecmp(word, "link:", 5) || !strncasecmp(word, "local:", 6);
}

static bool has_marks(const char *text, size_t length)
{
    for (size_t i = 0; i + 1 < length; i++)
        if (text[i] == '#' && text[i + 1] == ':' && (i == 0 || text[i - 1] == '\n'))
            return true;
    return false;
}

enum sw_status sw_cluster_parse_text(const char *text, size_t length, struct sw_cluster *out)
{
    struct parser p = {.text = text, .length = length, .line_start = true, .cluster = out};
    p.marked = has_marks(text, length);
    if (!p.marked)
        SW_TRY(sw_cluster_refuse_hostfile(text, length));
    SW_TRY(parser_next(&p));
    for (;;) {
        SW_TRY(parse_group(&p));
        SW_TRY(parser_next(&p));
        if (strcmp(p.word, "+") != 0)
            break;
        SW_TRY(parser_next(&p));
    }
    while (is_link(p.word)) {
        SW_TRY(link_item(&p));
        SW_TRY(parser_next(&p));
    }
    return p.word[0] ? cluster_text_wrong(&p, "'+' and a group, link:, local:, or the end") : SW_OK;
}

static void put_size(struct sw_strbuf *out, uint64_t free, uint64_t total)
{
    const uint64_t sizes[2] = {free, total};
    for (int i = 0; i < (free == total ? 1 : 2); i++) {
        const unsigned long long s = sizes[i];
        if (i)
            sw_strbuf_puts(out, "/");
        if (s % (1ull << 30) == 0)
            sw_strbuf_printf(out, "%lluG", s >> 30);
        else if (s % (1ull << 20) == 0)
            sw_strbuf_printf(out, "%lluM", s >> 20);
        else
            sw_strbuf_printf(out, "%llu", s);
    }
}

/* Appends a rate in GB/s if that is read as the same number again, else in full. */
static void put_rate(struct sw_strbuf *out, double rate)
{
    char text[400]; /* the longest double in full */
    double again;
    snprintf(text, sizeof text, "%.6gGB/s", rate / 1e9);
    if (strchr(text, 'e') || !rate_parse(text, &again) || again != rate)
        snprintf(text, sizeof text, rate < 1e17 ? "%.17gB/s" : "%.0fB/s", rate);
    sw_strbuf_puts(out, text);
}

static void put_flops(struct sw_strbuf *out, double flops)
{
    char text[400]; /* the longest double in full */
    double again;
    snprintf(text, sizeof text, "%.6gTF", flops / 1e12);
    /* "1e+06TF" would read as two groups */
    if (strchr(text, 'e') || !flops_parse(text, &again) || again != flops)
        snprintf(text, sizeof text, flops < 1e17 ? "%.17gF" : "%.0fF", flops);
    sw_strbuf_puts(out, text);
}

/* Appends the rate of products, and that of attention after it. */
static void put_computing(struct sw_strbuf *out, double flops, double usual, double attend)
{
    if (flops != usual || attend > 0) {
        sw_strbuf_puts(out, "@");
        put_flops(out, flops);
    }
    if (attend > 0) {
        sw_strbuf_puts(out, "@");
        put_flops(out, attend);
    }
}

static bool device_alike(const struct sw_device *a, const struct sw_device *b)
{
    return a->free == b->free && a->total == b->total && a->bandwidth == b->bandwidth &&
           a->flops == b->flops && a->attend == b->attend && a->launch == b->launch;
}

static void put_devices(struct sw_strbuf *out, const struct sw_node *node)
{
    for (int i = 0, n; i < node->n_devices; i += n) {
        const struct sw_device *d = &node->devices[i];
        for (n = 1; i + n < node->n_devices && device_alike(d, d + n);)
            n++;
        sw_strbuf_puts(out, "gpu:");
        if (n > 1)
            sw_strbuf_printf(out, "%dx", n);
        put_size(out, d->free, d->total);
        if (d->bandwidth != SW_GPU_BANDWIDTH) {
            sw_strbuf_puts(out, "@");
            put_rate(out, d->bandwidth);
        }
        put_computing(out, d->flops, SW_GPU_FLOPS, d->attend);
        if (d->launch != SW_GPU_LAUNCH)
            sw_strbuf_printf(out, "@%.17gs", d->launch);
        sw_strbuf_puts(out, " ");
    }
}

static void put_host(struct sw_strbuf *out, const struct sw_node *node)
{
    const bool alone = node->rank_bandwidth != node->host_bandwidth;
    sw_strbuf_puts(out, "host:");
    put_size(out, node->host_free, node->host_total);
    if (node->host_bandwidth != SW_HOST_BANDWIDTH || alone) {
        sw_strbuf_puts(out, "@");
        put_rate(out, node->host_bandwidth);
    }
    if (alone) {
        sw_strbuf_puts(out, "@");
        put_rate(out, node->rank_bandwidth);
    }
    if (node->cpu_attend_decode <= 0) {
        put_computing(out, node->cpu_flops, SW_HOST_FLOPS, node->cpu_attend);
        return;
    }
    put_computing(out, node->cpu_flops, SW_HOST_FLOPS,
                  node->cpu_attend > 0 ? node->cpu_attend : SW_HOST_ATTEND_SHARE * node->cpu_flops);
    sw_strbuf_puts(out, "@");
    put_flops(out, node->cpu_attend_decode);
}

static bool node_alike(const struct sw_node *a, const struct sw_node *b)
{
    if (a->n_devices != b->n_devices || a->n_ranks != b->n_ranks || a->host_free != b->host_free ||
        a->host_total != b->host_total || a->host_bandwidth != b->host_bandwidth ||
        a->rank_bandwidth != b->rank_bandwidth || a->cpu_flops != b->cpu_flops ||
        a->cpu_attend != b->cpu_attend || a->cpu_attend_decode != b->cpu_attend_decode ||
        a->bus_bandwidth != b->bus_bandwidth || a->both_bandwidth != b->both_bandwidth ||
        a->disk_bandwidth != b->disk_bandwidth || a->disk_tier != b->disk_tier ||
        a->cores != b->cores)
        return false;
    for (int i = 0; i < a->n_devices; i++)
        if (!device_alike(&a->devices[i], &b->devices[i]))
            return false;
    return true;
}

static bool plain_name(const struct sw_cluster *cluster, int node)
{
    char name[SW_NAME_MAX];
    snprintf(name, sizeof name, "node%d", node);
    return !strcmp(name, cluster->nodes[node].name);
}

static void cluster_text_put_node(struct sw_strbuf *out, const struct sw_cluster *cluster,
                                  int index)
{
    const struct sw_node *node = &cluster->nodes[index];
    sw_strbuf_puts(out, "(");
    put_devices(out, node);
    put_host(out, node);
    if (node->bus_bandwidth != SW_BUS_BANDWIDTH || node->both_bandwidth > 0) {
        sw_strbuf_puts(out, " bus:");
        put_rate(out, node->bus_bandwidth);
    }
    if (node->both_bandwidth > 0) {
        sw_strbuf_puts(out, "@");
        put_rate(out, node->both_bandwidth);
    }
    if (node->disk_tier || node->disk_bandwidth != SW_DISK_BANDWIDTH) {
        sw_strbuf_puts(out, node->disk_tier ? " disk:" : " load:");
        put_rate(out, node->disk_bandwidth);
    }
    if (node->n_ranks != (node->n_devices ? node->n_devices : 1))
        sw_strbuf_printf(out, " ranks:%d", node->n_ranks);
    if (node->cores)
        sw_strbuf_printf(out, " cores:%d", node->cores);
    if (!plain_name(cluster, index))
        sw_strbuf_printf(out, " name:%s", node->name);
    sw_strbuf_puts(out, ")");
}

static void put_link(struct sw_strbuf *out, const char *key, double rate, double latency)
{
    sw_strbuf_printf(out, " %s:", key);
    put_rate(out, rate);
    sw_strbuf_printf(out, "/%.17gs", latency);
}

void sw_cluster_to_text(const struct sw_cluster *cluster, struct sw_strbuf *out)
{
    for (int i = 0, n; i < cluster->n_nodes; i += n) {
        n = 1;
        while (plain_name(cluster, i) && i + n < cluster->n_nodes && plain_name(cluster, i + n) &&
               node_alike(&cluster->nodes[i], &cluster->nodes[i + n]))
            n++;
        sw_strbuf_puts(out, i ? " + " : "");
        if (n > 1)
            sw_strbuf_printf(out, "%dx", n);
        cluster_text_put_node(out, cluster, i);
    }
    if (cluster->link_bandwidth != SW_LINK_BANDWIDTH || cluster->link_latency != SW_LINK_LATENCY)
        put_link(out, "link", cluster->link_bandwidth, cluster->link_latency);
    if (cluster->local_bandwidth != SW_LOCAL_BANDWIDTH ||
        cluster->local_latency != SW_LOCAL_LATENCY)
        put_link(out, "local", cluster->local_bandwidth, cluster->local_latency);
}

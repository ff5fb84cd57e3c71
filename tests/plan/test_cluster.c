/* Cluster descriptions: text and JSON, both ways, and what is refused. */
#include "plan/cluster.h"
#include "unit.h"

#define GIB (1ull << 30)

static enum sw_status parse(const char *text, struct sw_cluster *cl)
{
    return sw_cluster_parse(text, strlen(text), cl);
}

static void reads_text(void)
{
    struct sw_cluster cl;
    int node, device;
    CU_ASSERT_EQUAL_FATAL(parse("2x(gpu:2x24G host:64G) + 1x(host:128G)", &cl), SW_OK);
    CU_ASSERT_EQUAL(cl.n_nodes, 3);
    CU_ASSERT_EQUAL(sw_cluster_n_ranks(&cl), 5);
    CU_ASSERT_EQUAL(cl.nodes[1].n_devices, 2);
    CU_ASSERT_EQUAL(cl.nodes[1].devices[1].free, 24 * GIB);
    CU_ASSERT_EQUAL(cl.nodes[1].devices[1].bandwidth, SW_GPU_BANDWIDTH);
    CU_ASSERT_EQUAL(cl.nodes[2].host_free, 128 * GIB);
    CU_ASSERT_STRING_EQUAL(cl.nodes[2].name, "node2");
    CU_ASSERT_FALSE(cl.nodes[0].disk_tier);
    sw_cluster_rank(&cl, 3, &node, &device);
    CU_ASSERT(node == 1 && device == 1);
    sw_cluster_rank(&cl, 4, &node, &device);
    CU_ASSERT(node == 2 && device == -1);
    sw_cluster_free(&cl);
}

static void reads_speeds(void)
{
    struct sw_cluster cl;
    CU_ASSERT_EQUAL_FATAL(
        parse("(gpu:22G/24G@672GB/s@16TF@5TF@3.5us gpu:8G "
              "host:60G/64G@80GB/s@45GB/s@1.2TF@0.7TF@90GF "
              "bus:24GB/s@90GB/s "
              "disk:3GB/s name:lab ranks:4 cores:16) link:1.2GB/s/30us # a comment",
              &cl),
        SW_OK);
    const struct sw_node *n = &cl.nodes[0];
    CU_ASSERT(n->devices[0].free == 22 * GIB && n->devices[0].total == 24 * GIB);
    CU_ASSERT(n->devices[0].bandwidth == 672e9 && n->devices[0].flops == 16e12);
    CU_ASSERT_DOUBLE_EQUAL(n->devices[0].launch, 3.5e-6, 1e-12);
    CU_ASSERT(n->devices[1].launch == SW_GPU_LAUNCH);
    CU_ASSERT(n->devices[1].free == 8 * GIB && n->devices[1].bandwidth == SW_GPU_BANDWIDTH);
    CU_ASSERT(n->host_bandwidth == 80e9 && n->rank_bandwidth == 45e9 && n->cpu_flops == 1.2e12);
    CU_ASSERT(n->devices[0].attend == 5e12 && n->devices[1].attend == 0);
    CU_ASSERT(n->cpu_attend == 0.7e12 && n->cpu_attend_decode == 90e9);
    CU_ASSERT(n->bus_bandwidth == 24e9 && n->both_bandwidth == 90e9 && n->disk_bandwidth == 3e9 &&
              n->disk_tier);
    CU_ASSERT(n->n_ranks == 4 && n->cores == 16 && !strcmp(n->name, "lab"));
    CU_ASSERT(cl.link_bandwidth == 1.2e9);
    CU_ASSERT_DOUBLE_EQUAL(cl.link_latency, 30e-6, 1e-12);
    sw_cluster_free(&cl);
}

/* Several disks are read at the same time, so their rates add up. */
static void reads_disks(void)
{
    struct sw_cluster cl;
    CU_ASSERT_EQUAL_FATAL(parse("(host:4G disk:2x3GB/s) + 1x(host:4G load:4x500MB/s)", &cl), SW_OK);
    CU_ASSERT(cl.nodes[0].disk_bandwidth == 6e9 && cl.nodes[0].disk_tier);
    CU_ASSERT(cl.nodes[1].disk_bandwidth == 2e9 && !cl.nodes[1].disk_tier);
    sw_cluster_free(&cl);
}

static void reads_hostfile(void)
{
    struct sw_cluster cl;
    CU_ASSERT_EQUAL_FATAL(parse("# two (machines\nlab1 slots=1\n#: 1x(gpu:24G host:64G)\n"
                                "lab2 slots=1\n#: + 1x(host:32G # note\n#: )\n",
                                &cl),
                          SW_OK);
    CU_ASSERT(cl.n_nodes == 2 && cl.nodes[1].host_free == 32 * GIB);
    sw_cluster_free(&cl);
}

static bool same(const struct sw_cluster *a, const struct sw_cluster *b)
{
    bool ok = a->n_nodes == b->n_nodes && a->link_bandwidth == b->link_bandwidth &&
              a->link_latency == b->link_latency && a->local_bandwidth == b->local_bandwidth &&
              a->local_latency == b->local_latency;
    for (int i = 0; ok && i < a->n_nodes; i++) {
        const struct sw_node *x = &a->nodes[i], *y = &b->nodes[i];
        ok = !strcmp(x->name, y->name) && x->host_free == y->host_free &&
             x->host_total == y->host_total && x->host_bandwidth == y->host_bandwidth &&
             x->rank_bandwidth == y->rank_bandwidth && x->cpu_flops == y->cpu_flops &&
             x->cpu_attend == y->cpu_attend && x->cpu_attend_decode == y->cpu_attend_decode &&
             x->bus_bandwidth == y->bus_bandwidth && x->disk_bandwidth == y->disk_bandwidth &&
             x->disk_tier == y->disk_tier && x->cores == y->cores && x->n_ranks == y->n_ranks &&
             x->n_devices == y->n_devices;
        for (int d = 0; ok && d < x->n_devices; d++)
            ok = x->devices[d].free == y->devices[d].free &&
                 x->devices[d].total == y->devices[d].total &&
                 x->devices[d].bandwidth == y->devices[d].bandwidth &&
                 x->devices[d].flops == y->devices[d].flops &&
                 x->devices[d].attend == y->devices[d].attend &&
                 x->devices[d].launch == y->devices[d].launch;
    }
    return ok;
}

static void goes_both_ways(void)
{
    static const char *const texts[] = {
        "2x(gpu:2x24G host:64G) + 1x(host:128G)",
        "3x(host:1000000007 ranks:2 cores:5 load:123456789B/s) local:7GB/s/1us",
        ("2x(gpu:3x7777M/8G@271.828GB/s@3.14159TF@1.9us gpu:80G "
         "host:1G/2G@99.9GB/s@33.3GB/s@0.7TF@0.3TF@77GF "
         "bus:31.5GB/s@70.25GB/s disk:3x0.9GB/s name:rack) + (host:1T) link:12.3GB/s/1.7us"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sw_cluster a, b, c;
        struct sw_strbuf text = {0}, json = {0};
        CU_ASSERT_EQUAL_FATAL(parse(texts[i], &a), SW_OK);
        sw_cluster_to_text(&a, &text);
        sw_cluster_to_json(&a, &json);
        CU_ASSERT_EQUAL_FATAL(parse(text.text, &b), SW_OK);
        CU_ASSERT_EQUAL_FATAL(parse(json.text, &c), SW_OK);
        CU_ASSERT(same(&a, &b));
        CU_ASSERT(same(&a, &c));
        if (i == 0)
            CU_ASSERT_STRING_EQUAL(text.text, "2x(gpu:2x24G host:64G) + (host:128G)");
        sw_strbuf_free(&text);
        sw_strbuf_free(&json);
        sw_cluster_free(&a);
        sw_cluster_free(&b);
        sw_cluster_free(&c);
    }
}

static void refuses(void)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "expected a group"},
        {"2x", "'(' behind the count"},
        {"(gpu:24G)", "host memory"},
        {"(host:64Q)", "a size such as 24G"},
        {"(host:64G", "')'"},
        {"(host:64G) (host:64G)", "'+'"},
        {"(host:64G gpu:24G@fast)", "a speed"},
        {"(gpu:0G host:64G)", "above 0"},
        {"(host:64G disk:2x)", "disk:2x3GB/s"},
        {"(host:64G disk:4000x1e18B/s)", "disk:2x3GB/s"},
        {"(host:65G/64G)", "no more than the total"},
        {"(host:64G ranks:0)", "a number of ranks"},
        {"(host:64G cores:0)", "a number of cores"},
        {"(host:64G cpu:3)", "gpu:, host:"},
        {"9999x(host:64G)", "a group"},
        {"(host:64G) link:fast", "a link"},
        {"(host:9999999G)", "1024T"},
        {"node1 slots=4\nnode2 slots=4\n", "a host file: 2 lines of hosts, without"},
        {"# ours\n\n  node-1.lab max_slots = 4 slots=2 # the old one\r\n",
         "1 line of hosts, without"},
        {"node1\nnode2\nnode3", "\"#: 3x(gpu:2x24G host:64G)\""},
        {"node1:4\nnode2:4\n", "\"#: 2x("},
        {"node[01-04,7]", "1 line of hosts"},
        {"node1", "expected a group"},
        {"host:64G\nhost:64G\n", "expected a group"},
        {"node1 slots=4\n(host:64G)\n", "expected a group"},
        {"node1 slots=4 gpus=2\n", "expected a group"},
        {"{\"nodes\": 3}", "nodes is not an array"},
        {"{\"nodes\": [{}]}", "nodes[0].host_free is not there"},
        {"{\"nodes\": [{\"host_free\": -1}]}", "a number of bytes"},
        {"{\"nodes\": [{\"host_free\": 5, \"devices\": [{\"free\": \"x\"}]}]}",
         "nodes[0].devices[0].free"},
        {"{\"nodes\": ", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sw_cluster cl;
        sw_error_clear();
        CU_ASSERT_EQUAL(parse(cases[i].text, &cl), SW_EINPUT);
        const bool found = strstr(sw_error_message(), cases[i].expected) != NULL;
        if (!found)
            printf("    %s: %s\n", cases[i].text, sw_error_message());
        CU_ASSERT(found);
        CU_ASSERT_PTR_NULL(cl.nodes);
    }
}

SW_UNIT_TESTS({"reads text", reads_text}, {"reads speeds", reads_speeds},
              {"reads disks", reads_disks}, {"reads a hostfile", reads_hostfile},
              {"goes both ways", goes_both_ways}, {"refuses", refuses})

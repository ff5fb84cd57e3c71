/* From made-up measurements to the cluster, the shares of cores, the warnings. */
#include "plan/plan.h"
#include "probe/probe.h"
#include "unit.h"

#define GIB (1ull << 30)

static struct sw_probe made(int n, const int *nodes)
{
    struct sw_probe p = {.n_ranks = n};
    p.ranks = calloc((size_t)n, sizeof *p.ranks);
    p.hosts = calloc((size_t)n, sizeof *p.hosts);
    CU_ASSERT_FATAL(p.ranks && p.hosts);
    sw_cluster_init(&p.cluster);
    for (int i = 0; i < n; i++) {
        struct sw_probe_rank *r = &p.ranks[i];
        snprintf(p.hosts[i].host, sizeof p.hosts[i].host, "h%d", nodes[i]);
        p.hosts[i].node = nodes[i];
        r->memory = (struct sw_host_memory){.total = 64 * GIB,
                                            .available = 48 * GIB,
                                            .cgroup_limit = UINT64_MAX,
                                            .cgroup_free = UINT64_MAX,
                                            .address_free = UINT64_MAX,
                                            .data_free = UINT64_MAX,
                                            .shm_free = 32 * GIB};
        r->cores = (struct sw_cpu_share){.n_bound = 4, .n_machine = 4, .n_numa = 1};
        r->cores.bound[0] = 0xf0; /* cores 4 to 7 */
        r->read_bandwidth = 10e9;
        r->flops = 1e12;
        r->link_latency = 3e-6;
        r->link_bandwidth = 4e9;
    }
    return p;
}

static void ranks_of_a_host_become_a_node(void)
{
    struct sw_probe p = made(3, (int[]){0, 0, 1});
    p.ranks[1].link_latency = 50e-6; /* between the hosts */
    p.ranks[1].link_bandwidth = 1e9;
    p.ranks[0].alone_bandwidth = 15e9;
    p.ranks[0].attend = 3e11;
    p.ranks[1].attend = 4e11;
    p.ranks[0].attend_decode = 2e10;
    p.ranks[1].attend_decode = 3e10;
    p.ranks[2].memory.cgroup_free = 8 * GIB;
    for (int i = 0; i < 3; i++) {
        p.ranks[i].to_device = i < 2 ? 6e9 : 0;
        p.ranks[i].both_bandwidth = 13e9;
    }
    CU_ASSERT_EQUAL(sw_probe_cluster(&p), SW_OK);
    CU_ASSERT_EQUAL_FATAL(p.cluster.n_nodes, 2);
    const struct sw_node *a = &p.cluster.nodes[0], *b = &p.cluster.nodes[1];
    CU_ASSERT_STRING_EQUAL(a->name, "h0");
    CU_ASSERT_EQUAL(a->n_ranks, 2);
    CU_ASSERT_EQUAL(a->host_free, 48 * GIB);
    CU_ASSERT_EQUAL(a->host_total, 64 * GIB);
    CU_ASSERT_DOUBLE_EQUAL(a->host_bandwidth, 20e9, 1);
    CU_ASSERT_DOUBLE_EQUAL(a->rank_bandwidth, 15e9, 1);
    CU_ASSERT_DOUBLE_EQUAL(a->bus_bandwidth, 12e9, 1);
    CU_ASSERT_DOUBLE_EQUAL(a->both_bandwidth, 26e9, 1);
    CU_ASSERT_EQUAL(p.cluster.nodes[1].both_bandwidth, 0); /* it has no bus */
    CU_ASSERT_DOUBLE_EQUAL(a->cpu_flops, 2e12, 1);
    CU_ASSERT_DOUBLE_EQUAL(a->cpu_attend, 7e11, 1);
    CU_ASSERT_DOUBLE_EQUAL(a->cpu_attend_decode, 5e10, 1);
    CU_ASSERT_DOUBLE_EQUAL(a->disk_bandwidth, SW_DISK_BANDWIDTH, 1); /* not measured */
    CU_ASSERT_EQUAL(b->n_ranks, 1);
    CU_ASSERT_EQUAL(b->host_free, 8 * GIB);
    CU_ASSERT_DOUBLE_EQUAL(p.cluster.local_latency, 3e-6, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(p.cluster.link_latency, 50e-6, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(p.cluster.link_bandwidth, 1e9, 1);

    CU_ASSERT_DOUBLE_EQUAL(p.local_now, 3e-6, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(p.link_now, 50e-6, 1e-12);

    struct sw_strbuf text = {0};
    struct sw_cluster again;
    sw_cluster_to_json(&p.cluster, &text);
    CU_ASSERT_EQUAL_FATAL(sw_cluster_parse(text.text, text.length, &again), SW_OK);
    CU_ASSERT_EQUAL(again.n_nodes, 2);
    CU_ASSERT_EQUAL(again.nodes[1].host_free, 8 * GIB);
    CU_ASSERT_EQUAL(sw_cluster_n_ranks(&again), 3);
    sw_cluster_free(&again);
    sw_strbuf_free(&text);
    sw_probe_free(&p);
}

/* Latencies without bandwidths: reported, but a plan does not depend on them. */
static void a_glance_changes_no_plan(void)
{
    struct sw_probe p = made(3, (int[]){0, 0, 1});
    for (int i = 0; i < 3; i++)
        p.ranks[i].link_bandwidth = 0;
    p.ranks[0].link_latency = 300e-6;
    p.ranks[1].link_latency = 900e-6;
    p.ranks[2].link_latency = 0; /* has no next rank */
    CU_ASSERT_EQUAL(sw_probe_cluster(&p), SW_OK);
    CU_ASSERT_DOUBLE_EQUAL(p.local_now, 300e-6, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(p.link_now, 900e-6, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(p.cluster.local_latency, SW_LOCAL_LATENCY, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(p.cluster.link_latency, SW_LINK_LATENCY, 1e-12);
    sw_probe_free(&p);
}

static void a_cgroup_is_counted_once(void)
{
    struct sw_probe p = made(4, (int[]){0, 0, 1, 1});
    for (int i = 0; i < 4; i++) {
        p.ranks[i].memory.cgroup_free = 10 * GIB;
        p.ranks[i].memory.cgroup_limit = 12 * GIB;
        snprintf(p.ranks[i].memory.cgroup, sizeof p.ranks[i].memory.cgroup, "/job%d",
                 i < 2 ? 0 : i); /* node 0: one for both; node 1: one each */
    }
    CU_ASSERT_EQUAL(sw_probe_cluster(&p), SW_OK);
    CU_ASSERT_EQUAL(p.cluster.nodes[0].host_free, 10 * GIB);
    CU_ASSERT_EQUAL(p.cluster.nodes[1].host_free, 20 * GIB);
    sw_probe_free(&p);
}

static void alternating_hosts_are_cut_in_parts(void)
{
    struct sw_probe p = made(4, (int[]){0, 1, 0, 1});
    CU_ASSERT_EQUAL(sw_probe_cluster(&p), SW_OK);
    CU_ASSERT_EQUAL_FATAL(p.cluster.n_nodes, 4);
    CU_ASSERT_EQUAL(p.cluster.nodes[2].host_free, 24 * GIB);
    CU_ASSERT_EQUAL(sw_probe_warn(&p), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(p.warnings, "rank 2 is on h0 again"));
    sw_probe_free(&p);
}

static int nth_core(const struct sw_probe *p, int rank, bool alone, int at, int *n)
{
    int *cores, core = -1;
    CU_ASSERT_EQUAL_FATAL(sw_probe_cores(p, rank, alone, &cores, n), SW_OK);
    if (at < *n)
        core = cores[at];
    free(cores);
    return core;
}

static void cores_are_shared_out(void)
{
    int n;
    struct sw_probe p = made(4, (int[]){0, 0, 0, 1});
    CU_ASSERT_EQUAL(nth_core(&p, 0, false, 0, &n), 4);
    CU_ASSERT_EQUAL(n, 1);
    CU_ASSERT_EQUAL(nth_core(&p, 1, false, 0, &n), 5);
    CU_ASSERT_EQUAL(nth_core(&p, 2, false, 1, &n), 7);
    CU_ASSERT_EQUAL(n, 2);
    CU_ASSERT_EQUAL(nth_core(&p, 3, false, 3, &n), 7); /* alone on its host */
    CU_ASSERT_EQUAL(nth_core(&p, 2, true, 0, &n), 4);
    CU_ASSERT_EQUAL(n, 4);
    p.ranks[1].cores.bound[0] = 0x3; /* bound to others: not shared with it */
    p.ranks[1].cores.n_bound = 2;
    CU_ASSERT_EQUAL(nth_core(&p, 1, false, 1, &n), 1);
    CU_ASSERT_EQUAL(nth_core(&p, 0, false, 1, &n), 5);
    sw_probe_free(&p);

    p = made(6, (int[]){0, 0, 0, 0, 0, 0}); /* more ranks than cores */
    CU_ASSERT_EQUAL(nth_core(&p, 5, false, 0, &n), 5);
    CU_ASSERT_EQUAL(n, 1);
    sw_probe_free(&p);
}

static void threads_follow_a_quota(void)
{
    struct sw_probe p = made(3, (int[]){0, 0, 1});
    CU_ASSERT_EQUAL(sw_probe_threads(&p, 0, false, 2), 2); /* no quota */
    for (int i = 0; i < 3; i++) {
        p.ranks[i].cores.quota = i < 2 ? 3.5 : 0.5;
        strcpy(p.ranks[i].cores.quota_group, "/job");
    }
    CU_ASSERT_EQUAL(sw_probe_threads(&p, 0, true, 4), 3); /* whole cores only */
    CU_ASSERT_EQUAL(sw_probe_threads(&p, 0, true, 2), 2);
    CU_ASSERT_EQUAL(sw_probe_threads(&p, 0, false, 2), 1); /* two ranks have it together */
    CU_ASSERT_EQUAL(sw_probe_threads(&p, 2, true, 4), 1);
    strcpy(p.ranks[1].cores.quota_group, "/other");
    CU_ASSERT_EQUAL(sw_probe_threads(&p, 0, false, 2), 2);
    CU_ASSERT_EQUAL(sw_probe_cluster(&p), SW_OK);
    CU_ASSERT_EQUAL(p.cluster.nodes[0].cores, 3);
    CU_ASSERT_EQUAL(p.cluster.nodes[1].cores, 1);
    CU_ASSERT_EQUAL(sw_probe_warn(&p), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(p.warnings, "h0: the CPU quota of cgroup /job allows 3.5 cores'"
                                              " worth of time of 4 cores"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(p.warnings, "h1: the CPU quota of cgroup /job allows 0.5 cores'"));
    struct sw_strbuf table = {0};
    sw_probe_table(&p, &table);
    CU_ASSERT_PTR_NOT_NULL(strstr(table.text, "4 cores, quota 0.5 cores' worth of time, "));
    sw_strbuf_free(&table);
    sw_probe_free(&p);
}

static void limits_are_named(void)
{
    struct sw_probe p = made(3, (int[]){0, 0, 1});
    struct sw_strbuf text = {0};
    sw_probe_limits(&p, &text);
    CU_ASSERT_EQUAL(text.length, 0);
    for (int i = 0; i < 2; i++) {
        p.ranks[i].memory.cgroup_limit = 2 * GIB;
        p.ranks[i].memory.cgroup_free = 1 * GIB;
        strcpy(p.ranks[i].memory.cgroup, "/job");
        strcpy(p.ranks[i].memory.cgroup_file, "memory.high");
    }
    p.ranks[2].memory.address_free = 1 * GIB;
    p.ranks[2].memory.data_free = 0;
    sw_probe_limits(&p, &text);
    CU_ASSERT_STRING_EQUAL(
        text.text,
        ". On h0 the memory cgroup /job (memory.high of 2.00 GiB) leaves 1.00 GiB, of 48.0 GiB "
        "that "
        "the machine has available: raise that limit. On h1 the limit of address space (ulimit -v) "
        "leaves 1.00 GiB, the limit of data (ulimit -d) leaves 0 B, of 48.0 GiB that the machine "
        "has available: raise that limit");
    sw_strbuf_free(&text);
    CU_ASSERT_EQUAL(sw_probe_cluster(&p), SW_OK);
    CU_ASSERT_EQUAL(p.cluster.nodes[1].host_free, 0);
    sw_probe_free(&p);
}

static void quiet_when_all_is_well(void)
{
    struct sw_probe p = made(2, (int[]){0, 0});
    p.threads = 8; /* of 4 cores, that may have hardware threads */
    CU_ASSERT_EQUAL(sw_probe_warn(&p), SW_OK);
    CU_ASSERT_STRING_EQUAL(p.warnings, "");
    CU_ASSERT_STRING_EQUAL(p.problems, "");
    sw_probe_free(&p);
}

static void every_trap_is_said(void)
{
    static const char *const said[] = {
        "may use 1 of 4 cores",
        "--bind-to none",
        "2 ranks share 1 core;",
        "cgroup /box allows",
        "of swap is in use",
        "in /dev/shm",
        "runs version 9",
        "has avx2, rank 0 has portable",
        "lock 8.00 MiB of memory (ulimit -l), which is little for InfiniBand; set",
        "its 2 GPUs are not used",
        "h0: 3 threads share the 1 core that rank 0 may use"};
    struct sw_probe p = made(2, (int[]){0, 0});
    for (int i = 0; i < 2; i++) {
        p.ranks[i].cores.bound[0] = 1;
        p.ranks[i].cores.n_bound = 1;
        p.ranks[i].memory.shm_free = 1 << 20;
        p.ranks[i].memory.swap_used = GIB;
        p.ranks[i].memory.lock_limit = 8 << 20;
        p.ranks[i].memory.infiniband = true;
        p.ranks[i].n_unused = 2;
        p.ranks[i].memory.cgroup_limit = 3 * GIB;
        snprintf(p.ranks[i].memory.cgroup, sizeof p.ranks[i].memory.cgroup, "/box");
    }
    snprintf(p.ranks[1].version, sizeof p.ranks[1].version, "9");
    p.ranks[1].isa = 1;
    p.threads = 3;
    CU_ASSERT_EQUAL(sw_probe_warn(&p), SW_OK);
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        if (!strstr(p.warnings, said[i])) {
            printf("    not said: %s\n", said[i]);
            CU_FAIL("a warning is missing");
        }
    sw_probe_free(&p);
}

static void sees(struct sw_probe_rank *rank, const char *visible, int n, const char *const *buses)
{
    rank->n_seen = n;
    for (int i = 0; i < n; i++)
        snprintf(rank->seen[i], sizeof rank->seen[i], "%s", buses[i]);
    snprintf(rank->visible, sizeof rank->visible, "%s", visible);
}

static void gpus_are_assigned(void)
{
    static const char *const both[] = {"0000:3b:00.0", "0000:af:00.0"};
    struct sw_probe p = made(4, (int[]){0, 0, 0, 1});
    int choice[4];
    struct sw_strbuf text = {0};
    for (int i = 0; i < 4; i++)
        sees(&p.ranks[i], "", 2, both);
    sw_probe_assign_gpus(
        &p, choice); /* all see both: the third of the first host has none, as it should */
    CU_ASSERT(choice[0] == 0 && choice[1] == 1 && choice[2] == -1 && choice[3] == 0);
    sw_probe_assign_problems(&p, choice, &text);
    CU_ASSERT_EQUAL(text.length, 0);

    sees(&p.ranks[0], "1", 1, both + 1); /* each its own, in another order */
    sees(&p.ranks[1], "0", 1, both);
    sees(&p.ranks[2], "", 0, both);
    sw_probe_assign_gpus(&p, choice);
    CU_ASSERT(choice[0] == 0 && choice[1] == 0 && choice[2] == -1);
    sw_probe_assign_problems(&p, choice, &text);
    CU_ASSERT_EQUAL(text.length, 0);

    sees(&p.ranks[0], "0", 1, both); /* the same for both */
    CU_ASSERT_EQUAL(sw_probe_warn(&p), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(p.problems, "rank 1 on h0 sees only GPU 0000:3b:00.0 "
                                              "(CUDA_VISIBLE_DEVICES=0), which rank 0 drives"));
    CU_ASSERT_PTR_NULL(strstr(p.problems, "rank 3"));
    sw_strbuf_free(&text);
    sw_probe_free(&p);
}

static void gpus_are_shared_on_request(void)
{
    static const char *const both[] = {"0000:3b:00.0", "0000:af:00.0"};
    struct sw_probe p = made(6, (int[]){0, 0, 0, 0, 0, 1});
    int choice[6];
    for (int i = 0; i < 6; i++) {
        sees(&p.ranks[i], "", 2, both);
        p.ranks[i].shares = 1;
    }
    sw_probe_assign_gpus(&p, choice);
    CU_ASSERT(choice[0] == 0 && choice[1] == 1 && choice[2] == 0 && choice[3] == 1);
    CU_ASSERT(choice[4] == 0 && choice[5] == 0);
    CU_ASSERT_EQUAL(sw_probe_sharers(&p, choice, 0), 3);
    CU_ASSERT_EQUAL(sw_probe_sharers(&p, choice, 3), 2);
    CU_ASSERT_EQUAL(sw_probe_sharers(&p, choice, 5), 1);
    p.ranks[4].shares = 0;
    sw_probe_assign_gpus(&p, choice);
    CU_ASSERT_EQUAL(choice[4], -1);
    CU_ASSERT_EQUAL(sw_probe_sharers(&p, choice, 4), 0);
    CU_ASSERT_EQUAL(sw_probe_sharers(&p, choice, 0), 2);
    sw_probe_free(&p);
}

static void other_nccls_are_said(void)
{
    static const char *const gpu[] = {"0000:3b:00.0"};
    struct sw_probe p = made(4, (int[]){0, 1, 2, 3});
    for (int i = 1; i < 4; i++) {
        sees(&p.ranks[i], "", 1, gpu);
        p.ranks[i].nccl = 22809;
    }
    CU_ASSERT_EQUAL(sw_probe_warn(&p), SW_OK);
    CU_ASSERT_PTR_NULL(strstr(p.warnings, "NCCL"));
    p.ranks[3].nccl = 22703;
    CU_ASSERT_EQUAL(sw_probe_warn(&p), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(p.warnings, "rank 3 on h3 has NCCL 2.27.3, another one than rank 1 on h1"));
    sw_probe_free(&p);
}

SW_UNIT_TESTS({"ranks of a host become a node", ranks_of_a_host_become_a_node},
              {"a glance changes no plan", a_glance_changes_no_plan},
              {"a cgroup is counted once", a_cgroup_is_counted_once},
              {"alternating hosts are cut in parts", alternating_hosts_are_cut_in_parts},
              {"cores are shared out", cores_are_shared_out},
              {"threads follow a quota", threads_follow_a_quota},
              {"limits are named", limits_are_named},
              {"quiet when all is well", quiet_when_all_is_well},
              {"every trap is said", every_trap_is_said}, {"GPUs are assigned", gpus_are_assigned},
              {"GPUs are shared on request", gpus_are_shared_on_request},
              {"other NCCLs are said", other_nccls_are_said})

/* What is read of /proc and of the memory cgroups, from trees made up here. */
#include "probe/measure.h"
#include "probe/memory.h"
#include "unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void begin(void)
{
    snprintf(root, sizeof root, "/tmp/sw_memory_XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* Writes root/path with the directories above it. */
static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static void put_meminfo(void)
{
    put("/proc/meminfo", "MemTotal:       65536000 kB\nMemFree:         1000 kB\n"
                         "MemAvailable:   32768000 kB\nSwapTotal:  2000 kB\nSwapFree:  500 kB\n");
}

#define GIB (1ull << 30)

static void a_plain_machine(void)
{
    struct sw_host_memory m;
    begin();
    put_meminfo();
    put("/proc/self/cgroup", "0::/user.slice\n");
    CU_ASSERT_EQUAL(sw_memory_read(root, &m), SW_OK);
    CU_ASSERT_EQUAL(m.total, 65536000ull << 10);
    CU_ASSERT_EQUAL(m.available, 32768000ull << 10);
    CU_ASSERT_EQUAL(m.swap_used, 1500u << 10);
    CU_ASSERT_EQUAL(m.cgroup_limit, UINT64_MAX);
    CU_ASSERT_EQUAL(m.cgroup_free, UINT64_MAX);
    end();
}

static void the_tightest_cgroup_above_counts(void)
{
    struct sw_host_memory m;
    begin();
    put_meminfo();
    put("/proc/self/cgroup", "0::/job/step/task\n");
    put("/sys/fs/cgroup/job/memory.max", "17179869184\n"); /* 16 GiB, of which 15 used */
    put("/sys/fs/cgroup/job/memory.current", "16106127360\n");
    put("/sys/fs/cgroup/job/memory.stat",
        "anon 1\nfile 9\ninactive_file 1073741824\nactive_file 1073741824\n"); /* 2 GiB of it cache
                                                                                */
    put("/sys/fs/cgroup/job/step/memory.max", "max\n");
    put("/sys/fs/cgroup/job/step/task/memory.max", "8589934592\n");
    put("/sys/fs/cgroup/job/step/task/memory.current", "1073741824\n");
    CU_ASSERT_EQUAL(sw_memory_read(root, &m), SW_OK);
    CU_ASSERT_EQUAL(m.cgroup_free, 3 * GIB);
    CU_ASSERT_EQUAL(m.cgroup_limit, 16 * GIB);
    CU_ASSERT_STRING_EQUAL(m.cgroup, "/job");
    put("/sys/fs/cgroup/job/step/task/memory.high", "2147483648\n");
    CU_ASSERT_EQUAL(sw_memory_read(root, &m), SW_OK);
    CU_ASSERT_EQUAL(m.cgroup_free, 1 * GIB);
    CU_ASSERT_STRING_EQUAL(m.cgroup, "/job/step/task");
    CU_ASSERT_STRING_EQUAL(m.cgroup_file, "memory.high");
    end();
}

static void a_container_sees_its_limit_at_the_root(void)
{
    static const char *const paths[] = {"0::/\n", "0::/../../elsewhere\n",
                                        "0::/not/mounted/here\n"};
    struct sw_host_memory m;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        begin();
        put_meminfo();
        put("/proc/self/cgroup", paths[i]);
        put("/sys/fs/cgroup/memory.max", "4294967296\n");
        put("/sys/fs/cgroup/memory.current", "5368709120\n"); /* over the limit: nothing is left */
        CU_ASSERT_EQUAL(sw_memory_read(root, &m), SW_OK);
        CU_ASSERT_EQUAL(m.cgroup_limit, 4 * GIB);
        CU_ASSERT_EQUAL(m.cgroup_free, 0);
        CU_ASSERT_STRING_EQUAL(m.cgroup, "/");
        end();
    }
}

static void version_one_cgroups_count_too(void)
{
    struct sw_host_memory m;
    begin();
    put_meminfo();
    put("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/slurm/job_7\n1:name=systemd:/b\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "99\n");
    put("/sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", "6442450944\n");
    put("/sys/fs/cgroup/memory/slurm/job_7/memory.usage_in_bytes", "3221225472\n");
    put("/sys/fs/cgroup/memory/slurm/job_7/memory.stat",
        "inactive_file 5\ntotal_inactive_file 1073741824\n");
    CU_ASSERT_EQUAL(sw_memory_read(root, &m), SW_OK);
    CU_ASSERT_EQUAL(m.cgroup_limit, 6 * GIB);
    CU_ASSERT_EQUAL(m.cgroup_free, 4 * GIB);
    end();
}

/* The quota that is read of what `files` hold (path, text, …, NULL), and where it is. */
static double quota_read(const char *cgroup, const char *const *files, char *group)
{
    struct sw_cpu_share cores;
    begin();
    put("/proc/self/cgroup", cgroup);
    for (; *files; files += 2)
        put(files[0], files[1]);
    CU_ASSERT_EQUAL(sw_cpu_share_read(root, &cores), SW_OK);
    strcpy(group, cores.quota_group);
    end();
    return cores.quota;
}
#define QUOTA(cgroup, group, ...)                                                                  \
    quota_read(cgroup, (const char *const[]){__VA_ARGS__, NULL}, group)

static void cpu_quotas_of_version_two(void)
{
    char group[192];
    CU_ASSERT_EQUAL(QUOTA("0::/\n", group, "/proc/x", ""), 0); /* no file: no limit */
    CU_ASSERT_EQUAL(QUOTA("0::/a\n", group, "/sys/fs/cgroup/a/cpu.max", "max 100000\n"), 0);
    CU_ASSERT_EQUAL(QUOTA("0::/a\n", group, "/sys/fs/cgroup/a/cpu.max", "50000 100000\n"), 0.5);
    CU_ASSERT_STRING_EQUAL(group, "/a");
    /* the tightest above counts, whatever its period */
    CU_ASSERT_EQUAL(QUOTA("0::/job/step/task\n", group, "/sys/fs/cgroup/job/cpu.max",
                          "15000 10000\n", "/sys/fs/cgroup/job/step/cpu.max", "max 100000\n",
                          "/sys/fs/cgroup/job/step/task/cpu.max", "400000 100000\n"),
                    1.5);
    CU_ASSERT_STRING_EQUAL(group, "/job");
    /* a container sees its own group as the root, whatever /proc says */
    CU_ASSERT_EQUAL(QUOTA("0::/../../x\n", group, "/sys/fs/cgroup/cpu.max", "200000 100000"), 2);
    CU_ASSERT_STRING_EQUAL(group, "/");
    CU_ASSERT_EQUAL(QUOTA("0::/docker/1\n", group, "/sys/fs/cgroup/cpu.max", "50000 50000\n"), 1);
}

static void cpu_quotas_of_version_one(void)
{
    static const char v1[] = "8:memory:/m\n4:cpu,cpuacct:/k8s/pod\n1:name=systemd:/\n0::/\n";
    char group[192];
    CU_ASSERT_EQUAL(QUOTA(v1, group, "/sys/fs/cgroup/cpu/k8s/pod/cpu.cfs_quota_us", "-1\n",
                          "/sys/fs/cgroup/cpu/k8s/pod/cpu.cfs_period_us", "100000\n"),
                    0);
    CU_ASSERT_EQUAL(QUOTA(v1, group, "/sys/fs/cgroup/cpu/k8s/pod/cpu.cfs_quota_us", "250000\n",
                          "/sys/fs/cgroup/cpu/k8s/pod/cpu.cfs_period_us", "100000\n",
                          "/sys/fs/cgroup/cpu/k8s/cpu.cfs_quota_us", "5000\n",
                          "/sys/fs/cgroup/cpu/k8s/cpu.cfs_period_us", "10000\n"),
                    0.5);
    CU_ASSERT_STRING_EQUAL(group, "/k8s");
    CU_ASSERT_EQUAL(QUOTA(v1, group, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n",
                          "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
                    1);
    CU_ASSERT_STRING_EQUAL(group, "/");
}

static void nonsense_is_no_quota(void)
{
    static const char *const texts[] = {"",    "\n",  "0 100000",  "5",
                                        "5 0", "5 x", "-5 100000", "x 7"};
    char group[192];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CU_ASSERT_EQUAL(QUOTA("0::/\n", group, "/sys/fs/cgroup/cpu.max", texts[i]), 0);
    CU_ASSERT_EQUAL(QUOTA("3:cpuacct:/a\n", group, "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "5",
                          "/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "9"),
                    0);
}

static void without_proc_it_fails(void)
{
    struct sw_host_memory m;
    begin();
    CU_ASSERT_EQUAL(sw_memory_read(root, &m), SW_EDEVICE);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "/proc/meminfo"));
    put("/proc/meminfo", "nothing of use\n");
    CU_ASSERT_EQUAL(sw_memory_read(root, &m), SW_EDEVICE);
    end();
}

static void nonsense_does_no_harm(void)
{
    struct sw_host_memory m;
    begin();
    put_meminfo();
    put("/proc/self/cgroup", "0\n::\n0:\n:memory:\n\n0::a/b/\n0:://x//\n");
    put("/sys/fs/cgroup/memory.max", "-5\n");
    put("/sys/fs/cgroup/memory.current", "\n");
    CU_ASSERT_EQUAL(sw_memory_read(root, &m), SW_OK);
    CU_ASSERT_EQUAL(m.cgroup_free, UINT64_MAX);
    end();
}

static void this_machine_can_be_read(void)
{
    struct sw_host_memory m;
    struct sw_cpu_share cores;
    char name[96];
    CU_ASSERT_EQUAL(sw_memory_read("", &m), SW_OK);
    CU_ASSERT(m.total > 0 && m.available <= m.total);
    CU_ASSERT_EQUAL(sw_cpu_share_read("", &cores), SW_OK);
    CU_ASSERT(cores.n_bound >= 1 && cores.n_bound <= cores.n_machine);
    sw_cpu_name_read("", name, sizeof name);
    CU_ASSERT(name[0] != 0);
    sw_cpu_name_read("/nowhere", name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "unknown processor");
}

SW_UNIT_TESTS({"a plain machine", a_plain_machine},
              {"the tightest cgroup above counts", the_tightest_cgroup_above_counts},
              {"a container sees its limit at the root", a_container_sees_its_limit_at_the_root},
              {"version one cgroups count too", version_one_cgroups_count_too},
              {"cpu quotas of version two", cpu_quotas_of_version_two},
              {"cpu quotas of version one", cpu_quotas_of_version_one},
              {"nonsense is no quota", nonsense_is_no_quota},
              {"without proc it fails", without_proc_it_fails},
              {"nonsense does no harm", nonsense_does_no_harm},
              {"this machine can be read", this_machine_can_be_read})

/* Cores and instruction sets of this machine, as far as this process may use them. */
#include "base/cpu_info.h"

#include "base/cpu_topology.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <hwloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const isa_names[SW_ISA_COUNT] = {"portable", "avx2", "avx512", "avx512bf16"};

enum sw_isa sw_cpu_isa(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    /* clang 14 does not know the name "f16c", so that bit is read directly. */
    unsigned a, b, c = 0, d;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_F16C))
        return SW_ISA_PORTABLE;
#ifdef SW_WITHOUT_AVX512
    return SW_ISA_AVX2;
#endif
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return SW_ISA_AVX2;
    /* Every CPU with AVX-512 BF16 also has VNNI. */
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")
               ? SW_ISA_AVX512BF16
               : SW_ISA_AVX512;
#else
    return SW_ISA_PORTABLE;
#endif
}

bool sw_cpu_is_intel(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_is("intel");
#else
    return false;
#endif
}

const char *sw_isa_name(enum sw_isa isa)
{
    return isa_names[isa];
}

enum sw_status sw_isa_by_name(const char *name, enum sw_isa *isa)
{
    if (!name) {
        *isa = sw_cpu_isa();
        return SW_OK;
    }
    for (int i = 0; i < SW_ISA_COUNT; i++)
        if (!strcmp(name, isa_names[i])) {
            *isa = (enum sw_isa)i;
            return SW_OK;
        }
    return sw_fail(SW_EUSAGE,
                   "unknown instruction set '%s'; known: portable, avx2, avx512, "
                   "avx512bf16",
                   name);
}

/* Whether it is like "0-3,8", with numbers below 65536; hwloc's own parser accepts too much. */
static bool is_list(const char *text)
{
    for (bool is_end = false;; text++) {
        const size_t digits = strspn(text, "0123456789");
        if (digits < 1 || digits > 5)
            return false;
        text += digits;
        if (!*text)
            return true;
        if (*text != ',' && (*text != '-' || is_end))
            return false;
        is_end = *text == '-';
    }
}

static enum sw_status allowed_set(hwloc_topology_t topology, const char *list, hwloc_bitmap_t set)
{
    if (hwloc_get_cpubind(topology, set, HWLOC_CPUBIND_PROCESS) != 0 || hwloc_bitmap_iszero(set))
        hwloc_bitmap_copy(set, hwloc_topology_get_allowed_cpuset(topology));
    if (!list)
        return SW_OK;
    hwloc_bitmap_t wanted = hwloc_bitmap_alloc();
    if (!wanted)
        return sw_fail(SW_ENOMEM, "no memory for a core list");
    enum sw_status status = SW_OK;
    if (!is_list(list) || hwloc_bitmap_list_sscanf(wanted, list) != 0 ||
        hwloc_bitmap_iszero(wanted))
        status = sw_fail(SW_EUSAGE, "'%s' is not a list of cores; write it as \"0-3,8\"", list);
    else
        hwloc_bitmap_and(set, set, wanted);
    hwloc_bitmap_free(wanted);
    if (status == SW_OK && hwloc_bitmap_iszero(set))
        status = sw_fail(SW_EUSAGE, "this process may not use any of the cores '%s'", list);
    return status;
}

static enum sw_status cores_of(hwloc_topology_t topology, hwloc_const_bitmap_t set, int **cores,
                               int *n)
{
    const int weight = hwloc_bitmap_weight(set);
    int *found = malloc(sizeof *found * (size_t)(weight > 0 ? weight : 1));
    if (!found)
        return sw_fail(SW_ENOMEM, "no memory for a core list");
    int count = 0;
    hwloc_obj_t core = NULL;
    while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core)) != NULL) {
        int cpu = -1;
        do
            cpu = hwloc_bitmap_next(core->cpuset, cpu);
        while (cpu >= 0 && !hwloc_bitmap_isset(set, (unsigned)cpu));
        if (cpu >= 0 && count < weight)
            found[count++] = cpu;
    }
    if (!count) /* a topology without cores: count its hardware threads */
        for (int cpu = hwloc_bitmap_first(set); cpu >= 0 && count < weight;
             cpu = hwloc_bitmap_next(set, cpu))
            found[count++] = cpu;
    if (!count) {
        free(found);
        return sw_fail(SW_EDEVICE, "hwloc finds no core that this process may use");
    }
    *cores = found;
    *n = count;
    return SW_OK;
}

static hwloc_topology_t the_topology; /* kept until the process ends; NULL: hwloc failed */

static void topology_load(void)
{
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0)
        return;
    if (hwloc_topology_load(topology) == 0)
        the_topology = topology;
    else
        hwloc_topology_destroy(topology);
}

struct hwloc_topology *sw_cpu_topology(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, topology_load);
    return the_topology;
}

enum sw_status sw_cpu_cores(const char *list, int **cores, int *n)
{
    hwloc_topology_t topology = sw_cpu_topology();
    *cores = NULL;
    *n = 0;
    if (!topology)
        return sw_fail(SW_EDEVICE, "hwloc cannot read this machine's topology");
    hwloc_bitmap_t set = hwloc_bitmap_alloc();
    if (!set)
        return sw_fail(SW_ENOMEM, "no memory for a core list");
    enum sw_status status = allowed_set(topology, list, set);
    if (status == SW_OK)
        status = cores_of(topology, set, cores, n);
    hwloc_bitmap_free(set);
    return status;
}

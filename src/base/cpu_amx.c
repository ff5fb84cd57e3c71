/* Asks for AMX. A process has to (Linux 5.16 on) since signals then need larger stacks; the answer
 * holds for all its threads. */
#include "base/cpu_amx.h"

#include "base/log.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARCH_REQ_XCOMP_PERM 0x1023
#define XFEATURE_TILEDATA 18
#define CPUID_AMX (1u << 24 | 1u << 25) /* tiles; products of bytes */

static bool amx_allowed;

static void ask_for_amx(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & CPUID_AMX) != CPUID_AMX)
        return;
    amx_allowed = syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILEDATA) == 0;
    if (!amx_allowed)
        sw_log(SW_LOG_WARN,
               "this CPU has AMX, but Linux does not let a process use it (%s): prompts of "
               "quantized weights are computed without",
               strerror(errno));
#endif
}

bool sw_cpu_has_amx(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *wanted = getenv("SPILLWAY_AMX");
    if (wanted && !strcmp(wanted, "0"))
        return false;
    pthread_once(&once, ask_for_amx);
    return amx_allowed;
}

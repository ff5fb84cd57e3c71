/* What this process may use of the machine: cores (asked of hwloc) and instruction sets. */
#ifndef SW_BASE_CPU_INFO_H
#define SW_BASE_CPU_INFO_H

#include "base/status.h"

/* Best last, so that ranks can agree on the smallest. */
enum sw_isa { SW_ISA_PORTABLE, SW_ISA_AVX2, SW_ISA_AVX512, SW_ISA_AVX512BF16, SW_ISA_COUNT };

/* The best this CPU and its operating system offer. */
enum sw_isa sw_cpu_isa(void);
/* "portable", "avx2", "avx512", "avx512bf16" */
const char *sw_isa_name(enum sw_isa isa);
/* SW_EUSAGE names the choices; NULL gives the best there is. Not whether this CPU has it. */
enum sw_status sw_isa_by_name(const char *name, enum sw_isa *isa);

/*
 * One operating-system CPU number per core: of the cores in `list` ("0-3,8": hwloc's list of CPU
 * numbers), or of all this process is bound to when `list` is NULL; the first hardware thread of
 * each core, in hwloc's order. *cores: the caller frees it; *n >= 1. SW_EUSAGE: a list that does
 * not parse or that names nothing the process may use. SW_EDEVICE: hwloc failed.
 */
enum sw_status sw_cpu_cores(const char *list, int **cores, int *n);

#endif

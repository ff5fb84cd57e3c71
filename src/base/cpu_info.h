/* What this process may use of the machine: cores (from hwloc) and instruction sets. */
#ifndef SW_BASE_CPU_INFO_H
#define SW_BASE_CPU_INFO_H

#include "base/status.h"

#include <stdbool.h>

/* In ascending order, so that the minimum over ranks is what all of them have. */
enum sw_isa { SW_ISA_PORTABLE, SW_ISA_AVX2, SW_ISA_AVX512, SW_ISA_AVX512BF16, SW_ISA_COUNT };

/* The best instruction set that this CPU and its operating system support. */
enum sw_isa sw_cpu_isa(void);
/* Of what Intel made: its caches fetch in another way (struct sw_panel_product). */
bool sw_cpu_is_intel(void);
/* "portable", "avx2", "avx512", "avx512bf16" */
const char *sw_isa_name(enum sw_isa isa);
/* NULL gives the best of the list. SW_EUSAGE, with the choices, for an unknown name. Does not check
 * whether this CPU supports it. */
enum sw_status sw_isa_by_name(const char *name, enum sw_isa *isa);

/*
 * One operating-system CPU number per core: that of the core's first hardware thread, in hwloc's
 * order. `list` ("0-3,8") has CPU numbers; NULL: all cores this process is bound to. The caller
 * frees *cores; *n >= 1. SW_EUSAGE: the list does not parse, or names no core that the process may
 * use. SW_EDEVICE: hwloc failed.
 */
enum sw_status sw_cpu_cores(const char *list, int **cores, int *n);

#endif

/* Whether this process may use AMX, the unit of Xeons (since Sapphire Rapids) that multiplies tiles
 * of bytes. It is no instruction set of enum sw_isa: what it computes has the bits of vectors. */
#ifndef SW_BASE_CPU_AMX_H
#define SW_BASE_CPU_AMX_H

#include <stdbool.h>

/* The first call asks Linux, which has to let a process use it, and warns when that is refused.
 * False with SPILLWAY_AMX=0 in the environment, the way to do without. Any thread. */
bool sw_cpu_has_amx(void);

#endif

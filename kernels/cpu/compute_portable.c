/* The kernels compiled for plain C; the code is in the headers. */
#include "kernels/cpu/lanes_portable.h"

#define TABLE sw_kernels_portable
#define TABLE_ISA SW_ISA_PORTABLE
#include "kernels/cpu/table.h"

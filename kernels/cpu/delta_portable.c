/* Gated delta nets compiled for plain C; the code is in the headers. */
#include "kernels/cpu/lanes_portable.h"

#define TABLE sw_delta_portable
#include "kernels/cpu/delta_code.h"

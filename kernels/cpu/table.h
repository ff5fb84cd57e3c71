/* The table of one instruction set, which the including file has named: TABLE, TABLE_ISA. */
#include "kernels/cpu/cpu_kernels.h"

/* In this order: each builds on the one before. */
#include "kernels/cpu/tile.h"

#include "kernels/cpu/rows.h"

#include "kernels/cpu/int8.h"

#include "kernels/cpu/product.h"

#include "kernels/cpu/attend.h"
#include "kernels/cpu/limits.h"

#include "kernels/cpu/format_rows.h"

const struct sw_kernels TABLE = {
    .isa = TABLE_ISA,
    .formats = format_rows,
    .norm = rows_norm,
    .activate = rows_activate,
    .rope = rope,
    .attend = attend,
    .attend_join = attend_join,
    .add_scaled = add_scaled,
    .read_memory = read_memory,
};

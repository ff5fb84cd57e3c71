/* Products of many rows by AMX, beside the kernels of an instruction set. */
#ifndef SW_KERNELS_MANY_H
#define SW_KERNELS_MANY_H

#include "kernels/cpu/cpu_kernels.h"

/*
 * Another way for the products of a format: of the same packed weights, and the same bits. lay_out
 * and prepare_tile come first, as ever; but tile i is the tokens from i * rows on, of which
 * prepare_tile makes what `product` reads, with x_ld 0. It is called for each of `parts` parts of a
 * tile, on any thread: some rows or some columns of it.
 */
struct sw_cpu_many {
    int64_t least; /* rows of a product that it is for */
    int64_t rows;  /* of a tile */
    void (*prepare_tile)(const struct sw_prepare *p, int64_t i, int64_t part, int64_t parts);
    void (*product)(const struct sw_panel_product *p);
    double (*spin)(int64_t steps, float *out); /* as of struct sw_cpu_format */
};
#define SW_MANY_COLS 64 /* columns that a matrix for it has at least */

/* (SW_FORMAT_COUNT), product NULL: none of the format; NULL: this CPU, or the instruction set, has
 * none at all. */
const struct sw_cpu_many *sw_many_for(enum sw_isa isa);

/* What multiplies and adds as products of many rows do, in registers only; with AMX from caches. */
double (*sw_spin_for(enum sw_isa isa, enum sw_format_id format))(int64_t steps, float *out);

/* compute_amx.c */
extern const struct sw_cpu_many sw_amx_rows[SW_FORMAT_COUNT];

#endif

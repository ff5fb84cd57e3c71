/* The table of weight formats with AMX, a row each. Included by compute_amx.c, after the kernels.
 */
#ifndef SW_KERNELS_AMX_ROWS_H
#define SW_KERNELS_AMX_ROWS_H

/*
 * Least rows, and which formats: where it was faster than vectors, measured in turns on a Xeon
 * (Emerald Rapids) whose other thread was busy. What has numbers besides its scales gains with more
 * rows alone; what has factors of parts that make two digits did not: a block of 32 columns gives
 * the tile unit less to do than its sums are work for vectors.
 */

#define AMX_WORDS(name)                                                                            \
    static void amx_prepare_##name(const struct sw_prepare *p, int64_t i, int64_t part,            \
                                   int64_t parts)                                                  \
    {                                                                                              \
        amx_prepare(&name##_format, p, i, part, parts);                                            \
    }                                                                                              \
    static void amx_product_##name(const struct sw_panel_product *p)                               \
    {                                                                                              \
        amx_words_product(&name##_format, p);                                                      \
    }
#define AMX_ROW(name, least)                                                                       \
    {                                                                                              \
        least, AMX_ROWS, amx_prepare_##name, amx_product_##name, amx_spin_words                    \
    }

AMX_WORDS(q8_0)
AMX_WORDS(q4_0)
AMX_WORDS(q4_1)
AMX_WORDS(q5_0)
AMX_WORDS(q5_1)
AMX_WORDS(q2_k)
AMX_WORDS(q4_k)
AMX_WORDS(q5_k)
AMX_WORDS(iq4_nl)
AMX_WORDS(iq4_xs)
AMX_WORDS(mxfp4)
AMX_WORDS(nf4)
AMX_WORDS(fp4)
AMX_WORDS(nf4_nested)
AMX_WORDS(fp4_nested)
AMX_WORDS(int8_g128)
AMX_WORDS(int8_g32)

const struct sw_cpu_many sw_amx_rows[SW_FORMAT_COUNT] = {
    [SW_FORMAT_INT8] = {9, AMX_ROWS, amx_prepare_int8, amx_product_int8, amx_spin_int8},
    [SW_FORMAT_Q8_0] = AMX_ROW(q8_0, 9),
    [SW_FORMAT_Q4_0] = AMX_ROW(q4_0, 9),
    [SW_FORMAT_Q4_1] = AMX_ROW(q4_1, 129),
    [SW_FORMAT_Q5_0] = AMX_ROW(q5_0, 9),
    [SW_FORMAT_Q5_1] = AMX_ROW(q5_1, 17),
    [SW_FORMAT_Q2_K] = AMX_ROW(q2_k, 33),
    [SW_FORMAT_Q4_K] = AMX_ROW(q4_k, 16),
    [SW_FORMAT_Q5_K] = AMX_ROW(q5_k, 33),
    [SW_FORMAT_IQ4_NL] = AMX_ROW(iq4_nl, 9),
    [SW_FORMAT_IQ4_XS] = AMX_ROW(iq4_xs, 9),
    [SW_FORMAT_MXFP4] = AMX_ROW(mxfp4, 9),
    [SW_FORMAT_NF4] = AMX_ROW(nf4, 9),
    [SW_FORMAT_FP4] = AMX_ROW(fp4, 9),
    [SW_FORMAT_NF4_NESTED] = AMX_ROW(nf4_nested, 9),
    [SW_FORMAT_FP4_NESTED] = AMX_ROW(fp4_nested, 9),
    [SW_FORMAT_INT8_G128] = AMX_ROW(int8_g128, 129),
    [SW_FORMAT_INT8_G32] = AMX_ROW(int8_g32, 129),
};

#endif

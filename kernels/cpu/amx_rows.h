/* The table of weight formats with AMX, a row each. Included by compute_amx.c, after the kernels.
 */
#ifndef SW_KERNELS_AMX_ROWS_H
#define SW_KERNELS_AMX_ROWS_H

#define AMX_LEAST 9 /* fewer rows leave half of a tile empty */

#define AMX_WORDS(name)                                                                            \
    static void amx_prepare_##name(const struct sw_prepare *p, int64_t i)                          \
    {                                                                                              \
        amx_prepare(&name##_format.blocks, p, i);                                                  \
    }                                                                                              \
    static void amx_product_##name(const struct sw_panel_product *p)                               \
    {                                                                                              \
        amx_words_product(&name##_format, p);                                                      \
    }
#define AMX_ROW(name)                                                                              \
    {                                                                                              \
        AMX_LEAST, AMX_ROWS, amx_prepare_##name, amx_product_##name, amx_spin_words                \
    }

AMX_WORDS(q8_0)
AMX_WORDS(q4_0)
AMX_WORDS(q4_1)
AMX_WORDS(q5_0)
AMX_WORDS(q5_1)
AMX_WORDS(q2_k)
AMX_WORDS(q3_k)
AMX_WORDS(q4_k)
AMX_WORDS(q5_k)
AMX_WORDS(q6_k)
AMX_WORDS(iq4_nl)
AMX_WORDS(iq4_xs)
AMX_WORDS(mxfp4)
AMX_WORDS(nf4)
AMX_WORDS(fp4)
AMX_WORDS(nf4_nested)
AMX_WORDS(fp4_nested)
AMX_WORDS(int4_g128)
AMX_WORDS(int4_g32)
AMX_WORDS(int8_g128)
AMX_WORDS(int8_g32)

const struct sw_cpu_many sw_amx_rows[SW_FORMAT_COUNT] = {
    [SW_FORMAT_INT8] = {AMX_LEAST, AMX_ROWS, amx_prepare_int8, amx_product_int8, amx_spin_int8},
    [SW_FORMAT_Q8_0] = AMX_ROW(q8_0),
    [SW_FORMAT_Q4_0] = AMX_ROW(q4_0),
    [SW_FORMAT_Q4_1] = AMX_ROW(q4_1),
    [SW_FORMAT_Q5_0] = AMX_ROW(q5_0),
    [SW_FORMAT_Q5_1] = AMX_ROW(q5_1),
    [SW_FORMAT_Q2_K] = AMX_ROW(q2_k),
    [SW_FORMAT_Q3_K] = AMX_ROW(q3_k),
    [SW_FORMAT_Q4_K] = AMX_ROW(q4_k),
    [SW_FORMAT_Q5_K] = AMX_ROW(q5_k),
    [SW_FORMAT_Q6_K] = AMX_ROW(q6_k),
    [SW_FORMAT_IQ4_NL] = AMX_ROW(iq4_nl),
    [SW_FORMAT_IQ4_XS] = AMX_ROW(iq4_xs),
    [SW_FORMAT_MXFP4] = AMX_ROW(mxfp4),
    [SW_FORMAT_NF4] = AMX_ROW(nf4),
    [SW_FORMAT_FP4] = AMX_ROW(fp4),
    [SW_FORMAT_NF4_NESTED] = AMX_ROW(nf4_nested),
    [SW_FORMAT_FP4_NESTED] = AMX_ROW(fp4_nested),
    [SW_FORMAT_INT4_G128] = AMX_ROW(int4_g128),
    [SW_FORMAT_INT4_G32] = AMX_ROW(int4_g32),
    [SW_FORMAT_INT8_G128] = AMX_ROW(int8_g128),
    [SW_FORMAT_INT8_G32] = AMX_ROW(int8_g32),
};

#endif

/* Scalar conversions against the definition, over every 16-bit pattern. */
#include "tensor/dtype.h"
#include "unit.h"

#include <math.h>

static void f16_goes_there_and_back(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = sw_f16_to_f32((uint16_t)h);
        if (isnan(f))
            CU_ASSERT_TRUE_FATAL(isnan(sw_f16_to_f32(sw_f32_to_f16(f))))
        else
            CU_ASSERT_EQUAL_FATAL(sw_f32_to_f16(f), h);
    }
    CU_ASSERT_EQUAL(sw_f16_to_f32(0x3c00), 1.0f);
    CU_ASSERT_EQUAL(sw_f16_to_f32(1), 0x1p-24f);
    CU_ASSERT_EQUAL(sw_f32_to_f16(65519.0f), 0x7bff);
    CU_ASSERT_EQUAL(sw_f32_to_f16(65520.0f), 0x7c00);
    CU_ASSERT_EQUAL(sw_f32_to_f16(0x1p-25f), 0);
    CU_ASSERT_EQUAL(sw_f32_to_f16(0x1.8p-25f), 1);
}

/* Many values at once are those one by one, from any alignment. */
static void rows_are_as_single_values(void)
{
    static unsigned char bytes[65536 * 2 + 1];
    static float got[65536];
    for (uint32_t h = 0; h < 65536; h++)
        memcpy(bytes + 1 + 2 * h, &(uint16_t){(uint16_t)h}, 2);
    for (int k = 0; k < 2; k++) {
        sw_dtype_to_f32(k ? SW_BF16 : SW_F16, bytes + 1, 65536, got);
        for (uint32_t h = 0; h < 65536; h++) {
            const float want = k ? sw_bf16_to_f32((uint16_t)h) : sw_f16_to_f32((uint16_t)h);
            CU_ASSERT_FATAL(memcmp(got + h, &want, sizeof want) == 0);
        }
    }
}

static void f16_rounds_to_nearest_even(void)
{
    for (uint32_t h = 0; h < 0x7bff; h++) {
        const float a = sw_f16_to_f32((uint16_t)h), b = sw_f16_to_f32((uint16_t)(h + 1));
        const float middle = a + (b - a) / 2;
        CU_ASSERT_EQUAL_FATAL(sw_f32_to_f16(middle), (h & 1) ? h + 1 : h);
        CU_ASSERT_EQUAL_FATAL(sw_f32_to_f16(nextafterf(middle, a)), h);
        CU_ASSERT_EQUAL_FATAL(sw_f32_to_f16(nextafterf(middle, b)), h + 1);
    }
}

static void bf16_rounds_to_nearest_even(void)
{
    for (uint32_t h = 0; h < 0x7f7f; h++) {
        const float a = sw_bf16_to_f32((uint16_t)h), b = sw_bf16_to_f32((uint16_t)(h + 1));
        const float middle = a + (b - a) / 2;
        CU_ASSERT_EQUAL_FATAL(sw_f32_to_bf16(a), h);
        CU_ASSERT_EQUAL_FATAL(sw_f32_to_bf16(middle), (h & 1) ? h + 1 : h);
    }
    CU_ASSERT_TRUE(isnan(sw_bf16_to_f32(sw_f32_to_bf16(NAN))));
}

SW_UNIT_TESTS({"f16 goes there and back", f16_goes_there_and_back},
              {"rows are as single values", rows_are_as_single_values},
              {"f16 rounds to nearest even", f16_rounds_to_nearest_even},
              {"bf16 rounds to nearest even", bf16_rounds_to_nearest_even})

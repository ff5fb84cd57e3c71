/*
 * The rates of reading, also of less memory than caches hold, and of attention: of decoded tokens
 * it reads memory, so it cannot be faster than that.
 */
#include "base/pool.h"
#include "probe/measure.h"
#include "unit.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define BYTES ((size_t)96 << 20)

/* One head for each of keys and values: 4 flops and 4 bytes (bf16) for each element and key. */
static void decoded_tokens_read_their_keys(void)
{
    const struct sw_attend_shape shape = {SW_BF16, 64, 1};
    struct sw_read_block *block;
    CU_ASSERT_EQUAL_FATAL(sw_read_block_create(NULL, BYTES, 5, &block), SW_OK);
    const double read = sw_read_block_rate(block, 0.1);
    const double decode = sw_attend_decode_rate(block, &shape, 0.1);
    sw_read_block_free(block);
    CU_ASSERT(read > 0);
    CU_ASSERT(decode > 0);
    CU_ASSERT(decode < 2 * read); /* twice: others may use the memory meanwhile */
}

/* Of a block that nobody had the time to touch keys would come from the caches. */
static void too_little_memory_gives_no_rate(void)
{
    const struct sw_attend_shape shape = {SW_BF16, 64, 1};
    struct sw_read_block *block;
    CU_ASSERT_EQUAL_FATAL(sw_read_block_create(NULL, (size_t)4 << 30, 0, &block), SW_OK);
    CU_ASSERT_EQUAL(sw_attend_decode_rate(block, &shape, 0.1), 0);
    sw_read_block_free(block);
    CU_ASSERT(sw_attend_rate(NULL, &shape, 0.05) > 0);
}

static bool has_flushes(void)
{
#if defined(__x86_64__)
    unsigned a, b = 0, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_CLFLUSHOPT);
#else
    return false;
#endif
}

/* Memory that is slow to come must not leave a machine without a rate. */
static void little_memory_is_read_past_the_caches(void)
{
    struct sw_read_block *all, *some;
    size_t bytes;
    CU_ASSERT_EQUAL_FATAL(sw_read_block_create(NULL, BYTES, 5, &all), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_read_block_create(NULL, (size_t)4 << 30, 0.05, &some), SW_OK);
    sw_read_block_memory(some, &bytes);
    CU_ASSERT(bytes < (size_t)4 << 29); /* else this shows nothing */
    const double read = sw_read_block_rate(all, 0.1), flushed = sw_read_block_rate(some, 0.1);
    sw_read_block_free(all);
    sw_read_block_free(some);
    if (!has_flushes() || bytes < (size_t)8 << 20)
        CU_ASSERT_EQUAL(flushed, 0);
    if (has_flushes() && bytes >= (size_t)8 << 20)
        CU_ASSERT(flushed > read / 4 && flushed < 4 * read); /* others use the memory, too */
}

SW_UNIT_TESTS({"decoded tokens read their keys", decoded_tokens_read_their_keys},
              {"too little memory gives no rate", too_little_memory_gives_no_rate},
              {"little memory is read past the caches", little_memory_is_read_past_the_caches})

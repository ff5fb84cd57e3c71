/* The rates of attention: of decoded tokens it reads memory, so it cannot be faster than that. */
#include "base/pool.h"
#include "probe/measure.h"
#include "unit.h"

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

SW_UNIT_TESTS({"decoded tokens read their keys", decoded_tokens_read_their_keys},
              {"too little memory gives no rate", too_little_memory_gives_no_rate})

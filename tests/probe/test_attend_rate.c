/*
 * The rates of reading, also of less memory than caches hold, and of attention: of decoded tokens
 * it reads memory, so it cannot be faster than that.
 */
#include "base/clock.h"
#include "base/pool.h"
#include "probe/measure.h"
#include "unit.h"

#include <math.h>
#include <stdbool.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define BYTES ((size_t)96 << 20)

/*
 * A measurement that somebody else on the machine disturbed says too little, so rates are measured
 * in turns, and best is compared with best, until they are as they should be, or a minute is over.
 */
#define ROUNDS 3
#define ROUND 0.05     /* seconds for each rate */
#define PATIENCE 60.0  /* seconds */
#define PROVIDED 120.0 /* seconds for the memory of a block: it is there much sooner */

struct rates {
    double reached, read;
};

static bool settled(const struct rates *best, double until, int round,
                    bool (*fine)(const struct rates *))
{
    return round >= ROUNDS && (fine(best) || sw_clock() > until);
}

static bool is_no_faster(const struct rates *best)
{
    return best->reached > 0 && best->reached < 2 * best->read;
}

/* One head for each of keys and values: 4 flops and 4 bytes (bf16) for each element and key. */
static void decoded_tokens_read_their_keys(void)
{
    const struct sw_attend_shape shape = {SW_BF16, 64, 1};
    struct sw_read_block *block;
    struct rates best = {0};
    CU_ASSERT_EQUAL_FATAL(sw_read_block_create(NULL, BYTES, PROVIDED, &block), SW_OK);
    const double until = sw_clock() + PATIENCE;
    for (int round = 0; !settled(&best, until, round, is_no_faster); round++) {
        best.read = fmax(best.read, sw_read_block_rate(block, ROUND));
        best.reached = fmax(best.reached, sw_attend_decode_rate(block, &shape, ROUND));
    }
    sw_read_block_free(block);
    CU_ASSERT(is_no_faster(&best));
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

static bool is_like(const struct rates *best)
{
    return best->reached > best->read / 4 && best->reached < 4 * best->read;
}

/* Memory that is slow to come must not leave a machine without a rate. */
static void little_memory_is_read_past_the_caches(void)
{
    struct sw_read_block *all, *some;
    struct rates best = {0};
    size_t bytes;
    CU_ASSERT_EQUAL_FATAL(sw_read_block_create(NULL, BYTES, PROVIDED, &all), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_read_block_create(NULL, (size_t)4 << 30, 0.05, &some), SW_OK);
    sw_read_block_memory(some, &bytes);
    CU_ASSERT(bytes < (size_t)4 << 29); /* else this shows nothing */
    const bool measured = has_flushes() && bytes >= (size_t)8 << 20;
    const double until = sw_clock() + PATIENCE;
    for (int round = 0; measured && !settled(&best, until, round, is_like); round++) {
        best.read = fmax(best.read, sw_read_block_rate(all, ROUND));
        best.reached = fmax(best.reached, sw_read_block_rate(some, ROUND));
    }
    if (measured)
        CU_ASSERT(is_like(&best));
    if (!measured)
        CU_ASSERT_EQUAL(sw_read_block_rate(some, ROUND), 0);
    sw_read_block_free(all);
    sw_read_block_free(some);
}

SW_UNIT_TESTS({"decoded tokens read their keys", decoded_tokens_read_their_keys},
              {"too little memory gives no rate", too_little_memory_gives_no_rate},
              {"little memory is read past the caches", little_memory_is_read_past_the_caches})

/* Small pieces or large ones: buffers have room for them, and the faster ones are gone on with. */
#include "checkpoint/direct_file.h"
#include "checkpoint/read_list.h"
#include "unit.h"

#include <stdbool.h>

static void buffers_have_room(void)
{
    for (int threads = 1; threads <= SW_LIST_THREADS_MAX; threads++)
        for (int id = 0; id < SW_READ_SHAPES; id++) {
            const struct sw_read_shape s = sw_read_shape((enum sw_read_shape_id)id, threads);
            CU_ASSERT(s.threads >= 1 && s.threads <= threads);
            CU_ASSERT((size_t)s.threads * s.step <= SW_LIST_BYTES);
            CU_ASSERT_EQUAL(s.step % SW_DIRECT_ALIGN, 0);
            CU_ASSERT(sw_direct_room(s.room) <= s.step);
            CU_ASSERT(s.piece >= SW_LIST_PIECE && s.piece <= s.room);
        }
    const struct sw_read_shape small = sw_read_shape(SW_READ_SMALL, SW_LIST_THREADS);
    const struct sw_read_shape large = sw_read_shape(SW_READ_LARGE, SW_LIST_THREADS);
    CU_ASSERT_EQUAL(small.piece, SW_LIST_PIECE);
    CU_ASSERT_EQUAL(small.threads, SW_LIST_THREADS);
    CU_ASSERT(large.piece > (size_t)4000 << 10);
    CU_ASSERT(large.threads >= 2);
}

/* A disk that gives so many bytes per second in each shape is read for a while; returns how many of
 * the last 64 readings were large. */
static int large_of(struct sw_read_rates *rates, double small, double large)
{
    int n_large = 0;
    for (int i = 0; i < 128; i++) {
        uint64_t bytes = 0;
        const enum sw_read_shape_id id = sw_read_rates_next(rates, &bytes);
        CU_ASSERT(bytes >= 1 << 20);
        sw_read_rates_saw(rates, id, bytes, (double)bytes / (id == SW_READ_LARGE ? large : small));
        n_large += i >= 64 && id == SW_READ_LARGE;
    }
    return n_large;
}

static void the_faster_one_is_used(void)
{
    struct sw_read_rates rates = {0};
    CU_ASSERT_EQUAL(large_of(&rates, 2e9, 1e9), 2); /* it is looked at again */
    CU_ASSERT_EQUAL(large_of(&rates, 1e9, 2e9), 62);
    CU_ASSERT_EQUAL(large_of(&rates, 1e9, 1.03e9), 2); /* not worth it */
    struct sw_read_rates other = {0};
    CU_ASSERT_EQUAL(large_of(&other, 1e9, 2e9), 62);
}

static void both_are_tried_at_first(void)
{
    struct sw_read_rates rates = {0};
    for (int i = 0; i < 4; i++) {
        const enum sw_read_shape_id id = i % 2 ? SW_READ_LARGE : SW_READ_SMALL;
        uint64_t bytes = 0;
        CU_ASSERT_EQUAL(sw_read_rates_next(&rates, &bytes), id);
        CU_ASSERT(bytes <= 64 << 20);
        sw_read_rates_saw(&rates, id, 4096, 1e-9); /* says nothing */
        sw_read_rates_saw(&rates, id, bytes, 0);
        CU_ASSERT_EQUAL(sw_read_rates_next(&rates, &bytes), id);
        sw_read_rates_saw(&rates, id, bytes, 1);
    }
}

SW_UNIT_TESTS({"buffers have room", buffers_have_room},
              {"the faster one is used", the_faster_one_is_used},
              {"both are tried at first", both_are_tried_at_first})

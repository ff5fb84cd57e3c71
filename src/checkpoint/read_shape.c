/* Owns the choice between small pieces and large ones. */
#include "checkpoint/read_shape.h"

#include "checkpoint/direct_file.h"
#include "checkpoint/read_list.h"

#define LARGE_THREADS 4
#define TRIALS 4                            /* readings that take turns at first */
#define TRIAL_BYTES ((uint64_t)64 << 20)    /* of each of these */
#define SETTLED_BYTES ((uint64_t)512 << 20) /* of the later ones */
#define AGAIN 32                            /* of so many readings one is with the other shape */
#define PAYS 1.05                   /* by so much large pieces are faster where they are used */
#define NEWEST 0.6                  /* weight of the last reading in the rate */
#define TELLING ((uint64_t)8 << 20) /* bytes; fewer say nothing about a disk */

struct sw_read_shape sw_read_shape(enum sw_read_shape_id id, int threads)
{
    struct sw_read_shape s = {.threads = threads};
    if (id == SW_READ_LARGE && threads > LARGE_THREADS)
        s.threads = LARGE_THREADS;
    s.step = SW_LIST_BYTES / (size_t)s.threads / SW_DIRECT_ALIGN * SW_DIRECT_ALIGN;
    s.room = s.step - sw_direct_room(0);
    s.piece = id == SW_READ_LARGE ? s.room : SW_LIST_PIECE;
    return s;
}

enum sw_read_shape_id sw_read_rates_next(const struct sw_read_rates *r, uint64_t *bytes)
{
    const enum sw_read_shape_id best =
        r->rate[SW_READ_LARGE] > PAYS * r->rate[SW_READ_SMALL] ? SW_READ_LARGE : SW_READ_SMALL;
    *bytes = r->readings < TRIALS ? TRIAL_BYTES : SETTLED_BYTES;
    if (r->readings < TRIALS)
        return r->readings % SW_READ_SHAPES;
    if (r->readings % AGAIN != AGAIN - 1)
        return best;
    *bytes = TRIAL_BYTES;
    return best == SW_READ_LARGE ? SW_READ_SMALL : SW_READ_LARGE;
}

void sw_read_rates_saw(struct sw_read_rates *r, enum sw_read_shape_id id, uint64_t bytes,
                       double seconds)
{
    if (bytes < TELLING || seconds <= 0)
        return;
    const double rate = (double)bytes / seconds;
    r->rate[id] = r->rate[id] > 0 ? (1 - NEWEST) * r->rate[id] + NEWEST * rate : rate;
    r->readings++;
}

/*
 * The ids found in the results and in the input so far. An id takes 16 bytes in a table that is at
 * most three quarters full: a million ids take 32 MiB. The table keeps 126 bits of a hash under a
 * secret key that each process draws: two of n ids collide with a chance of n^2 / 2^127, below
 * 10^-26 for a million, and nobody can construct ids that do.
 */
#ifndef SW_JOBS_ID_SET_H
#define SW_JOBS_ID_SET_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum sw_id_mark {
    SW_ID_DONE = 1, /* there is a result with this id */
    SW_ID_SEEN = 2  /* a line of the input with this id was read */
};

struct sw_id_set;
enum sw_status sw_id_set_create(struct sw_id_set **out);
void sw_id_set_free(struct sw_id_set *ids);
/* Adds marks (enum sw_id_mark) to the id key[0..n). *before: the marks it had, 0 for a new id.
 * SW_ENOMEM when the table cannot grow. */
enum sw_status sw_id_set_mark(struct sw_id_set *ids, const char *key, size_t n, unsigned marks,
                              unsigned *before);
/* The number of ids with all of `marks` and none of `without`. */
int64_t sw_id_set_count(const struct sw_id_set *ids, unsigned marks, unsigned without);

#endif

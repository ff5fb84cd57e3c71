/*
 * Which ids were met: in the results so far, in the input so far. 16 bytes an id in a table at most
 * three quarters full: a million ids take 32 MiB. What is kept is 126 bits of a hash under a
 * secret key drawn anew by every process: two of n ids fall together with a chance of n^2 / 2^127,
 * below 10^-26 for a million, and nobody can construct such ids.
 */
#ifndef SW_JOBS_ID_SET_H
#define SW_JOBS_ID_SET_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum sw_id_mark {
    SW_ID_DONE = 1, /* has a result */
    SW_ID_SEEN = 2  /* belongs to a line of the input that was read */
};

struct sw_id_set;
enum sw_status sw_id_set_create(struct sw_id_set **out);
void sw_id_set_free(struct sw_id_set *keys);
/* Adds marks to the key; *before are the ones it had, 0 when it was unknown. */
enum sw_status sw_id_set_mark(struct sw_id_set *keys, const char *key, size_t n, unsigned marks,
                              unsigned *before);
/* Keys with all of `marks` and none of `without`. */
int64_t sw_id_set_count(const struct sw_id_set *keys, unsigned marks, unsigned without);

#endif

/* The policies of cache_policies.h that are made of lists. */
#ifndef SW_TESTS_CACHE_LISTS_H
#define SW_TESTS_CACHE_LISTS_H

#include "replay/cache_policies.h"

int64_t cache_s3_fifo_hits(const struct cache_uses *uses, int capacity);
int64_t cache_arc_hits(const struct cache_uses *uses, int capacity);

#endif

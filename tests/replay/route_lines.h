/*
 * Which experts were chosen, as lines of JSON (docs/formats.md, Routes): reading them, and making
 * some up.
 */
#ifndef SW_TESTS_ROUTE_LINES_H
#define SW_TESTS_ROUTE_LINES_H

#include "base/status.h"
#include "replay/cache_policies.h"

#include <stdio.h>

/* Uses of experts: those of a line once each, however many rows chose them. */
struct route_uses {
    struct cache_uses uses; /* a key is an expert of a layer: layer * experts + expert */
    int layers, experts;    /* layers: largest index and one */
    int routed;             /* layers that there are lines of */
    int64_t lines;
    int *keys;     /* uses.keys */
    int64_t *next; /* uses.next */
};

/* Reads all lines. SW_EINPUT names the line; SW_ENOMEM. The caller frees *out, on failure too. */
enum sw_status route_lines_read(FILE *file, const char *name, struct route_uses *out);
void route_uses_free(struct route_uses *uses);

/*
 * Made-up routes: in each layer the experts have popularities of a Zipf distribution in an order of
 * its own, which is drawn anew every `shift` steps (0: never); a row chooses `used` different ones,
 * or, with probability `repeat`, those of the row before.
 */
struct route_shape {
    int layers, experts, used, steps, rows;
    double skew, repeat; /* popularity of the i-th expert: 1 / i^skew */
    int shift;
    uint64_t seed;
};
/* Writes them. SW_EUSAGE for a shape that cannot be, SW_ENOMEM, SW_EIO. */
enum sw_status route_lines_make(const struct route_shape *shape, FILE *file);

#endif

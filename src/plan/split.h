/*
 * What a split of consecutive layers takes of a rank, from the prefix sums of struct sw_cost.
 * Shared by split.c and split_search.c, which finds the best one. Internal to src/plan/.
 *
 * A split has ends (whether embedding and head are on the GPU) and a way (SW_WAY_PROMPT and so on,
 * cost.h); the numbers of layers in its tiers are what is searched.
 */
#ifndef SW_PLAN_SPLIT_H
#define SW_PLAN_SPLIT_H

#include "plan/cost.h"

/* Layers [first, first + count) on a rank of kind k. */
struct run {
    const struct sw_cost *c;
    const struct sw_kind *k;
    int first, count;
    bool embed, head;  /* the run has it */
    uint64_t host_cap; /* bytes */
};

static inline int split_way(const struct sw_split *s)
{
    return (s->stream_prompt ? SW_WAY_PROMPT : 0) + (s->tiers.disk_on_gpu ? SW_WAY_DISK : 0) +
           SW_WAY_UNIT * s->unit;
}

/* Bytes of the disk layers that are kept where they are run. */
uint64_t sw_split_disk_kept(const struct run *r, const struct sw_split *s);
/* GPU bytes besides those of GPU layers; 0 when nothing else uses the GPU and `used` is false. */
uint64_t sw_split_gpu_bytes(const struct run *r, const struct sw_split *s, bool used);
uint64_t sw_split_host_bytes(const struct run *r, const struct sw_split *s);
/* Number of hand-overs in the stage when host layers run on the GPU (`host` 1) or the CPU (0). */
int sw_split_crossings(const struct run *r, const struct sw_split *s, int host);
/* The time of embedding and head. */
sw_ps sw_split_ends_time(const struct run *r, const struct sw_split *s);
/*
 * How many of the first `most` layers fit into the GPU with what s has there; -1: not even none.
 * Where it depends on that number which layers are streamed, and their KV caches differ, these do
 * not count: see sw_split_complete.
 */
int sw_split_gpu_room(const struct run *r, const struct sw_split *s, int most);
/* Fills the host layers, bytes and time of s, whose GPU layers sw_split_gpu_room has let pass;
 * false: it does not fit. */
bool sw_split_complete(const struct run *r, struct sw_split *s);

#endif

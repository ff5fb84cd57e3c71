/* Owns the arena: blocks that grow, handed out from the front. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MIN (16u << 10)
#define BLOCK_MAX (1u << 20)

struct sw_arena_block {
    struct sw_arena_block *older;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

static struct sw_arena_block *arena_grow(struct sw_arena *arena, size_t need)
{
    size_t size = arena->blocks ? arena->blocks->size * 2 : BLOCK_MIN;
    size = size > BLOCK_MAX ? BLOCK_MAX : size;
    size = size < need ? need : size;
    struct sw_arena_block *block = malloc(sizeof *block + size);
    if (!block)
        return NULL;
    *block = (struct sw_arena_block){.older = arena->blocks, .size = size};
    return arena->blocks = block;
}

void *sw_arena_take(struct sw_arena *arena, size_t bytes)
{
    const size_t unit = alignof(max_align_t);
    if (bytes > arena->limit || bytes > (size_t)-1 / 4)
        return NULL;
    const size_t n = (bytes + unit - 1) / unit * unit + (bytes == 0 ? unit : 0);
    struct sw_arena_block *block = arena->blocks;
    if (n > arena->limit - arena->used)
        return NULL;
    if ((!block || n > block->size - block->used) && !(block = arena_grow(arena, n)))
        return NULL;
    void *taken = block->bytes + block->used;
    block->used += n;
    arena->used += n;
    return memset(taken, 0, n);
}

void sw_arena_free(struct sw_arena *arena)
{
    while (arena->blocks) {
        struct sw_arena_block *older = arena->blocks->older;
        free(arena->blocks);
        arena->blocks = older;
    }
    arena->used = 0;
}

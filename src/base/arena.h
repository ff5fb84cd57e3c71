/* Memory that is freed all at once, with a limit on its bytes. */
#ifndef SW_BASE_ARENA_H
#define SW_BASE_ARENA_H

#include <stddef.h>

struct sw_arena_block;

struct sw_arena {
    struct sw_arena_block *blocks; /* newest first */
    size_t used, limit;            /* bytes; `used` is the sum of all sw_arena_take */
};

/* Zeroed memory, aligned for any type; NULL when the limit or the machine's memory is used up. */
void *sw_arena_take(struct sw_arena *arena, size_t bytes);
void sw_arena_free(struct sw_arena *arena);

#endif

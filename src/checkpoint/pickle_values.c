/* Owns the memory of a pickle's values, its limit, and freeing it all at once. */
#include "checkpoint/torch_pickle.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 4

bool sw_pickle_is_text(const struct sw_pickle_value *value, const char *text)
{
    return value->kind == SW_PICKLE_STRING && value->length == strlen(text) &&
           memcmp(value->as.text, text, strlen(text)) == 0;
}

enum sw_status sw_pickle_afford(struct sw_pickle *pickle, size_t bytes)
{
    pickle->taken += bytes;
    if (pickle->taken <= pickle->most)
        return SW_OK;
    return sw_fail(SW_EMODEL,
                   "makes values of more than %zu bytes, %d times the pickle's: that is no state "
                   "dict",
                   pickle->most, SW_PICKLE_MEMORY);
}

enum sw_status sw_pickle_alloc(struct sw_pickle *pickle, size_t size, void **out)
{
    SW_TRY(sw_pickle_afford(pickle, size));
    pickle->arena.limit = SIZE_MAX / 2; /* the bound is above */
    *out = sw_arena_take(&pickle->arena, size);
    return *out ? SW_OK : sw_fail(SW_ENOMEM, "no memory for the values of a pickle");
}

enum sw_status sw_pickle_grow(struct sw_pickle *pickle, struct sw_pickle_value **items,
                              uint32_t *capacity, size_t wanted)
{
    size_t more = *capacity + *capacity / 2;
    if (wanted <= *capacity)
        return SW_OK;
    if (more < FIRST_CAPACITY)
        more = FIRST_CAPACITY;
    if (more < wanted)
        more = wanted;
    SW_TRY(sw_pickle_afford(pickle, (more - *capacity) * sizeof **items));
    struct sw_pickle_value *grown = realloc(*items, more * sizeof *grown);
    if (!grown)
        return sw_fail(SW_ENOMEM, "no memory for the values of a pickle");
    *items = grown;
    *capacity = (uint32_t)more; /* there are no more values than bytes */
    return SW_OK;
}

enum sw_status sw_pickle_append(struct sw_pickle *pickle, struct sw_pickle_seq *seq,
                                const struct sw_pickle_value *items, size_t n)
{
    if (n == 0)
        return SW_OK;
    if (!seq->capacity) { /* its first items: add it to the list of those to free */
        seq->next = pickle->seqs;
        pickle->seqs = seq;
    }
    SW_TRY(sw_pickle_grow(pickle, &seq->items, &seq->capacity, seq->count + n));
    memcpy(seq->items + seq->count, items, n * sizeof *items);
    seq->count += (uint32_t)n;
    return SW_OK;
}

enum sw_status sw_pickle_new_seq(struct sw_pickle *pickle, enum sw_pickle_kind kind,
                                 struct sw_pickle_value *out)
{
    void *seq = NULL;
    SW_TRY(sw_pickle_alloc(pickle, sizeof(struct sw_pickle_seq), &seq));
    *out = (struct sw_pickle_value){.kind = kind, .as.seq = seq};
    return SW_OK;
}

enum sw_status sw_pickle_new_tuple(struct sw_pickle *pickle, const struct sw_pickle_value *items,
                                   size_t n, struct sw_pickle_value *out)
{
    static struct sw_pickle_seq none; /* shared, because tuples never grow */
    struct sw_pickle_seq *seq = &none;
    void *memory = NULL;
    if (n > 0) {
        SW_TRY(sw_pickle_alloc(pickle, sizeof *seq + n * sizeof *items, &memory));
        seq = memory;
        seq->items = (struct sw_pickle_value *)(seq + 1);
        seq->count = (uint32_t)n;
        memcpy(seq->items, items, n * sizeof *items);
    }
    *out = (struct sw_pickle_value){.kind = SW_PICKLE_TUPLE, .as.seq = seq};
    return SW_OK;
}

void sw_pickle_free(struct sw_pickle *pickle)
{
    for (; pickle->seqs; pickle->seqs = pickle->seqs->next)
        free(pickle->seqs->items);
    sw_arena_free(&pickle->arena);
}

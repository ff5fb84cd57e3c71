/* Owns the growing list of ids. */
#include "text/ids.h"

#include <stdlib.h>
#include <string.h>

enum sw_status sw_ids_append(struct sw_ids *ids, const int32_t *items, size_t n)
{
    if (n > ids->capacity - ids->count) {
        size_t capacity = ids->capacity ? ids->capacity : 32;
        while (capacity - ids->count < n && capacity <= SIZE_MAX / 16)
            capacity *= 2;
        int32_t *grown =
            capacity - ids->count < n ? NULL : realloc(ids->items, capacity * sizeof *ids->items);
        if (!grown)
            return sw_fail(SW_ENOMEM, "no memory for %zu more token ids", n);
        ids->items = grown;
        ids->capacity = capacity;
    }
    if (n > 0)
        memcpy(ids->items + ids->count, items, n * sizeof *items);
    ids->count += n;
    return SW_OK;
}

enum sw_status sw_ids_push(struct sw_ids *ids, int32_t id)
{
    return sw_ids_append(ids, &id, 1);
}

void sw_ids_free(struct sw_ids *ids)
{
    free(ids->items);
    *ids = (struct sw_ids){0};
}

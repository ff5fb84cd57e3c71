/* A growing list of token ids. */
#ifndef SW_TEXT_IDS_H
#define SW_TEXT_IDS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct sw_ids {
    int32_t *items; /* (count), NULL until the first push */
    size_t count, capacity;
};

/* Appends one id. SW_ENOMEM when the list cannot grow; it stays as it was. */
enum sw_status sw_ids_push(struct sw_ids *ids, int32_t id);
/* Appends items[0..n). SW_ENOMEM when the list cannot grow; it stays as it was. */
enum sw_status sw_ids_append(struct sw_ids *ids, const int32_t *items, size_t n);
/* Frees the items and makes the list empty. */
void sw_ids_free(struct sw_ids *ids);

#endif

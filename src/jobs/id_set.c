/* Owns the table of ids: open addressing over hashes, two low bits are the marks. */
#include "jobs/id_set.h"

#include "base/checked.h"
#include "base/hash.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define MARKS 3u

struct sw_id_set {
    uint64_t secret[2];
    struct sw_digest *slots; /* (n_slots), a power of two; free: no mark in `low` */
    size_t n_slots, used;
};

enum sw_status sw_id_set_create(struct sw_id_set **out)
{
    struct sw_id_set *ids = calloc(1, sizeof *ids);
    if (!ids)
        return sw_fail(SW_ENOMEM, "no memory for the table of ids");
    if (getrandom(ids->secret, sizeof ids->secret, GRND_NONBLOCK) != sizeof ids->secret)
        ids->secret[0] = (uint64_t)time(NULL) ^ (uint64_t)(uintptr_t)ids;
    ids->n_slots = 1024;
    ids->slots = calloc(ids->n_slots, sizeof *ids->slots);
    if (!ids->slots) {
        free(ids);
        return sw_fail(SW_ENOMEM, "no memory for the table of ids");
    }
    *out = ids;
    return SW_OK;
}

void sw_id_set_free(struct sw_id_set *ids)
{
    if (ids)
        free(ids->slots);
    free(ids);
}

/* The slot that holds `digest`, or the free one where it belongs. */
static struct sw_digest *id_set_find(struct sw_digest *slots, size_t n, struct sw_digest digest)
{
    size_t i = (size_t)digest.high & (n - 1);
    while ((slots[i].low & MARKS) != 0 &&
           (slots[i].high != digest.high || (slots[i].low | MARKS) != (digest.low | MARKS)))
        i = (i + 1) & (n - 1);
    return &slots[i];
}

static enum sw_status id_set_grow(struct sw_id_set *ids)
{
    size_t n;
    struct sw_digest *slots = sw_mul_size(ids->n_slots, 2, &n) ? calloc(n, sizeof *slots) : NULL;
    if (!slots)
        return sw_fail(SW_ENOMEM, "no memory for the ids of more than %zu lines", ids->used);
    for (size_t i = 0; i < ids->n_slots; i++)
        if (ids->slots[i].low & MARKS)
            *id_set_find(slots, n, ids->slots[i]) = ids->slots[i];
    free(ids->slots);
    ids->slots = slots;
    ids->n_slots = n;
    return SW_OK;
}

enum sw_status sw_id_set_mark(struct sw_id_set *ids, const char *key, size_t n, unsigned marks,
                              unsigned *before)
{
    if (4 * (ids->used + 1) > 3 * ids->n_slots)
        SW_TRY(id_set_grow(ids));
    const struct sw_digest digest = sw_hash_of(ids->secret, key, n);
    struct sw_digest *slot = id_set_find(ids->slots, ids->n_slots, digest);
    *before = (unsigned)slot->low & MARKS;
    if (*before == 0 && marks != 0) {
        ids->used++;
        *slot = (struct sw_digest){digest.low & ~(uint64_t)MARKS, digest.high};
    }
    slot->low |= marks & MARKS;
    return SW_OK;
}

int64_t sw_id_set_count(const struct sw_id_set *ids, unsigned marks, unsigned without)
{
    int64_t n = 0;
    for (size_t i = 0; i < ids->n_slots; i++) {
        const unsigned has = (unsigned)ids->slots[i].low & MARKS;
        n += has != 0 && (has & marks) == marks && (has & without) == 0;
    }
    return n;
}

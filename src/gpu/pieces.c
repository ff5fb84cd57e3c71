/*
 * Owns the parts of one block of device memory. A stage makes hundreds of allocations, and the
 * driver rounds each up to 2 MiB, which would lose 1 MiB on average. First fit is enough: the parts
 * are few and taken while loading.
 */
#include "gpu/cuda.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

#define APART 256 /* alignment in bytes of each part */

void *sw_cuda_pieces_take(struct sw_cuda_pieces *pieces, size_t bytes)
{
    const size_t want = (size_t)sw_round_up(bytes ? bytes : 1, APART);
    size_t at = 0;
    int i = 0;
    if (bytes > pieces->bytes)
        return NULL;
    while (i < pieces->n && pieces->used[i].at - at < want) {
        at = pieces->used[i].at + pieces->used[i].bytes;
        i++;
    }
    if (pieces->bytes - at < want)
        return NULL;
    if (pieces->n == pieces->capacity) {
        const int capacity = pieces->capacity ? 2 * pieces->capacity : 64;
        struct sw_cuda_piece *grown =
            realloc(pieces->used, (size_t)capacity * sizeof *pieces->used);
        if (!grown)
            return NULL;
        pieces->used = grown;
        pieces->capacity = capacity;
    }
    memmove(&pieces->used[i + 1], &pieces->used[i], (size_t)(pieces->n - i) * sizeof *pieces->used);
    pieces->used[i] = (struct sw_cuda_piece){at, want};
    pieces->n++;
    return pieces->start + at;
}

bool sw_cuda_pieces_return(struct sw_cuda_pieces *pieces, const void *p)
{
    const uintptr_t at = (uintptr_t)p - (uintptr_t)pieces->start;
    for (int i = 0; i < pieces->n; i++)
        if (pieces->used[i].at == at) {
            pieces->n--;
            memmove(&pieces->used[i], &pieces->used[i + 1],
                    (size_t)(pieces->n - i) * sizeof *pieces->used);
            return true;
        }
    return false;
}

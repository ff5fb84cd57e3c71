/* Owns the memory of a pickle's values, which goes all at once. */
#include "format/torch_pickle.h"

#include <stdlib.h>

struct sw_pickle_block {
    struct sw_pickle_block *next;
    max_align_t data[];
};

void *sw_pickle_alloc(struct sw_pickle *pickle, size_t size)
{
    struct sw_pickle_block *block = calloc(1, sizeof *block + size);
    if (!block)
        return NULL;
    block->next = pickle->blocks;
    pickle->blocks = block;
    return block->data;
}

enum sw_status sw_pickle_append(struct sw_pickle_seq *seq, const struct sw_pickle_value *value)
{
    if (seq->count == seq->capacity) {
        const size_t capacity = seq->capacity ? 2 * seq->capacity : 4;
        struct sw_pickle_value *items = realloc(seq->items, capacity * sizeof *items);
        if (!items)
            return sw_fail(SW_ENOMEM, "no memory for the values of a pickle");
        seq->items = items;
        seq->capacity = capacity;
    }
    seq->items[seq->count++] = *value;
    return SW_OK;
}

enum sw_status sw_pickle_new_seq(struct sw_pickle *pickle, enum sw_pickle_kind kind,
                                 struct sw_pickle_value *out)
{
    struct sw_pickle_seq *seq = calloc(1, sizeof *seq);
    if (!seq)
        return sw_fail(SW_ENOMEM, "no memory for the values of a pickle");
    seq->next = pickle->seqs;
    pickle->seqs = seq;
    *out = (struct sw_pickle_value){.kind = kind, .as.seq = seq};
    return SW_OK;
}

void sw_pickle_free(struct sw_pickle *pickle)
{
    while (pickle->seqs) {
        struct sw_pickle_seq *next = pickle->seqs->next;
        free(pickle->seqs->items);
        free(pickle->seqs);
        pickle->seqs = next;
    }
    while (pickle->blocks) {
        struct sw_pickle_block *next = pickle->blocks->next;
        free(pickle->blocks);
        pickle->blocks = next;
    }
}

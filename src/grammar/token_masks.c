/* Owns which tokens may come next, and what is kept of it. */
#include "grammar/token_masks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE 1024 /* lists of kept groups */

/* What a group of ops allows by itself. */
struct kept {
    struct kept *next;
    size_t bytes;
    int n_ops, n_ids, n_leaves;
    /* its ops (n_ops), the tokens that stay in the rule (n_ids; -1: they are bits behind), nodes at
     * which texts leave it (n_leaves, ascending) */
    int32_t values[];
};

struct list {
    int32_t *items;
    int n, capacity;
};

struct sw_token_masks {
    const struct sw_token_trie *trie;
    struct sw_matcher *matcher; /* for groups alone */
    size_t *all_kept;
    size_t own_kept;
    struct kept *table[TABLE_SIZE];
    struct list ids, leaves, group, groups;
    int states[SW_TOKEN_BYTES_MAX + 1]; /* by depth */
    pthread_mutex_t lock;
};

static bool list_push(struct list *l, int32_t value)
{
    if (l->n == l->capacity) {
        const int capacity = l->capacity ? 2 * l->capacity : 256;
        int32_t *items = realloc(l->items, (size_t)capacity * sizeof *items);
        if (!items)
            return false;
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->n++] = value;
    return true;
}

enum sw_status sw_token_masks_open(const struct sw_grammar *grammar,
                                   const struct sw_token_trie *trie, size_t *kept,
                                   struct sw_token_masks **out)
{
    struct sw_token_masks *m = calloc(1, sizeof *m);
    *out = m;
    if (!m)
        return sw_fail(SW_ENOMEM, "no memory for a grammar's tokens");
    m->trie = trie;
    m->all_kept = kept;
    pthread_mutex_init(&m->lock, NULL);
    const enum sw_status status = sw_matcher_open(grammar, &m->matcher);
    if (status != SW_OK) {
        sw_token_masks_close(m);
        *out = NULL;
    }
    return status;
}

static void masks_forget(struct sw_token_masks *m)
{
    for (int i = 0; i < TABLE_SIZE; i++)
        for (struct kept *next; m->table[i]; m->table[i] = next) {
            next = m->table[i]->next;
            free(m->table[i]);
        }
    __atomic_fetch_sub(m->all_kept, m->own_kept, __ATOMIC_RELAXED);
    m->own_kept = 0;
}

void sw_token_masks_close(struct sw_token_masks *m)
{
    if (!m)
        return;
    masks_forget(m);
    sw_matcher_close(m->matcher);
    free(m->ids.items);
    free(m->leaves.items);
    free(m->group.items);
    free(m->groups.items);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static enum sw_status masks_limit(void)
{
    return sw_fail(SW_EINPUT, "the text is nested too deeply for its grammar, or too ambiguous");
}

/* Adds the tokens below `node`, whose own state is at its depth, to `ids`; and to `leaves`, if it
 * is not NULL, the nodes at which a text leaves the known rules. */
static enum sw_status masks_walk(struct sw_token_masks *m, struct sw_matcher *matcher,
                                 uint32_t node, struct list *leaves)
{
    const struct sw_token_node *nodes = m->trie->nodes;
    for (uint32_t i = node + 1; i < nodes[node].end;) {
        const struct sw_token_node *at = &nodes[i];
        const int state = sw_matcher_step(matcher, m->states[at->depth - 1], at->byte);
        if (state == SW_STATE_FAILED)
            return masks_limit();
        if (state == SW_STATE_DEAD) {
            i = at->end;
            continue;
        }
        m->states[at->depth] = state;
        if (leaves && sw_matcher_leaves(matcher, state) && !list_push(leaves, (int32_t)i))
            return sw_fail(SW_ENOMEM, "no memory for a grammar's tokens");
        if (at->n_tokens > 0 && (!leaves || sw_matcher_goes_on(matcher, state)))
            for (uint32_t t = 0; t < at->n_tokens; t++)
                if (!list_push(&m->ids, m->trie->tokens[at->token + t]))
                    return sw_fail(SW_ENOMEM, "no memory for a grammar's tokens");
        i++;
    }
    return SW_OK;
}

static uint32_t group_hash(const struct list *group)
{
    uint32_t h = 7;
    for (int i = 0; i < group->n; i++)
        h = (h ^ (uint32_t)group->items[i]) * 0x9E3779B1u;
    return (h ^ h >> 16) % TABLE_SIZE;
}

static size_t words(const struct sw_token_masks *m)
{
    return (size_t)m->trie->vocab / 64 + 1;
}

/* Keeps what was found out about the group, in m->ids and m->leaves; NULL: no memory. Not in the
 * table when there is no room: then the caller frees it. */
static struct kept *masks_keep(struct sw_token_masks *m, uint32_t slot, bool *owned)
{
    const size_t bits = words(m) * sizeof(uint64_t);
    const bool dense = (size_t)m->ids.n * sizeof(int32_t) > bits;
    const size_t lists =
        ((size_t)m->group.n + (size_t)m->leaves.n + (dense ? 0 : (size_t)m->ids.n)) *
        sizeof(int32_t);
    const size_t bytes = sizeof(struct kept) + lists + (dense ? bits + sizeof(int32_t) : 0);
    if (__atomic_load_n(m->all_kept, __ATOMIC_RELAXED) + bytes > SW_MASKS_BYTES_MAX)
        masks_forget(m);
    struct kept *k = calloc(1, bytes);
    if (!k)
        return NULL;
    k->bytes = bytes;
    k->n_ops = m->group.n;
    k->n_leaves = m->leaves.n;
    k->n_ids = dense ? -1 : m->ids.n;
    int32_t *at = k->values;
    memcpy(at, m->group.items, (size_t)m->group.n * sizeof *at);
    at += m->group.n;
    if (m->leaves.n > 0)
        memcpy(at, m->leaves.items, (size_t)m->leaves.n * sizeof *at);
    at += m->leaves.n;
    if (!dense && m->ids.n > 0)
        memcpy(at, m->ids.items, (size_t)m->ids.n * sizeof *at);
    for (int i = 0; dense && i < m->ids.n; i++)
        ((uint32_t *)(void *)at)[m->ids.items[i] / 32] |= 1u << (m->ids.items[i] % 32);
    *owned = __atomic_load_n(m->all_kept, __ATOMIC_RELAXED) + bytes <= SW_MASKS_BYTES_MAX;
    if (!*owned)
        return k;
    k->next = m->table[slot];
    m->table[slot] = k;
    m->own_kept += bytes;
    __atomic_fetch_add(m->all_kept, bytes, __ATOMIC_RELAXED);
    return k;
}

/* What the ops of m->group allow. *owned false: the caller frees it. */
static enum sw_status masks_of_group(struct sw_token_masks *m, struct kept **out, bool *owned)
{
    const uint32_t slot = group_hash(&m->group);
    *owned = true;
    for (struct kept *k = m->table[slot]; k; k = k->next)
        if (k->n_ops == m->group.n &&
            memcmp(k->values, m->group.items, (size_t)k->n_ops * sizeof *k->values) == 0) {
            *out = k;
            return SW_OK;
        }
    m->ids.n = m->leaves.n = 0;
    sw_matcher_clear(m->matcher);
    m->states[0] = sw_matcher_at(m->matcher, m->group.items, m->group.n);
    if (m->states[0] == SW_STATE_FAILED)
        return masks_limit();
    SW_TRY(masks_walk(m, m->matcher, 0, &m->leaves));
    *out = masks_keep(m, slot, owned);
    return *out ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a grammar's tokens");
}

static void allow(uint64_t *allowed, int32_t id)
{
    allowed[id / 64] |= (uint64_t)1 << (id % 64);
}

/* Allows what the group does, and notes in m->groups where its texts leave it. */
static enum sw_status masks_add_group(struct sw_token_masks *m, uint64_t *allowed)
{
    struct kept *k;
    bool owned, ok = true;
    SW_TRY(masks_of_group(m, &k, &owned));
    const int32_t *leaves = k->values + k->n_ops, *ids = leaves + k->n_leaves;
    for (int i = 0; i < k->n_leaves && ok; i++)
        ok = list_push(&m->groups, leaves[i]);
    for (int i = 0; i < k->n_ids; i++)
        allow(allowed, ids[i]);
    const uint32_t *bits = (const uint32_t *)(const void *)ids;
    for (size_t i = 0; k->n_ids < 0 && i < words(m); i++)
        allowed[i] |= bits[2 * i] | (uint64_t)bits[2 * i + 1] << 32;
    if (!owned)
        free(k);
    return ok ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a grammar's tokens");
}

static int order(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Tries, on the state itself, the tokens at and below the nodes where texts leave a group. */
static enum sw_status masks_try_leaves(struct sw_token_masks *m, struct sw_matcher *matcher,
                                       int state, uint64_t *allowed)
{
    const struct sw_token_node *nodes = m->trie->nodes;
    uint32_t done = 0; /* nodes below it were tried */
    if (m->groups.n > 1)
        qsort(m->groups.items, (size_t)m->groups.n, sizeof *m->groups.items, order);
    for (int i = 0; i < m->groups.n; i++) {
        const uint32_t node = (uint32_t)m->groups.items[i];
        unsigned char path[SW_TOKEN_BYTES_MAX];
        if (node < done)
            continue;
        done = nodes[node].end;
        for (uint32_t at = node; at > 0; at = nodes[at].parent)
            path[nodes[at].depth - 1] = nodes[at].byte;
        m->states[0] = state;
        int now = state;
        for (int d = 0; d < nodes[node].depth && now > SW_STATE_DEAD; d++)
            m->states[d + 1] = now = sw_matcher_step(matcher, now, path[d]);
        if (now == SW_STATE_FAILED)
            return masks_limit();
        if (now == SW_STATE_DEAD)
            continue;
        m->ids.n = 0;
        for (uint32_t t = 0; t < nodes[node].n_tokens; t++)
            allow(allowed, m->trie->tokens[nodes[node].token + t]);
        SW_TRY(masks_walk(m, matcher, node, NULL));
        for (int j = 0; j < m->ids.n; j++)
            allow(allowed, m->ids.items[j]);
    }
    return SW_OK;
}

/* The stacks of a state by what is below them: a group's ops have the same. */
static enum sw_status masks_make(struct sw_token_masks *m, struct sw_matcher *matcher, int state,
                                 uint64_t *allowed)
{
    const struct sw_stack *stacks;
    int *numbers, n = sw_matcher_stacks(matcher, state, &stacks, &numbers);
    struct {
        int op, below;
        bool taken;
    } tops[SW_MATCHER_SET_MAX];
    for (int i = 0; i < n; i++) {
        tops[i].op = stacks[numbers[i]].op;
        tops[i].below = stacks[numbers[i]].below;
        tops[i].taken = false;
    }
    m->groups.n = 0;
    for (int i = 0; i < n; i++) {
        if (tops[i].taken)
            continue;
        m->group.n = 0;
        for (int j = i; j < n; j++) {
            if (tops[j].taken || tops[j].below != tops[i].below)
                continue;
            tops[j].taken = true;
            if (!list_push(&m->group, tops[j].op))
                return sw_fail(SW_ENOMEM, "no memory for a grammar's tokens");
        }
        qsort(m->group.items, (size_t)m->group.n, sizeof *m->group.items, order);
        SW_TRY(masks_add_group(m, allowed));
    }
    return masks_try_leaves(m, matcher, state, allowed);
}

enum sw_status sw_token_masks_make(struct sw_token_masks *m, struct sw_matcher *matcher, int state,
                                   uint64_t *allowed)
{
    memset(allowed, 0, words(m) * sizeof *allowed);
    pthread_mutex_lock(&m->lock);
    const enum sw_status status = masks_make(m, matcher, state, allowed);
    pthread_mutex_unlock(&m->lock);
    return status;
}

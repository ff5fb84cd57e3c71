/* Owns states of texts: the tables of stacks, of states and of steps. */
#include "grammar/matcher.h"

#include <stdlib.h>
#include <string.h>

#define WORK_MAX 65536 /* ops looked at in one step */

/* What is below the last rule. */
#define BELOW_ROOT (-1)
#define BELOW_UNKNOWN (-2)

struct state {
    int first, n; /* its stacks, in `items` */
    bool accepts, leaves;
    int32_t *steps; /* (256) -2: not known yet; NULL: none is */
};

/* Numbers by hash; 0 is free, so they are kept plus one. */
struct table {
    int32_t *slots; /* (size) */
    uint32_t size;  /* a power of two */
    int n;
};

struct sw_matcher {
    const struct sw_grammar *grammar;
    struct sw_stack *stacks;  /* (n_stacks); what is below has a lower number */
    int32_t *depths, *stamps; /* (n_stacks) */
    int n_stacks, cap_stacks, stamp;
    struct table by_stack, by_state;
    struct state states[SW_MATCHER_STATES_MAX];
    int n_states;
    int *items; /* (n_items) stacks of states */
    int n_items, cap_items;
    /* the state that is being made */
    int set[SW_MATCHER_SET_MAX], n_set;
    bool accepts, leaves;
    int todo[WORK_MAX][2]; /* ops and what is below them */
};

static uint32_t hash_of(uint32_t h, uint32_t value)
{
    h = (h ^ value) * 0x9E3779B1u;
    return h ^ h >> 15;
}

static bool table_grow(struct table *t, struct sw_matcher *m,
                       uint32_t (*hash)(const struct sw_matcher *, int))
{
    const uint32_t size = t->size ? 2 * t->size : 256;
    int32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < t->size; i++) {
        if (t->slots[i] == 0)
            continue;
        uint32_t at = hash(m, t->slots[i] - 1) & (size - 1);
        while (slots[at])
            at = (at + 1) & (size - 1);
        slots[at] = t->slots[i];
    }
    free(t->slots);
    t->slots = slots;
    t->size = size;
    return true;
}

static uint32_t stack_hash(const struct sw_matcher *m, int i)
{
    return hash_of(hash_of(1, (uint32_t)m->stacks[i].op), (uint32_t)m->stacks[i].below);
}

static uint32_t state_hash(const struct sw_matcher *m, int i)
{
    const struct state *s = &m->states[i];
    uint32_t h = hash_of(2, (uint32_t)(s->accepts + 2 * s->leaves));
    for (int j = 0; j < s->n; j++)
        h = hash_of(h, (uint32_t)m->items[s->first + j]);
    return h;
}

static bool stacks_reserve(struct sw_matcher *m)
{
    if (m->n_stacks < m->cap_stacks)
        return true;
    const int capacity = m->cap_stacks ? 2 * m->cap_stacks : 256;
    if (capacity > SW_MATCHER_STACKS_MAX)
        return false;
    struct sw_stack *stacks = realloc(m->stacks, (size_t)capacity * sizeof *stacks);
    if (stacks)
        m->stacks = stacks;
    int32_t *depths = realloc(m->depths, (size_t)capacity * sizeof *depths);
    if (depths)
        m->depths = depths;
    int32_t *stamps = realloc(m->stamps, (size_t)capacity * sizeof *stamps);
    if (stamps)
        m->stamps = stamps;
    if (!stacks || !depths || !stamps)
        return false;
    m->cap_stacks = capacity;
    return true;
}

/* The number of a stack; -1: one of the limits. */
static int stack_number(struct sw_matcher *m, int op, int below)
{
    struct table *t = &m->by_stack;
    const struct sw_stack wanted = {op, below};
    const uint32_t hash = hash_of(hash_of(1, (uint32_t)op), (uint32_t)below);
    uint32_t at = t->size ? hash & (t->size - 1) : 0;
    for (; t->size && t->slots[at]; at = (at + 1) & (t->size - 1)) {
        const struct sw_stack *s = &m->stacks[t->slots[at] - 1];
        if (s->op == op && s->below == below)
            return t->slots[at] - 1;
    }
    const int depth = below < 0 ? 1 : m->depths[below] + 1;
    if (depth > SW_MATCHER_DEPTH_MAX || !stacks_reserve(m))
        return -1;
    const int number = m->n_stacks++;
    m->stacks[number] = wanted;
    m->depths[number] = depth;
    m->stamps[number] = 0;
    if (2 * (uint32_t)(t->n + 1) > t->size) {
        if (!table_grow(t, m, stack_hash))
            return -1;
        for (at = hash & (t->size - 1); t->slots[at];)
            at = (at + 1) & (t->size - 1);
    }
    t->slots[at] = number + 1;
    t->n++;
    return number;
}

/* Whether the stack is new in this step; its number, or -1. */
static bool stack_mark(struct sw_matcher *m, int op, int below, int *number)
{
    *number = stack_number(m, op, below);
    if (*number < 0 || m->stamps[*number] == m->stamp)
        return false;
    m->stamps[*number] = m->stamp;
    return true;
}

/* Adds to the set what may take a byte from an op on. False: one of the limits. */
static bool matcher_add(struct sw_matcher *m, int first, int first_below)
{
    const struct sw_op *ops = m->grammar->ops;
    int n = 1, work = 0, number;
    m->todo[0][0] = first;
    m->todo[0][1] = first_below;
    while (n > 0) {
        const int at = m->todo[--n][0];
        int below = m->todo[n][1];
        const struct sw_op *op = &ops[at];
        if (++work > WORK_MAX / 2)
            return false;
        switch (op->kind) {
        case SW_OP_BYTES:
            if (stack_mark(m, at, below, &number)) {
                if (m->n_set == SW_MATCHER_SET_MAX)
                    return false;
                m->set[m->n_set++] = number;
            } else if (number < 0) {
                return false;
            }
            break;
        case SW_OP_SPLIT:
            if (stack_mark(m, at, below, &number)) {
                m->todo[n][0] = op->b;
                m->todo[n++][1] = below;
                m->todo[n][0] = op->a;
                m->todo[n++][1] = below;
            } else if (number < 0) {
                return false;
            }
            break;
        case SW_OP_CALL:
            if (op->b >= 0 && (below = stack_number(m, op->b, below)) < 0)
                return false;
            m->todo[n][0] = op->a;
            m->todo[n++][1] = below;
            break;
        default:
            m->accepts = m->accepts || below == BELOW_ROOT;
            m->leaves = m->leaves || below == BELOW_UNKNOWN;
            if (below >= 0) {
                m->todo[n][0] = m->stacks[below].op;
                m->todo[n++][1] = m->stacks[below].below;
            }
            break;
        }
    }
    return true;
}

static void matcher_begin_set(struct sw_matcher *m)
{
    m->n_set = 0;
    m->accepts = m->leaves = false;
    m->stamp++;
}

static int order(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Adds a state of the set, without looking for it. */
static int state_append(struct sw_matcher *m)
{
    const int n = m->n_set, need = m->n_items + n;
    if (m->n_states == SW_MATCHER_STATES_MAX)
        return SW_STATE_FAILED;
    if (need > m->cap_items) {
        const int capacity = need > 2 * m->cap_items ? need : 2 * m->cap_items;
        int *items = realloc(m->items, (size_t)capacity * sizeof *items);
        if (!items)
            return SW_STATE_FAILED;
        m->items = items;
        m->cap_items = capacity;
    }
    if (n > 0)
        memcpy(m->items + m->n_items, m->set, (size_t)n * sizeof *m->items);
    m->states[m->n_states] =
        (struct state){.first = m->n_items, .n = n, .accepts = m->accepts, .leaves = m->leaves};
    m->n_items += n;
    return m->n_states++;
}

/* The number of the state of the set. */
static int state_number(struct sw_matcher *m)
{
    struct table *t = &m->by_state;
    qsort(m->set, (size_t)m->n_set, sizeof *m->set, order);
    if (m->n_set == 0 && !m->accepts && !m->leaves)
        return SW_STATE_DEAD;
    const int candidate = state_append(m);
    if (candidate < 0)
        return candidate;
    const struct state *s = &m->states[candidate];
    if (2 * (uint32_t)(t->n + 1) > t->size && !table_grow(t, m, state_hash)) {
        m->n_states--;
        return SW_STATE_FAILED;
    }
    uint32_t at = state_hash(m, candidate) & (t->size - 1);
    for (; t->slots[at]; at = (at + 1) & (t->size - 1)) {
        const struct state *other = &m->states[t->slots[at] - 1];
        if (other->n != s->n || other->accepts != s->accepts || other->leaves != s->leaves ||
            (s->n > 0 && memcmp(m->items + other->first, m->items + s->first,
                                (size_t)s->n * sizeof *m->items) != 0))
            continue;
        m->n_states--;
        m->n_items = s->first;
        return t->slots[at] - 1;
    }
    t->slots[at] = candidate + 1;
    t->n++;
    return candidate;
}

static void table_clear(struct table *t)
{
    if (t->n > 0)
        memset(t->slots, 0, t->size * sizeof *t->slots);
    t->n = 0;
}

void sw_matcher_clear(struct sw_matcher *m)
{
    for (int i = 0; i < m->n_states; i++)
        free(m->states[i].steps);
    m->n_stacks = m->n_items = 0;
    m->states[SW_STATE_DEAD] = (struct state){0};
    m->n_states = 1;
    m->stamp = 0;
    table_clear(&m->by_stack);
    table_clear(&m->by_state);
}

enum sw_status sw_matcher_open(const struct sw_grammar *grammar, struct sw_matcher **out)
{
    struct sw_matcher *m = calloc(1, sizeof *m);
    *out = m;
    if (!m)
        return sw_fail(SW_ENOMEM, "no memory for a grammar's states");
    m->grammar = grammar;
    sw_matcher_clear(m);
    return SW_OK;
}

void sw_matcher_close(struct sw_matcher *m)
{
    if (!m)
        return;
    sw_matcher_clear(m);
    free(m->stacks);
    free(m->depths);
    free(m->stamps);
    free(m->items);
    free(m->by_stack.slots);
    free(m->by_state.slots);
    free(m);
}

int sw_matcher_start(struct sw_matcher *m)
{
    matcher_begin_set(m);
    return matcher_add(m, m->grammar->start, BELOW_ROOT) ? state_number(m) : SW_STATE_FAILED;
}

int sw_matcher_at(struct sw_matcher *m, const int *ops, int n)
{
    matcher_begin_set(m);
    for (int i = 0; i < n; i++)
        if (!matcher_add(m, ops[i], BELOW_UNKNOWN))
            return SW_STATE_FAILED;
    return state_number(m);
}

static int matcher_make_step(struct sw_matcher *m, int from, unsigned char byte)
{
    matcher_begin_set(m);
    for (int i = 0; i < m->states[from].n; i++) {
        const struct sw_stack s = m->stacks[m->items[m->states[from].first + i]];
        const struct sw_op *op = &m->grammar->ops[s.op];
        if (byte >= op->low && byte <= op->high && !matcher_add(m, op->a, s.below))
            return SW_STATE_FAILED;
    }
    return state_number(m);
}

int sw_matcher_step(struct sw_matcher *m, int state, unsigned char byte)
{
    struct state *s = &m->states[state];
    if (!s->steps) {
        s->steps = malloc(256 * sizeof *s->steps);
        if (!s->steps)
            return SW_STATE_FAILED;
        for (int i = 0; i < 256; i++)
            s->steps[i] = -2;
    }
    if (s->steps[byte] == -2) {
        const int to = matcher_make_step(m, state, byte);
        if (to == SW_STATE_FAILED)
            return to;
        s->steps[byte] = to;
    }
    return s->steps[byte];
}

bool sw_matcher_accepts(const struct sw_matcher *m, int state)
{
    return m->states[state].accepts;
}

bool sw_matcher_leaves(const struct sw_matcher *m, int state)
{
    return m->states[state].leaves;
}

bool sw_matcher_goes_on(const struct sw_matcher *m, int state)
{
    return m->states[state].n > 0;
}

int sw_matcher_stacks(const struct sw_matcher *m, int state, const struct sw_stack **out,
                      int **numbers)
{
    *out = m->stacks;
    *numbers = m->items ? m->items + m->states[state].first : NULL;
    return m->states[state].n;
}

bool sw_matcher_is_full(const struct sw_matcher *m)
{
    return m->n_states > SW_MATCHER_STATES_MAX / 2 || m->n_stacks > SW_MATCHER_STACKS_MAX / 2;
}

/* What is below a stack has a lower number, so one pass down marks and one up renumbers. */
int sw_matcher_compact(struct sw_matcher *m, int state)
{
    const struct state kept = m->states[state];
    const int n_old = m->n_stacks;
    int32_t *to = malloc(((size_t)n_old + 1) * sizeof *to);
    struct sw_stack *old = malloc(((size_t)n_old + 1) * sizeof *old);
    int numbers[SW_MATCHER_SET_MAX];
    if (!to || !old) {
        free(to);
        free(old);
        return SW_STATE_FAILED;
    }
    if (n_old > 0)
        memcpy(old, m->stacks, (size_t)n_old * sizeof *old);
    memset(to, 0, ((size_t)n_old + 1) * sizeof *to);
    for (int i = 0; i < kept.n; i++)
        to[numbers[i] = m->items[kept.first + i]] = 1;
    for (int i = n_old - 1; i >= 0; i--)
        if (to[i] && old[i].below >= 0)
            to[old[i].below] = 1;
    sw_matcher_clear(m);
    bool ok = true;
    for (int i = 0; i < n_old && ok; i++)
        if (to[i])
            ok = (to[i] = stack_number(m, old[i].op,
                                       old[i].below < 0 ? old[i].below : to[old[i].below])) >= 0;
    for (int i = 0; i < kept.n; i++)
        m->set[i] = to[numbers[i]];
    m->n_set = kept.n;
    m->accepts = kept.accepts;
    m->leaves = kept.leaves;
    free(to);
    free(old);
    return ok ? state_number(m) : SW_STATE_FAILED;
}

/*
 * Owns the assignment of slots and prefix hits. A slot keeps its ids and KV cache after its request
 * is done, so a request with the same first ids continues from there, in place or from a copy.
 *
 * Where layers keep a state of a slot's rows instead of the rows (gated delta nets), the state is
 * that of all rows submitted so far, and of no fewer. So a slot shares its rows when a request
 * begins with all of them, or while it has not come to where the two part: then its prompt is cut
 * there, and its state copied before it goes on. Where a prompt begins as another one did, it is
 * cut there, too, and a snapshot of its state kept, which others can take as long as the slot has
 * these ids.
 */
#include "engine/scheduler_impl.h"

#include "base/checked.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static int common_prefix(const int32_t *a, const int32_t *b, int n)
{
    int i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* The slots that a request could use. */
struct offer {
    int free;   /* the free slot to use; -1: none is free */
    int kept;   /* positions of `free` that the request can keep; */
    bool back;  /* by its snapshot */
    int alike;  /* the longest prefix in common with a slot, whether it can be copied or not */
    int now;    /* the slot with the longest prefix that can be copied at once; -1: none */
    int n_now;  /* length of that prefix */
    int soon;   /* the slot with the longest prefix, submitted or still to be; -1: none */
    int n_soon; /* length of that prefix */
};

/* The value of what a free slot loses by reuse: positions that a later request could share. It
 * falls with age. */
static double slots_value(const struct sw_scheduler *s, const struct slot *slot, int kept)
{
    const double age = (double)(s->stats.done - slot->used) / s->options.slots;
    return (slot->n_sent - kept) / (1 + age);
}

/* Of `n` positions that a request has in common with a slot: how many can be copied at once. *back:
 * by its snapshot. */
static int slots_now(const struct sw_scheduler *s, const struct slot *slot, int n, bool *back)
{
    *back = s->states && n != slot->n_sent;
    if (!s->states)
        return sw_min_int(n, slot->n_sent);
    return n == slot->n_sent ? n : slot->snapshot <= n ? slot->snapshot : 0;
}

/* And how many when they have been submitted; a slot that waits itself begins behind those. */
static int slots_soon(const struct sw_scheduler *s, const struct slot *slot, int n)
{
    const int begins = slot->source >= 0 ? slot->shared : 0;
    if (!s->states || n == slot->n_sent)
        return n;
    return n > slot->n_sent && n > begins ? n : 0;
}

/* `index`: the slot that the request has already and that looks for another source; -1: none. */
static struct offer slots_find_offer(const struct sw_scheduler *s, const struct entry *e, int index)
{
    /* Rows that something is asked about must be computed, not shared. */
    const int most = sw_min_int(sw_min_int(e->request.score_from, e->request.n_ids) - 1,
                                e->n_prompt - e->request.n_hidden);
    struct offer o = {.free = -1, .now = -1, .soon = -1};
    double least = 0;
    for (int i = 0; i < s->options.slots; i++) {
        const struct slot *slot = &s->slots[i];
        const bool goes_on = slot->entry && (index < 0 || slot->source < 0);
        const int known = goes_on ? slot->n_due : slot->n_sent;
        if (i == index)
            continue;
        const int n =
            s->options.unshared ? 0 : common_prefix(e->ids, slot->ids, sw_min_int(most, known));
        bool back;
        const int n_now = slots_now(s, slot, n, &back), n_soon = slots_soon(s, slot, n);
        o.alike = n > o.alike ? n : o.alike;
        if (n_soon > o.n_soon) {
            o.soon = i;
            o.n_soon = n_soon;
        }
        if (n_now > o.n_now) {
            o.now = i;
            o.n_now = n_now;
        }
        if (slot->entry)
            continue;
        const double loss = slots_value(s, slot, n_now);
        if (o.free < 0 || loss < least) {
            o.free = i;
            o.kept = n_now;
            o.back = back;
            least = loss;
        }
    }
    return o;
}

void sw_scheduler_begin_prompt(struct sw_scheduler *s, int index)
{
    const struct slot *slot = &s->slots[index];
    s->prompt_rows += slot->n_due - slot->n_sent;
    ring_push(&s->prompts, index);
}

/* Lets a slot submit its source, or its prompt, now that its shared positions are complete. */
static void slots_start(struct sw_scheduler *s, int index)
{
    struct slot *slot = &s->slots[index];
    slot->source = -1;
    s->stats.prefix_hits += slot->n_sent;
    if (s->encoder > 0)
        ring_push(&s->sources, index);
    else
        sw_scheduler_begin_prompt(s, index);
}

/* Keeps the state of a slot's rows so far. */
static enum sw_status slots_keep(struct sw_scheduler *s, int index)
{
    struct slot *slot = &s->slots[index];
    if (!s->snapshots || slot->snapshot == slot->n_sent)
        return SW_OK;
    slot->snapshot = slot->n_sent;
    return sw_driver_keep(s->options.driver, index, slot->n_sent);
}

static enum sw_status slots_copy(struct sw_scheduler *s, int index, int from, int n)
{
    const bool back = s->states && s->slots[from].n_sent != n;
    SW_TRY(back ? sw_driver_restore(s->options.driver, from, index, n)
                : sw_driver_copy(s->options.driver, from, index, n));
    s->slots[index].n_sent = n;
    SW_TRY(slots_keep(s, index));
    slots_start(s, index);
    return SW_OK;
}

/* Lets a slot that keeps n_sent rows wait for the offered prefix, copy it, or start without. */
static enum sw_status slots_place(struct sw_scheduler *s, int index, const struct offer *o)
{
    struct slot *slot = &s->slots[index];
    const int kept = slot->n_sent;
    const int n_now = o->n_now >= kept + SW_SHARE_MIN ? o->n_now : kept;
    if (o->n_soon >= n_now + SW_SHARE_MIN) {
        slot->source = o->soon;
        slot->shared = o->n_soon;
        s->n_blocked++;
        return SW_OK;
    }
    if (n_now > kept)
        return slots_copy(s, index, o->now, n_now);
    slots_start(s, index);
    return SW_OK;
}

static enum sw_status slots_assign(struct sw_scheduler *s, struct entry *e, const struct offer *o)
{
    struct slot *slot = &s->slots[o->free];
    slot->entry = e;
    memcpy(slot->ids, e->ids, (size_t)e->request.n_ids * sizeof *slot->ids);
    slot->n_due = e->n_prompt;
    slot->n_sent = o->kept;
    if (slot->snapshot > o->kept)
        slot->snapshot = 0;
    const bool is_cut = o->alike >= (o->kept > o->n_soon ? o->kept : o->n_soon) + SW_SHARE_MIN;
    slot->cut = s->snapshots && is_cut ? o->alike : 0;
    s->stats.running++;
    SW_TRY(sw_driver_slot(s->options.driver, o->free, &e->request.sampling));
    if (e->request.steering.grammar)
        SW_TRY(sw_driver_tokens(s->options.driver, s->options.tokens->text,
                                s->options.tokens->length));
    if (e->request.steering.grammar || e->request.steering.n_bias > 0)
        SW_TRY(sw_driver_steer(s->options.driver, o->free, &e->request.steering));
    if (o->back && o->kept > 0)
        SW_TRY(sw_driver_restore(s->options.driver, o->free, o->free, o->kept));
    return slots_place(s, o->free, o);
}

static struct entry *slots_next_entry(struct sw_scheduler *s)
{
    struct entry *e = s->first;
    s->first = e->next;
    s->last = s->first ? s->last : NULL;
    s->stats.waiting--;
    return e;
}

static enum sw_status slots_end_entry(struct sw_scheduler *s, struct entry *e,
                                      enum sw_finish finish)
{
    enum sw_status status = SW_OK;
    s->stats.done++;
    if (e->cancelled) {
        finish = SW_FINISH_CANCELLED;
        s->stats.cancelled++;
        s->n_cancelled--;
    }
    if (e->request.done)
        status = e->request.done(e->request.owner, finish);
    free(e);
    return status;
}

enum sw_status sw_scheduler_admit(struct sw_scheduler *s)
{
    while (s->first && s->stats.running < s->options.slots) {
        struct entry *e = slots_next_entry(s);
        if (e->request.max_new == 0 && e->request.score_from == e->request.n_ids) {
            SW_TRY(slots_end_entry(s, e, SW_FINISH_LENGTH));
            continue;
        }
        const struct offer offer = slots_find_offer(s, e, -1);
        SW_TRY(slots_assign(s, e, &offer));
    }
    return SW_OK;
}

enum sw_status sw_scheduler_unblock(struct sw_scheduler *s)
{
    for (int i = 0; i < s->options.slots && s->snapshots; i++)
        if (s->slots[i].cut > 0 && s->slots[i].n_sent == s->slots[i].cut)
            SW_TRY(slots_keep(s, i));
    for (int i = 0; i < s->options.slots && s->n_blocked > 0; i++) {
        struct slot *slot = &s->slots[i];
        if (!slot->entry || slot->source < 0 || s->slots[slot->source].n_sent < slot->shared)
            continue;
        assert(!s->states || s->slots[slot->source].n_sent == slot->shared);
        assert(common_prefix(slot->ids, s->slots[slot->source].ids, slot->shared) == slot->shared);
        s->n_blocked--;
        SW_TRY(slots_copy(s, i, slot->source, slot->shared));
    }
    return SW_OK;
}

enum sw_status sw_scheduler_end(struct sw_scheduler *s, int index, enum sw_finish finish)
{
    struct slot *slot = &s->slots[index];
    struct entry *e = slot->entry;
    slot->entry = NULL;
    slot->n_due = slot->n_sent;
    slot->used = s->stats.done;
    s->stats.running--;
    return slots_end_entry(s, e,
                           e->undefined ? SW_FINISH_UNDEFINED
                           : e->stuck   ? SW_FINISH_STUCK
                                        : finish);
}

/*
 * Slots that wait for rows of `gone`, whose request was cancelled, are placed anew: the first takes
 * what there is and computes the rest, the others can wait for that one. Slots that wait themselves
 * are no source here, so nobody waits in a circle.
 */
static enum sw_status slots_replace_source(struct sw_scheduler *s, int gone)
{
    for (int i = 0; i < s->options.slots; i++) {
        struct slot *slot = &s->slots[i];
        if (!slot->entry || slot->source != gone)
            continue;
        const struct offer offer = slots_find_offer(s, slot->entry, i);
        s->n_blocked--;
        slot->source = -1;
        SW_TRY(slots_place(s, i, &offer));
    }
    return SW_OK;
}

/* Takes a cancelled request off its slot. Results of rows under way will be dropped. */
static enum sw_status slots_drop(struct sw_scheduler *s, int index)
{
    struct slot *slot = &s->slots[index];
    if (slot->source >= 0) {
        slot->source = -1;
        s->n_blocked--;
    } else if (ring_remove(&s->sources, index)) {
        assert(slot->n_sent == 0);
    } else if (ring_remove(&s->prompts, index)) {
        s->prompt_rows -= slot->n_due - slot->n_sent;
    } else {
        ring_remove(&s->steps, index);
        s->n_stepping -= slot->entry->request.max_new > 1;
    }
    slot->n_stale = slot->n_results;
    slot->n_due = slot->n_sent; /* nobody may count on more */
    SW_TRY(slots_replace_source(s, index));
    return sw_scheduler_end(s, index, SW_FINISH_CANCELLED);
}

/* `done` may submit requests and cancel others; those are dropped here or by the next step. */
enum sw_status sw_scheduler_drop_cancelled(struct sw_scheduler *s)
{
    if (s->n_cancelled == 0)
        return SW_OK;
    for (int i = 0; i < s->options.slots; i++)
        if (s->slots[i].entry && s->slots[i].entry->cancelled)
            SW_TRY(slots_drop(s, i));
    struct entry *before = NULL, *next;
    for (struct entry *e = s->first; e; e = next) {
        next = e->next;
        if (!e->cancelled) {
            before = e;
            continue;
        }
        if (before)
            before->next = next;
        else
            s->first = next;
        if (s->last == e)
            s->last = before;
        s->stats.waiting--;
        SW_TRY(slots_end_entry(s, e, SW_FINISH_CANCELLED));
    }
    return SW_OK;
}

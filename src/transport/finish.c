/*
 * Owns the end of a job: one rank, the chief (the lowest that is not lost), hears how every rank
 * ended, says the first failure once, tells it to all, and lets all leave together.
 */
#include "base/clock.h"
#include "transport/ops.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define DISORDER_S 10.0 /* how long ranks have to end once something has failed */

static int chief_of(const struct sw_transport *t)
{
    int chief = 0;
    while (chief < t->rank && t->state->peers[chief].lost)
        chief++;
    return chief;
}

/* Gives sends a moment to leave; what is lost by then is lost. */
static void flush_briefly(struct sw_transport *t)
{
    const double until = sw_clock() + 1.0;
    uint64_t under_way = 1;
    while (t->ops->pending(t, SW_ANY_RANK, &under_way) == SW_OK && under_way > 0 &&
           sw_clock() < until)
        t->ops->sleep(t, 1e-3);
}

static bool all_ended(const struct sw_transport *t)
{
    for (int i = 0; i < t->size; i++)
        if (i != t->rank && !t->state->peers[i].ended && !t->state->peers[i].lost)
            return false;
    return true;
}

/* To every rank that may still hear; one that was only silent too long learns why it must end. */
static void tell_all(struct sw_transport *t, uint16_t kind, enum sw_status status, const char *text)
{
    const struct sw_transport_state *state = t->state;
    for (int i = 0; i < t->size; i++)
        if (i != t->rank && !t->ops->gone(t, i))
            (void)sw_control_send(t, i, kind, status, state->verdict_rank, text);
}

/* The chief's part; true when every rank has ended and the job can be left in good order. */
static bool lead(struct sw_transport *t)
{
    struct sw_transport_state *state = t->state;
    struct sw_wait wait;
    bool told = false, order = true;
    double until = 0;
    sw_wait_begin(&wait, SW_ANY_RANK);
    wait.tolerant = true;
    while (order) {
        if (state->judged && !told) {
            sw_log(SW_LOG_ERROR, "%s", state->verdict_text);
            tell_all(t, SW_KIND_VERDICT, state->verdict, state->verdict_text);
            told = true;
            until = sw_clock() + DISORDER_S;
        }
        if (all_ended(t))
            break;
        order = sw_wait_step(t, &wait) == SW_OK && !(told && sw_clock() > until);
    }
    for (int i = 0; i < t->size; i++)
        order = order && !state->peers[i].lost;
    tell_all(t, SW_KIND_RELEASE, order ? SW_OK : SW_EPEER, NULL);
    flush_briefly(t);
    return order;
}

/* The others' part; becomes the chief when all before it are lost. */
static bool follow(struct sw_transport *t)
{
    struct sw_transport_state *state = t->state;
    struct sw_wait wait;
    int reported_to = -1;
    bool reported_failure = false;
    double until = 0;
    while (!state->released) {
        const int chief = chief_of(t);
        if (chief == t->rank)
            return lead(t);
        if (reported_to != chief || reported_failure != state->judged) {
            if (sw_control_send(t, chief, SW_KIND_OUTCOME, state->verdict, state->verdict_rank,
                                state->verdict_text) != SW_OK)
                return false;
            reported_to = chief;
            reported_failure = state->judged;
            until = sw_clock() + DISORDER_S;
            sw_wait_begin(&wait, chief);
            wait.tolerant = true;
        }
        if (sw_wait_step(t, &wait) != SW_OK)
            return false;
        if (state->judged && sw_clock() > until) {
            sw_log(SW_LOG_ERROR, "%s", state->verdict_text);
            return false;
        }
    }
    return !state->disorder;
}

enum sw_status sw_transport_finish(struct sw_transport *t, enum sw_status status)
{
    struct sw_transport_state *state = t->state;
    char text[SW_VERDICT_MAX], name[96] = "";
    if (t->size > 1)
        sw_transport_name(t, t->rank, name, sizeof name);
    snprintf(text, sizeof text, "%s%s%s", name, name[0] ? ": " : "",
             sw_error_message()[0] ? sw_error_message() : sw_status_text(status));
    sw_verdict_note(t, status, t->rank, text);
    state->ending = true;
    const bool order = chief_of(t) == t->rank ? lead(t) : follow(t);
    const enum sw_status verdict = state->judged ? state->verdict : SW_OK;
    if (order)
        t->ops->close(t);
    else
        t->ops->quit(t, sw_status_exit_code(verdict));
    sw_transport_free(t);
    sw_error_clear();
    return verdict;
}

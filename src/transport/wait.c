/*
 * Owns waiting: a spin, then sleeps that grow with the wait, and in between the control messages,
 * the heartbeats, the stop flag and the judgement of who is lost.
 */
#include "base/clock.h"
#include "transport/ops.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TELL_S 1.0    /* between heartbeats */
#define DRAIN_S 0.005 /* between looks at the control channel */
#define LOOK_S 0.1    /* between looks for dead processes */
#define SLEEP_MIN_S 20e-6
#define SLEEP_MAX_S 5e-3
#define SLEEP_SHARE                                                                                \
    64 /* a sleep is at most this fraction of the wait so far: 1.6% of overshoot                   \
        */

enum sw_status sw_verdict_check(struct sw_transport *t)
{
    const struct sw_transport_state *state = t->state;
    if (!state->judged || state->ending)
        return SW_OK;
    return sw_fail(state->verdict, "%s", state->verdict_text);
}

enum sw_status sw_control_send(struct sw_transport *t, int peer, uint16_t kind,
                               enum sw_status status, int rank, const char *text)
{
    struct sw_message message = {.kind = kind};
    const struct sw_outcome outcome = {status, rank};
    memcpy(message.body, &outcome, sizeof outcome);
    const size_t length = text ? strnlen(text, SW_VERDICT_MAX - 1) : 0;
    return sw_channel_send(t, SW_CHANNEL_CONTROL, peer, &message, text, length);
}

/* The first failure heard of is the job's; a rank that ended well says nothing of the job. */
void sw_verdict_note(struct sw_transport *t, enum sw_status status, int rank, const char *text)
{
    struct sw_transport_state *state = t->state;
    if (state->judged || status == SW_OK)
        return;
    state->verdict = status;
    state->verdict_rank = rank;
    snprintf(state->verdict_text, sizeof state->verdict_text, "%s", text);
    state->judged = true;
}

enum sw_status sw_control_drain(struct sw_transport *t)
{
    struct sw_transport_state *state = t->state;
    const double now = sw_clock();
    state->drained = now;
    for (;;) {
        struct sw_message message;
        bool found = false;
        SW_TRY(t->ops->take(t, SW_CHANNEL_CONTROL, SW_ANY_RANK, &message, &found));
        if (!found)
            return SW_OK;
        char text[SW_VERDICT_MAX] = "";
        if (message.bytes >= sizeof text)
            return sw_fail(SW_EPEER,
                           "rank %d sent a control message of %llu bytes; "
                           "do all ranks run the same version?",
                           message.source, (unsigned long long)message.bytes);
        for (bool done = message.bytes == 0; !done;)
            SW_TRY(t->ops->payload(t, SW_CHANNEL_CONTROL, &message, text, &done));
        struct sw_peer *peer = &state->peers[message.source];
        peer->heard = now;
        peer->edge = peer->edge || message.source != t->rank;
        struct sw_outcome outcome;
        memcpy(&outcome, message.body, sizeof outcome);
        if (message.kind == SW_KIND_OUTCOME)
            peer->ended = true;
        if (message.kind == SW_KIND_OUTCOME || message.kind == SW_KIND_VERDICT)
            sw_verdict_note(t, (enum sw_status)outcome.status, outcome.rank, text);
        if (message.kind == SW_KIND_RELEASE) {
            state->released = true;
            state->disorder = outcome.status != SW_OK;
        }
    }
}

enum sw_status sw_control_tell(struct sw_transport *t, int also)
{
    struct sw_transport_state *state = t->state;
    const double now = sw_clock(), often = t->options.silence_s / 4;
    if (now - state->told < (often < TELL_S ? often : TELL_S))
        return SW_OK;
    state->told = now;
    for (int i = 0; i < t->size; i++) {
        if (i == t->rank || state->peers[i].lost || !(state->peers[i].edge || i == also))
            continue;
        SW_TRY(sw_control_send(t, i, SW_KIND_ALIVE, SW_OK, t->rank, NULL));
    }
    return SW_OK;
}

enum sw_status sw_transport_alive(struct sw_transport *t)
{
    struct sw_transport_state *state = t->state;
    const double now = sw_clock();
    if (now - state->drained >= DRAIN_S) {
        uint64_t under_way;
        SW_TRY(t->ops->pending(t, SW_ANY_RANK, &under_way));
        SW_TRY(sw_control_drain(t));
    }
    SW_TRY(sw_control_tell(t, SW_ANY_RANK));
    SW_TRY(sw_verdict_check(t));
    const int signal_number =
        t->options.stop ? __atomic_load_n(t->options.stop, __ATOMIC_RELAXED) : 0;
    if (signal_number && !state->ending)
        return sw_fail(SW_EINTERRUPTED,
                       "a stop was asked for (signal %d); run the same command again to go on",
                       signal_number);
    return SW_OK;
}

void sw_wait_begin(struct sw_wait *wait, int from)
{
    *wait = (struct sw_wait){.began = sw_clock(), .from = from};
}

/* A wait at the end of the job only notes who is lost; any other wait fails. */
static enum sw_status lose(struct sw_transport *t, const struct sw_wait *wait, int peer,
                           const char *how)
{
    char name[96];
    t->state->peers[peer].lost = true;
    const enum sw_status status =
        sw_fail(SW_EPEER, "%s %s; see to that host, then run the same command again to go on",
                sw_transport_name(t, peer, name, sizeof name), how);
    if (!wait->tolerant)
        return status;
    sw_verdict_note(t, status, peer, sw_error_message());
    return SW_OK;
}

static enum sw_status lose_silent(struct sw_transport *t, const struct sw_wait *wait, int peer,
                                  double seconds)
{
    char how[64];
    snprintf(how, sizeof how, "gave no sign of life for %.3g s", seconds);
    return lose(t, wait, peer, how);
}

/* A dead process is no loss when it ended in order or left a message that explains it. */
static enum sw_status look_at(struct sw_transport *t, const struct sw_wait *wait, int peer)
{
    if (!t->ops->gone(t, peer))
        return SW_OK;
    SW_TRY(sw_control_drain(t));
    SW_TRY(sw_verdict_check(t));
    bool left = false;
    SW_TRY(t->ops->peek(t, SW_CHANNEL_DATA, peer, &left));
    if (left || t->state->peers[peer].ended || t->state->released)
        return SW_OK;
    return lose(t, wait, peer, "is gone: its process has ended");
}

/* Is a peer dead, or silent that this wait depends on? */
static enum sw_status look_for_lost(struct sw_transport *t, const struct sw_wait *wait, double now)
{
    struct sw_transport_state *state = t->state;
    const bool look = now - state->looked >= LOOK_S;
    if (look)
        state->looked = now;
    for (int i = 0; i < t->size; i++) {
        const struct sw_peer *peer = &state->peers[i];
        const bool matters =
            wait->from == i || (wait->from == SW_ANY_RANK && (peer->edge || t->size == 1));
        if (peer->ended || (peer->lost && (wait->tolerant || !matters)))
            continue;
        if (peer->lost)
            return lose(t, wait, i, "is lost");
        if (look && i != t->rank)
            SW_TRY(look_at(t, wait, i));
        const double since = peer->heard > wait->began ? peer->heard : wait->began;
        if (matters && !peer->lost && now - since > t->options.silence_s)
            SW_TRY(lose_silent(t, wait, i, now - since));
    }
    return SW_OK;
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

enum sw_status sw_wait_step(struct sw_transport *t, struct sw_wait *wait)
{
    const double now = sw_clock(), waited = now - wait->began;
    if (!wait->sleepy && waited < t->options.spin_s) {
        relax();
        return SW_OK;
    }
    const bool first = !wait->sleepy;
    wait->sleepy = true;
    if (first || now - t->state->drained >= DRAIN_S) {
        SW_TRY(sw_transport_alive(t));
        SW_TRY(sw_control_tell(t, wait->from));
        SW_TRY(look_for_lost(t, wait, now));
    }
    double seconds = waited / SLEEP_SHARE;
    if (seconds < SLEEP_MIN_S)
        seconds = SLEEP_MIN_S;
    if (seconds > SLEEP_MAX_S)
        seconds = SLEEP_MAX_S;
    t->ops->sleep(t, seconds);
    return SW_OK;
}

/*
 * Owns waiting: a spin, then sleeps that grow with the wait, and between them checks of the stop
 * flag and of the verdict. The heartbeat judges which rank is lost (heartbeat.h).
 */
#include "base/clock.h"
#include "transport/transport_ops.h"

#include <stdio.h>
#include <time.h>

#define PROGRESS_S 0.005 /* between two progresses of sends */
#define SLEEP_MIN_S 20e-6
#define SLEEP_MAX_S 5e-3
#define SLEEP_SHARE 64 /* a sleep is at most the 64th part of the wait so far: 1.6% overshoot */

enum sw_status sw_verdict_check(struct sw_transport *t)
{
    struct sw_verdict verdict;
    if (t->state->ending || !sw_heartbeat_judged(t->state->heartbeat))
        return SW_OK;
    sw_heartbeat_verdict(t->state->heartbeat, &verdict);
    return sw_fail(verdict.status, "%s", verdict.text);
}

int sw_stop_number(const struct sw_transport *t)
{
    return t->options.stop ? __atomic_load_n(t->options.stop, __ATOMIC_RELAXED) : 0;
}

void sw_stop_text(const struct sw_transport *t, int number, char *out, size_t cap)
{
    const char *safe = t->options.safe;
    snprintf(out, cap, "a stop was requested (signal %d)%s%s; run the same command again to go on",
             number, safe ? "; " : "", safe ? safe : "");
}

/* A verdict goes before a stop: a launcher answers the failure of a rank with a stop. */
static enum sw_status wait_check(struct sw_transport *t)
{
    char text[SW_ERROR_MAX];
    SW_TRY(sw_verdict_check(t));
    const int number = t->state->ending ? 0 : sw_stop_number(t);
    if (!number)
        return SW_OK;
    sw_stop_text(t, number, text, sizeof text);
    return sw_fail(SW_EINTERRUPTED, "%s", text);
}

static enum sw_status transport_progress(struct sw_transport *t, bool waiting)
{
    struct sw_transport_state *state = t->state;
    const double now = sw_clock();
    uint64_t under_way;
    sw_heartbeat_step(state->heartbeat, waiting);
    if (now - state->progress_at >= PROGRESS_S) {
        state->progress_at = now;
        SW_TRY(t->ops->pending(t, SW_ANY_RANK, &under_way));
    }
    return wait_check(t);
}

enum sw_status sw_transport_alive(struct sw_transport *t)
{
    return transport_progress(t, false);
}

void sw_wait_begin(struct sw_wait *wait)
{
    *wait = (struct sw_wait){.began = sw_clock()};
}

static void wait_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

enum sw_status sw_wait_step(struct sw_transport *t, struct sw_wait *wait)
{
    const double waited = sw_clock() - wait->began;
    if (!wait->sleeping && waited < t->options.spin_s) {
        wait_relax();
        return SW_OK;
    }
    wait->sleeping = true;
    SW_TRY(transport_progress(t, true));
    double seconds = waited / SLEEP_SHARE;
    if (seconds < SLEEP_MIN_S)
        seconds = SLEEP_MIN_S;
    if (seconds > SLEEP_MAX_S)
        seconds = SLEEP_MAX_S;
    t->ops->sleep(t, seconds, wait->wake);
    return SW_OK;
}

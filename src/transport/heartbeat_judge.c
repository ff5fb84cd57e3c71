/*
 * Owns the judgement: which rank is lost, which verdict stands, and what follows from it, in this
 * order: the other ranks, the status file, the message, the common end, and _exit as a last resort.
 */
#include "transport/heartbeat_impl.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *judge_name(const struct sw_heartbeat *hb, int rank, char *out, size_t cap)
{
    const char *label = hb->peers[rank].label;
    snprintf(out, cap, "rank %d on %s%s%s%s", rank, hb->t->ranks[rank].host, *label ? " (" : "",
             label, *label ? ")" : "");
    return out;
}

void sw_heart_adopt(struct sw_heartbeat *hb, const struct sw_verdict *verdict, bool decided)
{
    const int rank = verdict->rank;
    if (sw_heartbeat_release(hb) == SW_RELEASE_TOGETHER) /* all have ended: nobody can fail now */
        return;
    if (verdict->lost && rank >= 0 && rank < hb->t->size)
        hb->peers[rank].lost = true;
    if (verdict->status == SW_OK || (hb->judged && (!decided || hb->decided)))
        return;
    if (!hb->judged)
        hb->judged_at = sw_clock();
    hb->verdict = *verdict;
    hb->decided = decided || hb->t->rank == 0;
    atomic_store_explicit(&hb->judged, true, memory_order_release);
    sw_heart_send_verdict(hb);
}

static void judge_lost(struct sw_heartbeat *hb, int rank, const char *how, const char *advice)
{
    struct sw_verdict verdict = {.status = SW_EPEER, .rank = rank, .lost = true};
    const char *safe = hb->t->options.safe;
    char name[SW_HOST_MAX + 160];
    snprintf(verdict.text, sizeof verdict.text,
             "%s %s; %s%s%s, then run the same command again to go on",
             judge_name(hb, rank, name, sizeof name), how, safe ? safe : "", safe ? "; " : "",
             advice);
    sw_heart_adopt(hb, &verdict, false);
}

void sw_heart_gone(struct sw_heartbeat *hb, int rank)
{
    struct sw_heart_peer *peer = &hb->peers[rank];
    if (sw_heartbeat_release(hb) != SW_RELEASE_NOT_YET)
        peer->left = true;
    if (!peer->left && !peer->lost)
        judge_lost(hb, rank, "is gone: its process has ended (killed, crashed or out of memory)",
                   "see that host's kernel log");
}

static void judge_silent(struct sw_heartbeat *hb, int rank, double seconds)
{
    char how[512], name[SW_HOST_MAX + 160];
    judge_name(hb, hb->t->rank, name, sizeof name);
    for (int i = 0; i < hb->n_links; i++) {
        const struct sw_heart_socket *link = hb->links[i];
        if (link->peer != rank || link->state == SW_SOCKET_OPEN || link->reached)
            continue;
        snprintf(how, sizeof how, "cannot be reached by %s over TCP (port %u: %s)", name,
                 hb->infos[rank].address.port, *link->last_error ? link->last_error : "no answer");
        judge_lost(
            hb, rank, how,
            "let the hosts connect to each other (a firewall?), or name the network they share "
            "with --mca btl_tcp_if_include");
        return;
    }
    snprintf(how, sizeof how,
             "gave no sign of life to %s for %.3g s: it is stopped, its host is frozen or down, or "
             "the link is cut",
             name, seconds);
    judge_lost(hb, rank, how, "check that host");
}

/* Whether a sent message does not arrive though both ranks live: MPI's connection is broken. */
static bool judge_overdue(struct sw_heartbeat *hb, struct sw_heart_peer *peer, bool waiting,
                          double now)
{
    const uint64_t taken = atomic_load_explicit(&peer->taken, memory_order_relaxed);
    if (!waiting || taken >= peer->announced || taken != peer->taken_before)
        peer->progress_at = now;
    peer->taken_before = taken;
    return now - peer->progress_at > hb->stall;
}

/* Rank 0 is exempt: it may wait for the user, for a prompt or at a pager. */
static void judge_self(struct sw_heartbeat *hb, uint64_t steps, double now)
{
    char how[64];
    if (steps != hb->last_steps || hb->t->rank == 0 || hb->ended)
        hb->step_at = now;
    hb->last_steps = steps;
    if (now - hb->step_at <= hb->stall)
        return;
    snprintf(how, sizeof how, "made no progress for %.3g s", now - hb->step_at);
    judge_lost(hb, hb->t->rank, how, "check that its files can be read on that host");
}

void sw_heart_judge(struct sw_heartbeat *hb, double now)
{
    const uint64_t waits = atomic_load_explicit(&hb->waits, memory_order_relaxed);
    const uint64_t steps = atomic_load_explicit(&hb->steps, memory_order_relaxed);
    const bool waiting = waits != hb->last_waits;
    hb->last_waits = waits;
    for (int i = 0; i < hb->t->size; i++) {
        struct sw_heart_peer *peer = &hb->peers[i];
        if (i == hb->t->rank || !peer->monitored || peer->left || peer->lost)
            continue;
        if (now - peer->received_at > hb->timeout)
            judge_silent(hb, i, now - peer->received_at);
        else if (judge_overdue(hb, peer, waiting, now))
            judge_lost(hb, i, "is alive, but one of its messages does not arrive",
                       "check the network that MPI uses between the hosts");
    }
    judge_self(hb, steps + waits, now);
}

/* Turns a stop signal that the main thread does not notice for SW_STOP_S into a verdict. */
static void judge_stop(struct sw_heartbeat *hb, double now)
{
    const volatile sig_atomic_t *stop = hb->t->options.stop;
    const int number = stop ? __atomic_load_n(stop, __ATOMIC_RELAXED) : 0;
    struct sw_verdict verdict = {.status = SW_EINTERRUPTED, .rank = hb->t->rank};
    if (!number || hb->ended || hb->judged)
        return;
    if (hb->stopped_at == 0)
        hb->stopped_at = now;
    if (now - hb->stopped_at < SW_STOP_S)
        return;
    sw_stop_text(hb->t, number, verdict.text, sizeof verdict.text);
    sw_heart_adopt(hb, &verdict, false);
}

static bool judge_write_file(struct sw_heartbeat *hb, const struct sw_verdict *verdict)
{
    const struct sw_verdict copy = *verdict;
    const char *folder = hb->folder;
    pthread_mutex_unlock(&hb->lock);
    const bool written = sw_verdict_write(folder, hb->job, hb->t->rank, &copy);
    pthread_mutex_lock(&hb->lock);
    return written;
}

/* Whether a launcher prints the message: a living rank has written its status file, or will. */
static bool launcher_prints(const struct sw_heartbeat *hb)
{
    for (int i = 0; i < hb->t->size; i++)
        if (hb->infos[i].writes_status && (i == hb->t->rank ? hb->written : !hb->peers[i].lost))
            return true;
    return false;
}

/* Prints the message on one rank: the lowest that is alive, as far as the others know. */
static void judge_print(struct sw_heartbeat *hb, double now)
{
    const struct sw_frame printed = {.kind = SW_FRAME_PRINTED};
    double turn = hb->judged_at;
    if (hb->folder && !hb->written) {
        hb->written = judge_write_file(hb, &hb->verdict);
        if (!hb->written)
            hb->folder = NULL;
    }
    for (int i = 0; i < hb->t->rank; i++)
        turn += hb->peers[i].lost ? 0 : SW_TURN_S;
    if (hb->printed || (now < turn && !launcher_prints(hb)))
        return;
    if (!launcher_prints(hb))
        sw_log_urgent(SW_LOG_ERROR, "%s", hb->verdict.text);
    hb->printed = true;
    sw_heart_send(hb, SW_ANY_RANK, &printed, NULL);
}

/* Rank 0 releases all together when all have ended, and alone when one is lost or too slow. */
static void judge_release(struct sw_heartbeat *hb, double now)
{
    bool all = true, order = true;
    for (int i = 0; i < hb->t->size; i++) {
        const struct sw_heart_peer *peer = &hb->peers[i];
        all = all && (i == hb->t->rank || peer->ended || peer->lost);
        order = order && !peer->lost;
    }
    if (!all && !(hb->judged && now - hb->judged_at > SW_DISORDER_S))
        return;
    order = order && all;
    if (!hb->judged && hb->folder) {
        const struct sw_verdict done = {.status = SW_OK, .rank = -1, .text = "done"};
        (void)judge_write_file(hb, &done);
    }
    const struct sw_frame frame = {.kind = SW_FRAME_RELEASE, .status = order ? SW_OK : SW_EPEER};
    sw_heart_send(hb, SW_ANY_RANK, &frame, NULL);
    atomic_store_explicit(&hb->release, order ? SW_RELEASE_TOGETHER : SW_RELEASE_ALONE,
                          memory_order_release);
}

void sw_heart_act(struct sw_heartbeat *hb, double now)
{
    const bool released = sw_heartbeat_release(hb) != SW_RELEASE_NOT_YET;
    judge_stop(hb, now);
    if (hb->judged)
        judge_print(hb, now);
    if (!released && hb->ended && hb->t->rank == 0)
        judge_release(hb, now);
    if (!hb->judged)
        return;
    const double since = now - hb->judged_at;
    if (!released && hb->ended && hb->t->rank != 0 && hb->printed &&
        (hb->peers[0].lost || since > SW_DISORDER_S + 2))
        atomic_store_explicit(&hb->release, SW_RELEASE_ALONE, memory_order_release);
    const double limit = hb->ended ? SW_FINISH_S : hb->verdict.lost ? SW_LEAVE_S : SW_MAIN_S;
    if (hb->t->state->process && hb->printed && since > limit) {
        sw_heart_flush(hb);
        _exit(sw_status_exit_code(hb->verdict.status));
    }
}

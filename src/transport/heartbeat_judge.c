/*
 * Owns the judgement: who is lost, which verdict stands, and what follows from it in which order:
 * the other ranks, the status file, the message, the common end, and the last resort.
 */
#include "transport/heartbeat_impl.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *name_of(const struct sw_heartbeat *hb, int rank, char *out, size_t cap)
{
    const char *label = hb->peers[rank].label;
    snprintf(out, cap, "rank %d on %s%s%s%s", rank, hb->t->ranks[rank].host, *label ? " (" : "",
             label, *label ? ")" : "");
    return out;
}

void sw_heart_adopt(struct sw_heartbeat *hb, const struct sw_verdict *verdict, bool decided)
{
    const int rank = verdict->rank;
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

static void lose(struct sw_heartbeat *hb, int rank, const char *how, const char *advice)
{
    struct sw_verdict verdict = {.status = SW_EPEER, .rank = rank, .lost = true};
    const char *safe = hb->t->options.safe;
    char name[SW_HOST_MAX + 160];
    snprintf(verdict.text, sizeof verdict.text,
             "%s %s; %s%s%s, then run the same command again to go on",
             name_of(hb, rank, name, sizeof name), how, safe ? safe : "", safe ? "; " : "", advice);
    sw_heart_adopt(hb, &verdict, false);
}

void sw_heart_gone(struct sw_heartbeat *hb, int rank)
{
    struct sw_heart_peer *peer = &hb->peers[rank];
    if (sw_heartbeat_release(hb) != SW_RELEASE_NOT_YET)
        peer->left = true;
    if (!peer->left && !peer->lost)
        lose(hb, rank, "is gone: its process has ended (killed, crashed or out of memory)",
             "see that host's kernel log");
}

static void lose_silent(struct sw_heartbeat *hb, int rank, double seconds)
{
    char how[512], name[SW_HOST_MAX + 160];
    name_of(hb, hb->t->rank, name, sizeof name);
    for (int i = 0; i < hb->n_links; i++) {
        const struct sw_heart_socket *link = hb->links[i];
        if (link->peer != rank || link->state == SW_SOCKET_OPEN || link->reached)
            continue;
        snprintf(how, sizeof how, "cannot be reached by %s over TCP (port %u: %s)", name,
                 hb->infos[rank].place.port, *link->trouble ? link->trouble : "no answer");
        lose(hb, rank, how,
             "let the hosts connect to each other (a firewall?), or name the network they share "
             "with --mca btl_tcp_if_include");
        return;
    }
    snprintf(how, sizeof how,
             "gave no sign of life to %s for %.3g s: it is stopped, its host is frozen or down, or "
             "the link is cut",
             name, seconds);
    lose(hb, rank, how, "see to that host");
}

/* A message that was sent and does not come, though both ends live: MPI's connection is broken. */
static bool overdue(struct sw_heartbeat *hb, struct sw_heart_peer *peer, bool waiting, double now)
{
    const uint64_t taken = atomic_load_explicit(&peer->taken, memory_order_relaxed);
    if (!waiting || taken >= peer->promised || taken != peer->seen)
        peer->moved = now;
    peer->seen = taken;
    return now - peer->moved > hb->stall;
}

/* Rank 0 may be waiting for the user: for a prompt, or at a pager. The others never do. */
static void look_at_self(struct sw_heartbeat *hb, uint64_t steps, double now)
{
    char how[64];
    if (steps != hb->last_steps || hb->t->rank == 0 || hb->ended)
        hb->stepped = now;
    hb->last_steps = steps;
    if (now - hb->stepped <= hb->stall)
        return;
    snprintf(how, sizeof how, "has got nothing done for %.3g s", now - hb->stepped);
    lose(hb, hb->t->rank, how, "see whether its files can be read on that host");
}

void sw_heart_judge(struct sw_heartbeat *hb, double now)
{
    const uint64_t waits = atomic_load_explicit(&hb->waits, memory_order_relaxed);
    const uint64_t steps = atomic_load_explicit(&hb->steps, memory_order_relaxed);
    const bool waiting = waits != hb->last_waits;
    hb->last_waits = waits;
    for (int i = 0; i < hb->t->size; i++) {
        struct sw_heart_peer *peer = &hb->peers[i];
        if (i == hb->t->rank || !peer->watched || peer->left || peer->lost)
            continue;
        if (now - peer->heard > hb->timeout)
            lose_silent(hb, i, now - peer->heard);
        else if (overdue(hb, peer, waiting, now))
            lose(hb, i, "lives, but a message of it does not arrive",
                 "see to the network that MPI uses between the hosts");
    }
    look_at_self(hb, steps + waits, now);
}

/* The main thread should have left by itself by now; its process ends here. */
static void notice_stop(struct sw_heartbeat *hb, double now)
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

static bool write_file(struct sw_heartbeat *hb, const struct sw_verdict *verdict)
{
    const struct sw_verdict copy = *verdict;
    const char *folder = hb->folder;
    pthread_mutex_unlock(&hb->lock);
    const bool written = sw_verdict_write(folder, hb->job, hb->t->rank, &copy);
    pthread_mutex_lock(&hb->lock);
    return written;
}

/* Whoever reads the status file prints it: a living rank has written it, or will. */
static bool read_elsewhere(const struct sw_heartbeat *hb)
{
    for (int i = 0; i < hb->t->size; i++)
        if (hb->infos[i].scribe && (i == hb->t->rank ? hb->written : !hb->peers[i].lost))
            return true;
    return false;
}

/* One rank prints: the lowest that lives, as far as the others know. */
static void judge_say(struct sw_heartbeat *hb, double now)
{
    const struct sw_frame said = {.kind = SW_FRAME_SAID};
    double turn = hb->judged_at;
    if (hb->folder && !hb->written) {
        hb->written = write_file(hb, &hb->verdict);
        if (!hb->written)
            hb->folder = NULL;
    }
    for (int i = 0; i < hb->t->rank; i++)
        turn += hb->peers[i].lost ? 0 : SW_TURN_S;
    if (hb->said || (now < turn && !read_elsewhere(hb)))
        return;
    if (!read_elsewhere(hb))
        sw_log_urgent(SW_LOG_ERROR, "%s", hb->verdict.text);
    hb->said = true;
    sw_heart_send(hb, SW_ANY_RANK, &said, NULL);
}

/* Rank 0 lets all leave together when all have ended, and alone when one is lost or too slow. */
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
        (void)write_file(hb, &done);
    }
    const struct sw_frame frame = {.kind = SW_FRAME_RELEASE, .status = order ? SW_OK : SW_EPEER};
    sw_heart_send(hb, SW_ANY_RANK, &frame, NULL);
    atomic_store_explicit(&hb->release, order ? SW_RELEASE_TOGETHER : SW_RELEASE_ALONE,
                          memory_order_release);
}

void sw_heart_act(struct sw_heartbeat *hb, double now)
{
    const bool released = sw_heartbeat_release(hb) != SW_RELEASE_NOT_YET;
    notice_stop(hb, now);
    if (hb->judged)
        judge_say(hb, now);
    if (!released && hb->ended && hb->t->rank == 0)
        judge_release(hb, now);
    if (!hb->judged)
        return;
    const double since = now - hb->judged_at;
    if (!released && hb->ended && hb->t->rank != 0 && hb->said &&
        (hb->peers[0].lost || since > SW_DISORDER_S + 2))
        atomic_store_explicit(&hb->release, SW_RELEASE_ALONE, memory_order_release);
    const double limit = hb->ended ? SW_FINISH_S : hb->verdict.lost ? SW_LEAVE_S : SW_MAIN_S;
    if (hb->t->state->process && hb->said && since > limit) {
        sw_heart_flush(hb);
        _exit(sw_status_exit_code(hb->verdict.status));
    }
}

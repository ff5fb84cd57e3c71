/* Owns the heartbeat's state and thread, and the functions that the main thread calls. */
#include "transport/heartbeat_impl.h"

#include "base/clock.h"
#include "base/thread_fail.h"
#include "base/thread_start.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define VERDICT_TICK_S 0.05 /* between two checks once there is a verdict */

static void heartbeat_wake(struct sw_heartbeat *hb)
{
    const uint64_t one = 1;
    if (write(hb->wake, &one, sizeof one) < 0)
        return; /* the thread wakes at its next beat */
}

/*
 * Sleeps until `due`, a frame, or heartbeat_wake. The lock is free meanwhile: only this thread
 * removes links, and whoever adds one calls heartbeat_wake.
 */
static void heartbeat_sleep(struct sw_heartbeat *hb, double due)
{
    struct pollfd *fds = hb->fds;
    uint64_t wakes;
    nfds_t n = 0;
    const double now = sw_clock();
    const double resumes = sw_endpoint_resumes_at(&hb->endpoint, now),
                 until = resumes < due ? resumes : due;
    fds[n++] = (struct pollfd){.fd = hb->wake, .events = POLLIN};
    n += sw_endpoint_poll(&hb->endpoint, now, fds + n);
    for (int i = 0; i < hb->n_links; i++) {
        const struct sw_heart_socket *link = hb->links[i];
        const bool out = link->state == SW_SOCKET_CONNECTING || link->n_out > 0;
        if (link->state != SW_SOCKET_DOWN && n < (nfds_t)hb->cap_fds)
            fds[n++] = (struct pollfd){.fd = link->fd, .events = out ? POLLIN | POLLOUT : POLLIN};
    }
    pthread_mutex_unlock(&hb->lock);
    const double left = until - sw_clock();
    poll(fds, n, left > 0 ? (int)(left * 1e3) + 1 : 0);
    if (fds[0].revents && read(hb->wake, &wakes, sizeof wakes) < 0)
        wakes = 0;
    pthread_mutex_lock(&hb->lock);
}

/*
 * This thread did not run for `late` seconds: the process or its machine was stopped. Frames that
 * came meanwhile are not read yet, so that time does not count as silence.
 */
static void heartbeat_discount(struct sw_heartbeat *hb, double late)
{
    for (int i = 0; i < hb->t->size; i++)
        hb->peers[i].received_at += late;
    hb->step_at += late;
}

/* Makes room to poll all links; without memory some are only checked with each beat. */
static bool heartbeat_make_room(struct sw_heartbeat *hb)
{
    const int most = hb->cap_links + 2 + SW_STRANGERS_MAX;
    if (hb->cap_fds >= most)
        return true;
    struct pollfd *more = realloc(hb->fds, sizeof *more * (size_t)most);
    if (!more)
        return false;
    hb->fds = more;
    hb->cap_fds = most;
    return true;
}

static void *heartbeat_thread(void *argument)
{
    struct sw_heartbeat *hb = argument;
    pthread_mutex_lock(&hb->lock);
    double due = hb->step_at; /* when the thread was created; it may run much later */
    while (!hb->closing) {
        (void)heartbeat_make_room(hb);
        const double soon = sw_clock() + VERDICT_TICK_S;
        heartbeat_sleep(hb, hb->judged && soon < due ? soon : due);
        const double now = sw_clock();
        if (now - due > 2 * hb->interval)
            heartbeat_discount(hb, now - due);
        sw_heart_links(hb, now);
        if (now >= due) {
            sw_heart_judge(hb, now);
            sw_heart_beat(hb, now);
            due = now + hb->interval;
        }
        sw_heart_act(hb, now);
        sw_heart_flush(hb);
    }
    sw_heart_bye(hb);
    pthread_mutex_unlock(&hb->lock);
    return NULL;
}

enum sw_status sw_heartbeat_open(bool local, struct sw_rank_info *info, struct sw_heartbeat **out)
{
    struct sw_heartbeat *hb = calloc(1, sizeof *hb);
    uint16_t port;
    *out = NULL;
    if (!hb)
        return sw_fail(SW_ENOMEM, "no memory for the heartbeat");
    enum sw_status status = sw_endpoint_open(local, &hb->endpoint, &port);
    hb->wake = status == SW_OK ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    if (status == SW_OK && hb->wake < 0)
        status =
            sw_fail(SW_EDEVICE, "cannot create an event for the heartbeat: %s", strerror(errno));
    if (status != SW_OK) {
        sw_endpoint_free(&hb->endpoint);
        free(hb);
        return status;
    }
    memset(info, 0, sizeof *info);
    info->key[0] = sw_endpoint_nonce(&hb->endpoint);
    info->key[1] = sw_endpoint_nonce(&hb->endpoint);
    hb->folder = sw_verdict_folder();
    pthread_mutex_init(&hb->lock, NULL);
    sw_rank_address_here(port, &info->address);
    snprintf(info->job, sizeof info->job, "%s", sw_verdict_job());
    info->writes_status = hb->folder && *info->job;
    if (!*info->job)
        sw_verdict_name(info->job);
    *out = hb;
    return SW_OK;
}

/* Rank r opens links to 0 and r-1, and expects links from r+1 and, as rank 0, from all. */
static void heartbeat_expect_links(struct sw_heartbeat *hb, double now)
{
    const int rank = hb->t->rank, size = hb->t->size;
    for (int i = 0; i < size; i++) {
        struct sw_heart_peer *peer = &hb->peers[i];
        peer->received_at = peer->progress_at = now;
        peer->monitored = i != rank && (i == 0 || rank == 0 || i == rank - 1 || i == rank + 1);
        if (i < rank && peer->monitored)
            sw_heart_add_link(hb, i);
    }
    hb->step_at = now;
}

enum sw_status sw_heartbeat_start(struct sw_heartbeat *hb, const struct sw_transport *t,
                                  const struct sw_rank_info *infos)
{
    const size_t size = (size_t)t->size;
    sigset_t all, before;
    hb->t = t;
    hb->timeout = t->options.silence_s;
    hb->stall = t->options.stall_s;
    hb->interval = SW_BEAT_S(hb->timeout);
    hb->peers = calloc(size, sizeof *hb->peers);
    hb->infos = malloc(size * sizeof *hb->infos);
    if (!hb->peers || !hb->infos)
        return sw_fail(SW_ENOMEM, "no memory for the heartbeats of %zu ranks", size);
    memcpy(hb->infos, infos, size * sizeof *infos);
    memcpy(hb->job, infos[0].job, sizeof hb->job);
    hb->job[sizeof hb->job - 1] = 0;
    heartbeat_expect_links(hb, sw_clock());
    if (!heartbeat_make_room(hb)) /* here, where a lack of memory can still be reported */
        return sw_fail(SW_ENOMEM, "no memory for the heartbeats of %zu ranks", size);
    sigfillset(&all); /* the main thread handles signals */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int error = sw_thread_start(&hb->thread, NULL, heartbeat_thread, hb);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return sw_thread_fail("the heartbeat's thread", error, "");
    hb->started = true;
    return SW_OK;
}

void sw_heartbeat_close(struct sw_heartbeat *hb)
{
    if (!hb)
        return;
    if (hb->started) {
        pthread_mutex_lock(&hb->lock);
        hb->closing = true;
        pthread_mutex_unlock(&hb->lock);
        heartbeat_wake(hb);
        pthread_join(hb->thread, NULL);
    }
    for (int i = 0; i < hb->n_links; i++) {
        sw_heart_socket_drop(hb->links[i]);
        free(hb->links[i]);
    }
    sw_endpoint_free(&hb->endpoint);
    close(hb->wake);
    pthread_mutex_destroy(&hb->lock);
    free(hb->links);
    free(hb->fds);
    free(hb->peers);
    free(hb->infos);
    free(hb);
}

void sw_heartbeat_step(struct sw_heartbeat *hb, bool waiting)
{
    atomic_fetch_add_explicit(waiting ? &hb->waits : &hb->steps, 1, memory_order_relaxed);
}

void sw_heartbeat_sent(struct sw_heartbeat *hb, int peer)
{
    const uint64_t before =
        atomic_fetch_add_explicit(&hb->peers[peer].sent, 1, memory_order_relaxed);
    if (before > 0 || peer == hb->t->rank)
        return;
    pthread_mutex_lock(&hb->lock);
    if (!hb->peers[peer].monitored) {
        hb->peers[peer].monitored = true;
        hb->peers[peer].received_at = sw_clock();
        sw_heart_add_link(hb, peer);
    }
    pthread_mutex_unlock(&hb->lock);
    heartbeat_wake(hb);
}

void sw_heartbeat_taken(struct sw_heartbeat *hb, int peer)
{
    atomic_fetch_add_explicit(&hb->peers[peer].taken, 1, memory_order_relaxed);
}

void sw_heartbeat_label(struct sw_heartbeat *hb, int rank, const char *text)
{
    struct sw_heart_peer *peer = &hb->peers[rank];
    pthread_mutex_lock(&hb->lock);
    snprintf(peer->label, sizeof peer->label, "%s", text);
    pthread_mutex_unlock(&hb->lock);
}

bool sw_heartbeat_judged(const struct sw_heartbeat *hb)
{
    return atomic_load_explicit(&hb->judged, memory_order_relaxed);
}

void sw_heartbeat_verdict(struct sw_heartbeat *hb, struct sw_verdict *out)
{
    pthread_mutex_lock(&hb->lock);
    *out = hb->verdict;
    pthread_mutex_unlock(&hb->lock);
}

void sw_heartbeat_raise(struct sw_heartbeat *hb, const struct sw_verdict *verdict)
{
    pthread_mutex_lock(&hb->lock);
    sw_heart_adopt(hb, verdict, false);
    pthread_mutex_unlock(&hb->lock);
    heartbeat_wake(hb);
}

void sw_heartbeat_end(struct sw_heartbeat *hb)
{
    const struct sw_frame frame = {.kind = SW_FRAME_ENDED};
    pthread_mutex_lock(&hb->lock);
    hb->ended = true;
    if (hb->t->rank != 0)
        sw_heart_send(hb, 0, &frame, NULL);
    pthread_mutex_unlock(&hb->lock);
    heartbeat_wake(hb);
}

enum sw_release sw_heartbeat_release(const struct sw_heartbeat *hb)
{
    return (enum sw_release)atomic_load_explicit(&hb->release, memory_order_acquire);
}

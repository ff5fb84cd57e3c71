/* Owns the heartbeat's connections: opening them, the handshake, and acting on frames. */
#include "transport/heartbeat_impl.h"

#include "base/clock.h"
#include "base/hash.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define TRY_S 2.0 /* for one address of a peer, before the next is tried */
#define BYE_S 0.5 /* most time to send the last frames */

/* Adds a copy of the link; NULL without memory. */
static struct sw_heart_socket *link_add(struct sw_heartbeat *hb, const struct sw_heart_socket *link)
{
    if (hb->n_links == hb->cap_links) {
        const int capacity = hb->cap_links ? 2 * hb->cap_links : 8;
        struct sw_heart_socket **links = realloc(hb->links, sizeof *links * (size_t)capacity);
        if (!links)
            return NULL;
        hb->links = links;
        hb->cap_links = capacity;
    }
    struct sw_heart_socket *added = malloc(sizeof *added);
    if (!added)
        return NULL;
    *added = *link;
    return hb->links[hb->n_links++] = added;
}

void sw_heart_add_link(struct sw_heartbeat *hb, int peer)
{
    const struct sw_heart_socket link = {.fd = -1, .peer = peer, .ours = true};
    (void)link_add(hb, &link);
}

static void heart_links_put(struct sw_heart_socket *link, const struct sw_frame *frame,
                            const char *text)
{
    /* without room the peer does not read, and is judged lost by its silence */
    (void)sw_heart_socket_put(link, frame, text);
}

void sw_heart_send(struct sw_heartbeat *hb, int peer, const struct sw_frame *frame,
                   const char *text)
{
    for (int i = 0; i < hb->n_links; i++)
        if (hb->links[i]->state == SW_SOCKET_OPEN &&
            (peer == SW_ANY_RANK || hb->links[i]->peer == peer))
            heart_links_put(hb->links[i], frame, text);
}

static struct sw_frame verdict_frame(const struct sw_heartbeat *hb)
{
    return (struct sw_frame){.kind = SW_FRAME_VERDICT,
                             .status = hb->verdict.status,
                             .rank = hb->verdict.rank,
                             .flags = (hb->verdict.lost ? SW_FRAME_LOST : 0) |
                                      (hb->decided ? SW_FRAME_DECIDED : 0)};
}

void sw_heart_send_verdict(struct sw_heartbeat *hb)
{
    const struct sw_frame frame = verdict_frame(hb);
    sw_heart_send(hb, SW_ANY_RANK, &frame, hb->verdict.text);
}

/* The answer to the nonce `question`, which needs the key of rank `to`; `own`: the sender's nonce.
 */
static uint64_t heart_links_proof(const struct sw_heartbeat *hb, int from, int to,
                                  uint64_t question, uint64_t own)
{
    const uint64_t parts[] = {question, own, (uint64_t)from, (uint64_t)to};
    return sw_hash_of(hb->infos[to].key, parts, sizeof parts).low;
}

/* Answers the peer's nonce `question`, and sends it the nonce `own`. */
static void heart_links_greet(struct sw_heartbeat *hb, struct sw_heart_socket *link,
                              uint64_t question, uint64_t own)
{
    const struct sw_frame frame = {
        .kind = SW_FRAME_HELLO,
        .rank = hb->t->rank,
        .number = heart_links_proof(hb, hb->t->rank, link->peer, question, own),
        .nonce = own};
    heart_links_put(link, &frame, NULL);
}

/* Opens the link after the handshake, and repeats on it what was sent to all before. */
static void heart_links_opened(struct sw_heartbeat *hb, struct sw_heart_socket *link, double now)
{
    const struct sw_frame printed = {.kind = SW_FRAME_PRINTED}, ended = {.kind = SW_FRAME_ENDED};
    const struct sw_frame verdict = verdict_frame(hb);
    link->state = SW_SOCKET_OPEN;
    link->since = hb->peers[link->peer].received_at = now;
    hb->peers[link->peer].linked = true;
    if (hb->judged)
        heart_links_put(link, &verdict, hb->verdict.text);
    if (hb->printed)
        heart_links_put(link, &printed, NULL);
    if (hb->ended && link->peer == 0)
        heart_links_put(link, &ended, NULL);
}

/* Handles a frame on a link of ours that is not open yet. false: the other end is not the peer. */
static bool heart_links_handshake(struct sw_heartbeat *hb, struct sw_heart_socket *link,
                                  const struct sw_frame *frame, double now)
{
    if (frame->kind == SW_FRAME_QUESTION && !link->nonce) {
        link->nonce = sw_endpoint_nonce(&hb->endpoint);
        heart_links_greet(hb, link, frame->nonce, link->nonce);
        return true;
    }
    if (frame->kind != SW_FRAME_HELLO || !link->nonce || frame->rank != link->peer ||
        frame->number != heart_links_proof(hb, link->peer, hb->t->rank, link->nonce, frame->nonce))
        return false;
    heart_links_opened(hb, link, now);
    return true;
}

/* For the endpoint: a stranger that has answered becomes a link if it is a rank of this job. */
static bool heart_links_accept(void *context, int fd, uint64_t nonce, const struct sw_frame *hello)
{
    struct sw_heartbeat *hb = context;
    const int from = hello->rank, here = hb->t->rank;
    if (from < 0 || from >= hb->t->size || from == here ||
        hello->number != heart_links_proof(hb, from, here, nonce, hello->nonce))
        return false;
    struct sw_heart_socket *link = link_add(hb, &(struct sw_heart_socket){.fd = -1, .peer = from});
    if (!link)
        return false;
    sw_heart_socket_adopt(link, fd);
    hb->peers[from].monitored = true;
    heart_links_greet(hb, link, hello->nonce, nonce);
    heart_links_opened(hb, link, sw_clock());
    return true;
}

static void heart_links_handle(struct sw_heartbeat *hb, struct sw_heart_socket *link,
                               const struct sw_frame *frame, const char *text)
{
    struct sw_heart_peer *peer = &hb->peers[link->peer];
    switch (frame->kind) {
    case SW_FRAME_BEAT:
        peer->announced = frame->number;
        break;
    case SW_FRAME_VERDICT: {
        struct sw_verdict verdict = {.status = (enum sw_status)frame->status,
                                     .rank = frame->rank,
                                     .lost = frame->flags & SW_FRAME_LOST};
        memcpy(verdict.text, text, strlen(text) + 1);
        sw_heart_adopt(hb, &verdict, frame->flags & SW_FRAME_DECIDED);
        break;
    }
    case SW_FRAME_PRINTED:
        if (!hb->printed)
            sw_heart_send(hb, SW_ANY_RANK, frame, NULL);
        hb->printed = true;
        break;
    case SW_FRAME_ENDED:
        peer->ended = true;
        break;
    case SW_FRAME_RELEASE:
        atomic_store_explicit(&hb->release,
                              frame->status == SW_OK ? SW_RELEASE_TOGETHER : SW_RELEASE_ALONE,
                              memory_order_release);
        break;
    case SW_FRAME_BYE:
        peer->left = true;
        break;
    default:
        break; /* a later version's */
    }
}

/* Reads frames and acts on them. false: the link cannot be used any more. */
static bool heart_links_receive(struct sw_heartbeat *hb, struct sw_heart_socket *link, double now)
{
    struct sw_frame frame;
    char text[SW_VERDICT_MAX];
    bool broken;
    const bool connected = sw_heart_socket_fill(link);
    while (sw_heart_socket_take(link, &frame, text, &broken)) {
        if (link->state == SW_SOCKET_GREETING) {
            if (!heart_links_handshake(hb, link, &frame, now))
                return false;
            continue;
        }
        hb->peers[link->peer].received_at = now;
        heart_links_handle(hb, link, &frame, text);
    }
    return connected && !broken;
}

/* Begins to connect to the next address of the peer, in turn. */
static void heart_links_try_next(struct sw_heartbeat *hb, struct sw_heart_socket *link, double now)
{
    const struct sw_rank_address *here = &hb->infos[hb->t->rank].address;
    const struct sw_rank_address *there = &hb->infos[link->peer].address;
    struct sockaddr_in to;
    link->since = now;
    if (sw_rank_address_way(here, there, link->way, &to)) {
        link->way++;
    } else {
        link->way = 1;
        if (!sw_rank_address_way(here, there, 0, &to))
            return;
    }
    sw_heart_socket_connect(link, &to);
}

/* Takes one step of connecting to a peer. */
static void heart_links_connect(struct sw_heartbeat *hb, struct sw_heart_socket *link, double now)
{
    struct pollfd ready = {.fd = link->fd, .events = POLLOUT};
    if (link->state == SW_SOCKET_DOWN && now - link->since > hb->interval / 2 &&
        !hb->peers[link->peer].left)
        heart_links_try_next(hb, link, now);
    else if (link->state == SW_SOCKET_CONNECTING && poll(&ready, 1, 0) == 1)
        sw_heart_socket_connected(link);
    else if (link->state == SW_SOCKET_CONNECTING && now - link->since > TRY_S)
        sw_heart_socket_drop(link);
}

/* Whether a link of ours is not needed any more: the peer has opened one meanwhile. */
static bool heart_links_redundant(const struct sw_heartbeat *hb, const struct sw_heart_socket *link)
{
    return link->state == SW_SOCKET_DOWN && hb->peers[link->peer].linked;
}

/* Takes one step of a link; one that has no more use is marked dead. */
static void heart_links_step(struct sw_heartbeat *hb, struct sw_heart_socket *link, double now)
{
    link->dead = heart_links_redundant(hb, link);
    if (link->state < SW_SOCKET_GREETING && !link->dead)
        heart_links_connect(hb, link, now);
    if (link->state < SW_SOCKET_GREETING)
        return;
    const bool late = link->state == SW_SOCKET_GREETING && now - link->since > 2 * TRY_S;
    if (!late && heart_links_receive(hb, link, now))
        return;
    const bool open = link->state == SW_SOCKET_OPEN;
    sw_heart_socket_drop(link);
    link->since = now;
    link->dead = open;
    if (open)
        sw_heart_gone(hb, link->peer);
}

static bool heart_links_complete(const struct sw_heartbeat *hb)
{
    for (int i = 0; i < hb->t->size; i++)
        if (i != hb->t->rank && !hb->peers[i].linked)
            return false;
    return true;
}

void sw_heart_links(struct sw_heartbeat *hb, double now)
{
    int kept = 0;
    sw_endpoint_step(&hb->endpoint, now, heart_links_accept, hb);
    if (hb->endpoint.listener >= 0 && heart_links_complete(hb)) /* no other rank will connect */
        sw_endpoint_shut(&hb->endpoint);
    for (int i = 0; i < hb->n_links; i++)
        heart_links_step(hb, hb->links[i], now);
    for (int i = 0; i < hb->n_links; i++)
        if (hb->links[i]->dead)
            free(hb->links[i]);
        else
            hb->links[kept++] = hb->links[i];
    hb->n_links = kept;
}

void sw_heart_beat(struct sw_heartbeat *hb, double now)
{
    for (int i = 0; i < hb->n_links; i++) {
        struct sw_heart_socket *link = hb->links[i];
        if (link->state != SW_SOCKET_OPEN)
            continue;
        sw_heart_socket_cap_backoff(link, now);
        if (link->n_out > 0)
            continue;
        const struct sw_frame frame = {
            .kind = SW_FRAME_BEAT,
            .number = atomic_load_explicit(&hb->peers[link->peer].sent, memory_order_relaxed)};
        heart_links_put(link, &frame, NULL);
    }
}

void sw_heart_flush(struct sw_heartbeat *hb)
{
    for (int i = 0; i < hb->n_links; i++) /* a broken one shows when it is read */
        if (hb->links[i]->state >= SW_SOCKET_GREETING)
            (void)sw_heart_socket_flush(hb->links[i]);
}

/* Whether the other end may take the link for open. It may before this end does, when it has the
 * answer to its question and its own is on the way. */
static bool is_known_there(const struct sw_heart_socket *link)
{
    return link->state == SW_SOCKET_OPEN || (link->state == SW_SOCKET_GREETING && link->nonce);
}

static bool heart_links_unsent(const struct sw_heartbeat *hb)
{
    for (int i = 0; i < hb->n_links; i++)
        if (is_known_there(hb->links[i]) && hb->links[i]->n_out > 0 &&
            !hb->peers[hb->links[i]->peer].lost)
            return true;
    return false;
}

void sw_heart_bye(struct sw_heartbeat *hb)
{
    const struct sw_frame frame = {.kind = SW_FRAME_BYE};
    const double until = sw_clock() + BYE_S;
    for (int i = 0; i < hb->n_links; i++)
        if (is_known_there(hb->links[i]))
            heart_links_put(hb->links[i], &frame, NULL);
    sw_heart_flush(hb);
    while (heart_links_unsent(hb) && sw_clock() < until) {
        pthread_mutex_unlock(&hb->lock);
        poll(NULL, 0, 5);
        pthread_mutex_lock(&hb->lock);
        sw_heart_flush(hb);
    }
    for (int i = 0; i < hb->n_links; i++) /* unread bytes would turn the close into a reset */
        if (is_known_there(hb->links[i])) {
            hb->links[i]->n_in = 0;
            (void)sw_heart_socket_fill(hb->links[i]);
        }
}

/* Owns ranks inside one process: each has a mailbox under a lock, with copies of messages. */
#include "base/timed_wait.h"
#include "base/wake.h"
#include "transport/start.h"
#include "transport/transport_ops.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

struct letter {
    struct letter *next;
    struct sw_message message;
    char payload[];
};

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct letter *first[SW_CHANNELS], *last[SW_CHANNELS];
    uint64_t *under_way; /* (size) bytes waiting here, by sender */
    bool closed;
};

/* All ranks of one process; the last rank to leave frees it. */
struct group {
    int size;
    pthread_mutex_t lock;
    int present;
    struct mailbox *boxes; /* (size) */
};

/* State of one rank. */
struct rank {
    struct group *group;
    struct letter *open[SW_CHANNELS]; /* head taken, payload not yet */
};

static struct rank *rank_of(const struct sw_transport *t)
{
    return t->state->own;
}

static struct mailbox *box_of(const struct sw_transport *t, int rank)
{
    return &rank_of(t)->group->boxes[rank];
}

static enum sw_status self_send(struct sw_transport *t, enum sw_channel channel, int peer,
                                const struct sw_message *message, const void *payload)
{
    struct mailbox *box = box_of(t, peer);
    struct letter *letter = message->bytes < SIZE_MAX - sizeof *letter
                                ? malloc(sizeof *letter + (size_t)message->bytes)
                                : NULL;
    if (!letter)
        return sw_fail(SW_ENOMEM, "no memory to send %llu bytes to rank %d",
                       (unsigned long long)message->bytes, peer);
    letter->next = NULL;
    letter->message = *message;
    if (message->bytes)
        memcpy(letter->payload, payload, (size_t)message->bytes);
    pthread_mutex_lock(&box->lock);
    if (box->closed) {
        pthread_mutex_unlock(&box->lock);
        free(letter);
        return SW_OK; /* a wait for that rank reports that it is gone */
    }
    if (box->last[channel])
        box->last[channel]->next = letter;
    else
        box->first[channel] = letter;
    box->last[channel] = letter;
    box->under_way[t->rank] += message->bytes;
    pthread_cond_signal(&box->came);
    pthread_mutex_unlock(&box->lock);
    return SW_OK;
}

static enum sw_status self_pending(struct sw_transport *t, int peer, uint64_t *bytes)
{
    *bytes = 0;
    if (peer == SW_ANY_RANK) /* a message in a mailbox has left this rank */
        return SW_OK;
    struct mailbox *box = box_of(t, peer);
    pthread_mutex_lock(&box->lock);
    *bytes = box->closed ? 0 : box->under_way[t->rank];
    pthread_mutex_unlock(&box->lock);
    return SW_OK;
}

/*
 * The link that holds the first letter from rank `from`, else the link at the end; *before: the
 * letter before it, or NULL. Under the lock.
 */
static struct letter **self_find(struct mailbox *box, enum sw_channel channel, int from,
                                 struct letter **before)
{
    struct letter **link = &box->first[channel];
    *before = NULL;
    while (*link && from != SW_ANY_RANK && (*link)->message.source != from) {
        *before = *link;
        link = &(*link)->next;
    }
    return link;
}

static enum sw_status self_take(struct sw_transport *t, enum sw_channel channel, int from,
                                struct sw_message *message, bool *found)
{
    struct mailbox *box = box_of(t, t->rank);
    struct letter *before, *letter;
    pthread_mutex_lock(&box->lock);
    struct letter **link = self_find(box, channel, from, &before);
    letter = *link;
    if (letter) {
        *link = letter->next;
        if (box->last[channel] == letter)
            box->last[channel] = before;
        box->under_way[letter->message.source] -= letter->message.bytes;
    }
    pthread_mutex_unlock(&box->lock);
    *found = letter != NULL;
    if (!letter)
        return SW_OK;
    *message = letter->message;
    free(rank_of(t)->open[channel]);
    rank_of(t)->open[channel] = letter;
    return SW_OK;
}

static enum sw_status self_peek(struct sw_transport *t, enum sw_channel channel, int from,
                                bool *found)
{
    struct mailbox *box = box_of(t, t->rank);
    struct letter *before;
    pthread_mutex_lock(&box->lock);
    *found = *self_find(box, channel, from, &before) != NULL;
    pthread_mutex_unlock(&box->lock);
    return SW_OK;
}

static enum sw_status self_payload(struct sw_transport *t, enum sw_channel channel,
                                   const struct sw_message *message, void *payload, bool *done)
{
    struct letter **open = &rank_of(t)->open[channel];
    memcpy(payload, (*open)->payload, (size_t)message->bytes);
    free(*open);
    *open = NULL;
    *done = true;
    return SW_OK;
}

/* Ranks that are threads, as tests have them, do not notice *wake before the end. */
static void self_sleep(struct sw_transport *t, double seconds, const int *wake)
{
    if (wake && t->size == 1) {
        sw_wake_sleep(wake, seconds);
        return;
    }
    struct mailbox *box = box_of(t, t->rank);
    pthread_mutex_lock(&box->lock);
    if (!box->first[SW_CHANNEL_DATA] && !box->first[SW_CHANNEL_COLLECTIVE])
        sw_timed_wait(&box->came, &box->lock, seconds);
    pthread_mutex_unlock(&box->lock);
}

static void mailbox_empty(struct mailbox *box)
{
    for (int c = 0; c < SW_CHANNELS; c++)
        while (box->first[c]) {
            struct letter *letter = box->first[c];
            box->first[c] = letter->next;
            free(letter);
        }
    memset(box->last, 0, sizeof box->last);
}

static void group_free(struct group *group)
{
    for (int i = 0; i < group->size && group->boxes; i++) {
        mailbox_empty(&group->boxes[i]);
        free(group->boxes[i].under_way);
        pthread_cond_destroy(&group->boxes[i].came);
        pthread_mutex_destroy(&group->boxes[i].lock);
    }
    free(group->boxes);
    pthread_mutex_destroy(&group->lock);
    free(group);
}

static void self_close(struct sw_transport *t)
{
    struct rank *rank = rank_of(t);
    struct group *group = rank->group;
    struct mailbox *box = box_of(t, t->rank);
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    mailbox_empty(box);
    pthread_mutex_unlock(&box->lock);
    for (int c = 0; c < SW_CHANNELS; c++)
        free(rank->open[c]);
    free(rank);
    pthread_mutex_lock(&group->lock);
    const bool last = --group->present == 0;
    pthread_mutex_unlock(&group->lock);
    if (last)
        group_free(group);
}

static const struct sw_transport_ops self_ops = {
    .name = "self",
    .send = self_send,
    .pending = self_pending,
    .take = self_take,
    .peek = self_peek,
    .payload = self_payload,
    .sleep = self_sleep,
    .close = self_close,
};

static struct group *group_new(int n)
{
    struct group *group = calloc(1, sizeof *group);
    if (!group)
        return NULL;
    pthread_mutex_init(&group->lock, NULL);
    group->boxes = calloc((size_t)n, sizeof *group->boxes);
    bool ok = group->boxes != NULL;
    for (; ok && group->size < n; group->size++) {
        struct mailbox *box = &group->boxes[group->size];
        pthread_mutex_init(&box->lock, NULL);
        sw_timed_wait_init(&box->came);
        box->under_way = calloc((size_t)n, sizeof *box->under_way);
        ok = box->under_way != NULL;
    }
    if (!ok) {
        group_free(group);
        return NULL;
    }
    return group;
}

static enum sw_status self_rank_new(struct group *group, int rank,
                                    const struct sw_transport_options *options,
                                    struct sw_rank_info *info, struct sw_transport **out)
{
    struct sw_transport_rank *ranks = calloc((size_t)group->size, sizeof *ranks);
    struct rank *own = calloc(1, sizeof *own);
    struct sw_heartbeat *heartbeat = NULL;
    enum sw_status status = ranks && own ? sw_heartbeat_open(true, info, &heartbeat)
                                         : sw_fail(SW_ENOMEM, "no memory for rank %d", rank);
    for (int i = 0; status == SW_OK && i < group->size; i++)
        if (gethostname(ranks[i].host, SW_HOST_MAX - 1) != 0)
            snprintf(ranks[i].host, SW_HOST_MAX, "localhost");
    if (status == SW_OK)
        *out = sw_transport_new(&self_ops, rank, group->size, ranks, heartbeat, options);
    if (status == SW_OK && !*out) {
        sw_heartbeat_close(heartbeat);
        status = sw_fail(SW_ENOMEM, "no memory for rank %d", rank);
    }
    if (status != SW_OK) {
        free(own);
        free(ranks);
        return status;
    }
    own->group = group;
    (*out)->state->own = own;
    return SW_OK;
}

enum sw_status sw_transport_open_self(int n, const struct sw_transport_options *options,
                                      struct sw_transport **out)
{
    struct group *group = n > 0 ? group_new(n) : NULL;
    struct sw_rank_info *infos = n > 0 ? calloc((size_t)n, sizeof *infos) : NULL;
    enum sw_status status = SW_OK;
    for (int i = 0; i < n; i++)
        out[i] = NULL;
    if (!group || !infos) {
        status = sw_fail(SW_ENOMEM, "no memory for %d ranks in one process", n);
        goto no_group;
    }
    for (int i = 0; i < n && status == SW_OK; i++) {
        status = self_rank_new(group, i, options, &infos[i], &out[i]);
        group->present += status == SW_OK;
    }
    for (int i = 0; i < n && status == SW_OK; i++)
        status = sw_heartbeat_start(out[i]->state->heartbeat, out[i], infos);
    if (status != SW_OK)
        goto no_rank;
    free(infos);
    return SW_OK;
no_rank:
    for (int i = 0; i < group->present; i++) {
        free(rank_of(out[i]));
        sw_transport_free(out[i]);
        out[i] = NULL; /* callers may check it */
    }
no_group:
    if (group)
        group_free(group);
    free(infos);
    return status;
}

/*
 * Ends this process when its mpirun has died. One of several ranks notices that through MPI; a
 * single rank does not open MPI.
 */
static void end_with_mpirun(void)
{
    if (getenv("OMPI_COMM_WORLD_SIZE"))
        prctl(PR_SET_PDEATHSIG, SIGKILL);
}

enum sw_status sw_transport_open_alone(const struct sw_transport_options *options,
                                       struct sw_transport **out)
{
    end_with_mpirun();
    SW_TRY(sw_transport_open_self(1, options, out));
    (*out)->state->process = true;
    sw_start_report(0, SW_FACT_STARTED);
    sw_start_report(0, SW_FACT_MET);
    return SW_OK;
}

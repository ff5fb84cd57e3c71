/*
 * Signs of life between ranks, and the verdict that ends a job, outside MPI (which notices neither
 * a frozen host nor a cut, and cannot say anything once it hangs).
 *
 * A thread a rank sends a beat once a second over TCP, whatever the main thread is doing: to rank
 * 0, to its neighbours, and to every rank that it has sent a message to. Not to all: a job hangs
 * only by a link that it uses, and rank 0 hears of the rest. A peer whose connection closes is
 * gone; one that is silent for `silence_s` is lost. The thread also looks after its own main
 * thread: one that neither moves on for `stall_s`, nor leaves in time when the job has failed or a
 * stop was asked for, is ended with its process.
 *
 * The first verdict goes to the status file, then to all ranks; rank 0's stands when there are two.
 */
#ifndef SW_TRANSPORT_HEARTBEAT_H
#define SW_TRANSPORT_HEARTBEAT_H

#include "transport/address.h"
#include "transport/verdict.h"

struct sw_transport;
struct sw_heartbeat;

/* How to reach a rank; plain bytes that each rank learns of all others before they start. */
struct sw_rank_info {
    struct sw_rank_address place;
    uint64_t key[2];           /* random: who knows it is of this job */
    int32_t scribe;            /* sees the folder of the status file, which a launcher reads */
    char job[SW_JOB_NAME_MAX]; /* a name for the job; rank 0's is taken */
};

/*
 * Listens, and fills this rank's info. `local`: loopback joins all ranks of the job
 * (sw_rank_address_machine), and no other host can connect. SW_EDEVICE: no socket, no thread.
 */
enum sw_status sw_heartbeat_open(bool local, struct sw_rank_info *info, struct sw_heartbeat **out);
/*
 * Starts the thread; infos (t->size) are copied. Links come up by themselves; one that does not
 * within silence_s is a verdict.
 */
enum sw_status sw_heartbeat_start(struct sw_heartbeat *hb, const struct sw_transport *t,
                                  const struct sw_rank_info *infos);
/* Says good-bye and joins the thread. NULL is fine. */
void sw_heartbeat_close(struct sw_heartbeat *hb);

/* From the rank's main thread. */

/* "I move on"; `waiting`: for a message of another rank. One atomic addition. */
void sw_heartbeat_step(struct sw_heartbeat *hb, bool waiting);
/* A whole message was handed to MPI for `peer`, whose heartbeat matters from now on … */
void sw_heartbeat_sent(struct sw_heartbeat *hb, int peer);
/* … or has come from it. */
void sw_heartbeat_taken(struct sw_heartbeat *hb, int peer);
/* What messages say of a rank beside its host ("layers 4-7"). */
void sw_heartbeat_label(struct sw_heartbeat *hb, int rank, const char *text);
/* Is there a verdict? Cheap. */
bool sw_heartbeat_judged(const struct sw_heartbeat *hb);
/* SW_OK and "" when there is none. */
void sw_heartbeat_verdict(struct sw_heartbeat *hb, struct sw_verdict *out);
/* This rank has failed. Nothing happens when there is a verdict already. */
void sw_heartbeat_raise(struct sw_heartbeat *hb, const struct sw_verdict *verdict);
/* This rank's work is over, well or not. */
void sw_heartbeat_end(struct sw_heartbeat *hb);
/* After that: may this rank leave, and are all here to leave together? */
enum sw_release { SW_RELEASE_NOT_YET, SW_RELEASE_TOGETHER, SW_RELEASE_ALONE };
enum sw_release sw_heartbeat_release(const struct sw_heartbeat *hb);

#endif

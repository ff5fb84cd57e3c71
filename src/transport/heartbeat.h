/*
 * Heartbeats between ranks, and the verdict that ends a job. They do not use MPI, which notices
 * neither a frozen host nor a cut link, and cannot report anything once it hangs.
 *
 * One thread of each rank sends a beat once a second over TCP, whatever the main thread is doing:
 * to rank 0, to its neighbours, and to every rank that it has sent a message to. Other ranks need
 * none: a job hangs only on a link that it uses, and rank 0 receives every verdict. A peer whose
 * connection closes is gone; one that sends nothing for `silence_s` is lost. The thread also
 * monitors its own main thread: the process is ended when the main thread makes no progress for
 * `stall_s`, or does not leave in time after a failure or a stop signal.
 *
 * The first verdict goes to the status file, then to all ranks; of two, that of rank 0 stands.
 */
#ifndef SW_TRANSPORT_HEARTBEAT_H
#define SW_TRANSPORT_HEARTBEAT_H

#include "transport/address.h"
#include "transport/verdict.h"

struct sw_transport;
struct sw_heartbeat;

/* How to connect to a rank; plain bytes that all ranks exchange before the heartbeat starts. */
struct sw_rank_info {
    struct sw_rank_address address;
    uint64_t key[2];       /* random; knowing it proves that a peer is of this job */
    int32_t writes_status; /* 1: this rank sees the folder of a status file that a launcher reads */
    char job[SW_JOB_NAME_MAX]; /* a name for the job; all ranks use that of rank 0 */
};

/*
 * Listens, and fills the info of this rank. `local`: all ranks of the job are on this machine
 * (sw_rank_address_machine), so it listens on loopback only. SW_EDEVICE when there is no socket.
 * The caller frees *out with sw_heartbeat_close.
 */
enum sw_status sw_heartbeat_open(bool local, struct sw_rank_info *info, struct sw_heartbeat **out);
/*
 * Starts the thread; infos (t->size) are copied. The thread connects to the peers; a connection
 * that is not open within silence_s leads to a verdict. SW_EDEVICE when there is no thread.
 */
enum sw_status sw_heartbeat_start(struct sw_heartbeat *hb, const struct sw_transport *t,
                                  const struct sw_rank_info *infos);
/* Announces to the peers that this rank leaves, joins the thread, frees. NULL is fine. */
void sw_heartbeat_close(struct sw_heartbeat *hb);

/* The functions below are called by the rank's main thread. */

/* Records progress of the main thread, or that it waits for a message. One atomic addition. */
void sw_heartbeat_step(struct sw_heartbeat *hb, bool waiting);
/* Records that a whole message was handed to MPI for `peer`, which is monitored from now on. */
void sw_heartbeat_sent(struct sw_heartbeat *hb, int peer);
/* Records that a whole message from `peer` has arrived. */
void sw_heartbeat_taken(struct sw_heartbeat *hb, int peer);
/* Sets what error messages state of a rank after its host ("layers 4-7"); the text is copied. */
void sw_heartbeat_label(struct sw_heartbeat *hb, int rank, const char *text);
/* Whether there is a verdict; costs one atomic load. */
bool sw_heartbeat_judged(const struct sw_heartbeat *hb);
/* Copies the verdict; its status is SW_OK and its text "" when there is none. */
void sw_heartbeat_verdict(struct sw_heartbeat *hb, struct sw_verdict *out);
/* Reports that this rank has failed; has no effect when there is a verdict already. */
void sw_heartbeat_raise(struct sw_heartbeat *hb, const struct sw_verdict *verdict);
/* Reports that this rank has ended its work, with success or not. */
void sw_heartbeat_end(struct sw_heartbeat *hb);
/* After sw_heartbeat_end: whether this rank may leave, and whether all ranks leave together. */
enum sw_release { SW_RELEASE_NOT_YET, SW_RELEASE_TOGETHER, SW_RELEASE_ALONE };
enum sw_release sw_heartbeat_release(const struct sw_heartbeat *hb);

#endif

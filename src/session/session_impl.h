/* Shared by the files of src/session/: the steps of starting a session. Internal to this folder. */
#ifndef SW_SESSION_IMPL_H
#define SW_SESSION_IMPL_H

#include "session/params.h"
#include "session/session.h"

/* ---- session_plan.c */

/* The format of the checkpoint's matrices: the type of the first layer's QKV weights, else that of
 * config.json. */
enum sw_dtype sw_session_stored_format(const struct sw_session *session);
/* Rank 0 plans and sends params and slices to all ranks. After the probe. */
enum sw_status sw_session_agree(struct sw_session *session);

/* ---- backends.c */

/* Opens the backends that this rank's slice needs. SW_ENOMEM when the memory that was planned is
 * not free any more. */
enum sw_status sw_session_backends(struct sw_session *session);
void sw_session_backends_close(struct sw_session *session);
/* PCI bus id of the GPU assigned to this rank; "": none. */
const char *sw_session_bus_id(const struct sw_session *session);

/* ---- session_report.c */

/* After the peaks were collected: how often experts from disk were at hand, beside the plan's
 * number. */
void sw_session_log_experts(const struct sw_session *session);

/* ---- loading.c */

/*
 * Opens the backends and loads this rank's slice. Rank 0 shows the progress of all ranks and waits
 * for them. With `is_short`, memory that is not free any more is no failure: when all ranks have
 * finished, *is_short is set on every rank.
 */
enum sw_status sw_session_load(struct sw_session *session, bool *is_short);

#endif

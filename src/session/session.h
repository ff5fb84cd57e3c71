/*
 * A model open over the ranks of a job: the ranks, the model, a plan, a worker with its weights
 * loaded. Every rank opens the same session; rank 0 is the driver, the others are workers:
 *   rank 0: open, tokenizer, start, requests to the driver, stop, report, end
 *   others: open, work, end
 * Nothing here reads a command line, prints on standard output or ends the process, but for a lost
 * rank (sw_transport_finish).
 */
#ifndef SW_SESSION_SESSION_H
#define SW_SESSION_SESSION_H

#include "backend/gpu_library.h"
#include "checkpoint/reader.h"
#include "engine/driver.h"
#include "model/footprint.h"
#include "plan/plan.h"
#include "probe/probe.h"
#include "session/settings.h"
#include "text/tokenizer.h"

#include <jansson.h>

/* The most memory that a process used, in bytes, and what it made of experts that move. */
struct sw_peak {
    uint64_t host;
    uint64_t gpu;   /* what it allocated on the GPU, without the CUDA context */
    bool by_expert; /* it has such */
    struct sw_expert_stats experts;
};

struct sw_session {
    struct sw_session_settings settings;
    struct sw_transport *transport;
    struct sw_model *model;
    struct sw_tensors tensors; /* empty with random weights */
    struct sw_reader *reader;
    struct sw_tokenizer *tokenizer; /* rank 0, after sw_session_tokenizer; else NULL */
    struct sw_backend *cpu, *gpu;   /* NULL: this rank's slice needs none */
    const struct sw_gpu_library *gpu_library;
    struct sw_pool *pool;     /* threads that prepare the GPU's weights and sample; NULL: no GPU */
    uint64_t gpu_workspace;   /* bytes of the open GPU backend's work buffers */
    struct sw_worker *worker; /* this rank's stage */
    struct sw_driver *driver; /* rank 0; else NULL */
    struct sw_footprint_params params;
    struct sw_engine_slice *slices; /* (transport->size) */
    int vocab_limit;                /* sampled ids are below it */
    uint64_t *expert_uses; /* (n_layers, n_experts) learnt from settings.popularity; NULL: none */
    struct sw_probe probe; /* of all ranks, the same on every rank; valid when `probed` */
    bool probed;
    bool warned;  /* the probe's warnings were logged */
    bool skipped; /* there is nothing to compute, and nothing was loaded */
    /* rank 0 only */
    struct sw_session_defaults defaults;
    struct sw_footprint footprint;
    double *shares; /* (n_experts) of plan_options.popularity */
    struct sw_plan_options plan_options;
    struct sw_plan plan;
    double load_s;
    struct sw_peak *peaks; /* (transport->size) */
};

/* Joins the job, opens the model's config and, unless weights are random, its tensor directory.
 * *out is to be ended by sw_session_end, also on failure; NULL without memory. */
enum sw_status sw_session_open(const struct sw_session_settings *settings, struct sw_session **out);
/* On rank 0 opens the model's tokenizer. When the model has none: SW_EMODEL if `needed`, else
 * SW_OK. */
enum sw_status sw_session_tokenizer(struct sw_session *session, bool needed);
/* Plans and loads. Every rank calls it; only rank 0's defaults count, others may give NULL. */
enum sw_status sw_session_start(struct sw_session *session,
                                const struct sw_session_defaults *defaults);
/* On rank 0 in place of sw_session_start, when there is nothing to compute. */
enum sw_status sw_session_skip(struct sw_session *session);
/* The whole part of a rank other than 0: starts, works until rank 0 stops the session. */
enum sw_status sw_session_work(struct sw_session *session);
/* Whether this is rank 0. */
bool sw_session_is_driver(const struct sw_session *session);
/*
 * When the work is done: ends the workers' loops and collects the peak memory of every rank. Every
 * rank calls it, rank 0 before it reports.
 */
enum sw_status sw_session_stop(struct sw_session *session);
/* After sw_session_stop, in place of sw_session_end: frees the session, and returns its ranks for
 * the settings of another one (settings.joined). Every rank calls it. */
struct sw_transport *sw_session_leave(struct sw_session *session);
/*
 * Ends the job on every rank and frees the session. Returns the status that all ranks agreed on: a
 * failure of any rank, which was printed once in the whole job, or else SW_OK.
 */
enum sw_status sw_session_end(struct sw_session *session, enum sw_status status);
/* The plan's prediction, {"load_s": …, "s_per_token": …, …}. NULL: no memory. The caller frees. */
json_t *sw_session_predicted(const struct sw_session *session);
/* Threads of this rank for other work between a batch and the next, after sw_session_start: those
 * of its CPU backend, else threads that are started for it. Borrowed. SW_EDEVICE: they cannot be.
 */
enum sw_status sw_session_pool(struct sw_session *session, struct sw_pool **pool);
/* A list with an object per rank: host, layers, planned bytes, peak bytes, share of the time in
 * which it computed, experts from disk. The caller frees. */
json_t *sw_session_ranks(const struct sw_session *session);

#endif

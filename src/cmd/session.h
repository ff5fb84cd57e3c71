/*
 * What the verbs that compute share: the job's ranks, the model, a plan, an engine with its weights
 * loaded. Every rank runs the same verb; rank 0 is the driver, the others are workers.
 */
#ifndef SW_CMD_SESSION_H
#define SW_CMD_SESSION_H

#include "backend/gpu_library.h"
#include "checkpoint/reader.h"
#include "cmd/options.h"
#include "engine/engine.h"
#include "model/footprint.h"
#include "plan/plan.h"
#include "probe/probe.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <signal.h>

/* A verb's defaults where the command line does not choose; set before sw_session_start. */
struct sw_session_defaults {
    enum sw_objective objective;
    int context;       /* positions, at most those of the model; 0: sw_params_resolve's default */
    int slots;         /* sequences under way, fewer where memory is short; 0: one */
    int prompt_tokens; /* of a request; 0: sw_default_prompt */
    int new_tokens;    /* of a request */
};

/* The most memory that a process used, in bytes. */
struct sw_peak {
    uint64_t host;
    uint64_t gpu; /* what it allocated on the GPU, without the CUDA context */
};

struct sw_session {
    struct sw_call *call;
    struct sw_transport *transport;
    struct sw_model *model;
    struct sw_tensors tensors; /* empty with --weights-from random */
    struct sw_reader *reader;
    struct sw_tokenizer *tokenizer; /* rank 0, after sw_session_tokenizer; else NULL */
    struct sw_backend *cpu, *gpu;   /* NULL: this rank's slice needs none */
    const struct sw_gpu_library *gpu_library;
    struct sw_pool *pool;   /* threads that prepare the GPU's weights and sample; NULL: no GPU */
    uint64_t gpu_workspace; /* bytes of the open GPU backend's work buffers */
    struct sw_engine *engine;
    struct sw_footprint_params params;
    struct sw_engine_slice *slices; /* (transport->size) */
    int vocab_limit;                /* sampled ids are below it */
    struct sw_probe probe;          /* of all ranks, the same on every rank; valid when `probed` */
    bool probed;
    bool warned;  /* the probe's warnings were logged */
    bool skipped; /* there is nothing to compute, and nothing was loaded */
    /* rank 0 only */
    struct sw_session_defaults defaults;
    struct sw_footprint footprint;
    struct sw_plan_options plan_options;
    struct sw_plan plan;
    double load_s;
    struct sw_peak *peaks; /* (transport->size) */
};

/*
 * The whole life of a verb that computes. Opens the session on every rank; on rank 0 runs `drive`,
 * which starts the session, works, stops it and reports; on the others runs the worker loop; ends
 * the job.
 */
enum sw_status sw_session_run(struct sw_call *call, enum sw_status (*drive)(struct sw_session *s));
/* Joins the job, opens the model's config and, unless weights are random, its tensor directory.
 * *out is to be ended by sw_session_end, also on failure; NULL without memory. */
enum sw_status sw_session_open(struct sw_call *call, struct sw_session **out);
/* On rank 0 opens the model's tokenizer. When the model has none: SW_EMODEL if `needed`, else
 * SW_OK. */
enum sw_status sw_session_tokenizer(struct sw_session *session, bool needed);
/*
 * Plans and loads. Every rank calls it. `positions` is the context without --context; 0: the
 * default. Only rank 0's value counts.
 */
enum sw_status sw_session_start(struct sw_session *session, int positions);
/* On rank 0 in place of sw_session_start, when there is nothing to compute. */
enum sw_status sw_session_skip(struct sw_session *session);
/* Whether this is rank 0. */
bool sw_session_is_driver(const struct sw_session *session);
/*
 * When the work is done: ends the workers' loops and collects the peak memory of every rank. Every
 * rank calls it, rank 0 before it reports.
 */
enum sw_status sw_session_stop(struct sw_session *session);
/*
 * Ends the job on every rank and frees the session. Returns the status that all ranks agreed on: a
 * failure of any rank, which was printed once in the whole job, or else SW_OK.
 */
enum sw_status sw_session_end(struct sw_session *session, enum sw_status status);
/* The plan's prediction, {"load_s": …, "s_per_token": …, …}. NULL: no memory. The caller frees. */
json_t *sw_session_predicted(const struct sw_session *session);
/* A list with an object per rank: host, layers, planned bytes, peak bytes, share of the time in
 * which it computed. The caller frees. */
json_t *sw_session_ranks(const struct sw_session *session);
/* Prints `root` (NULL: SW_ENOMEM) on stdout, indented, and frees it. SW_EIO when stdout fails. */
enum sw_status sw_json_print(json_t *root);

/* params.c: the formats and sizes for a footprint, from the options and the model. `stored`: the
 * checkpoint's format; `positions`: the context without --context, 0: the default. SW_EUSAGE when
 * the model has a smaller context. */
enum sw_status sw_params_resolve(const struct sw_options *options, const struct sw_model *model,
                                 enum sw_dtype stored, int positions,
                                 struct sw_footprint_params *out);
/* The default number of prompt tokens: SW_DEFAULT_PROMPT, or what a context (0: without limit) has
 * room for next to the new tokens; at least one. */
int sw_default_prompt(int context, int new_tokens);
/* Positions that a request needs; INT_MAX at most. */
int sw_positions(int prompt, int new_tokens);
/* Planner options from the command line. `objective` is the default. out->slices borrows *slices,
 * which the caller frees; NULL without --slices. SW_EUSAGE when an option is not valid. */
enum sw_status sw_plan_options_resolve(const struct sw_options *options,
                                       enum sw_objective objective, int **slices,
                                       struct sw_plan_options *out);
/*
 * A sw_footprint_at whose context is a struct sw_params_of: the footprint of the same command line
 * with another --context, --slots or --weights, and with the max_batch_tokens and KV format that
 * follow from them.
 */
struct sw_params_of {
    const struct sw_options *options;
    const struct sw_model *model;
    enum sw_dtype stored;
};
enum sw_status sw_params_footprint(void *of, const struct sw_footprint_params *params,
                                   struct sw_footprint *out);

/*
 * stop_signals.c: from now on the signals TERM, INT, USR1 and HUP (unless under nohup) set this
 * flag instead of ending the process. Every wait of a transport that has the flag then ends with
 * SW_EINTERRUPTED.
 */
const volatile sig_atomic_t *sw_stop_catch(void);

/* backends.c: opens the backends that this rank's slice needs. SW_ENOMEM when the memory that was
 * planned is not free any more. */
enum sw_status sw_session_backends(struct sw_session *session);
void sw_session_backends_close(struct sw_session *session);
/* PCI bus id of the GPU assigned to this rank; "": none. */
const char *sw_session_bus_id(const struct sw_session *session);

/*
 * loading.c: opens the backends and loads this rank's slice. Rank 0 shows the progress of all ranks
 * and waits for them. With `is_short`, memory that is not free any more is no failure: when all
 * ranks have finished, *is_short is set on every rank.
 */
enum sw_status sw_session_load(struct sw_session *session, bool *is_short);

#endif

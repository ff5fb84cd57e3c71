/*
 * What the verbs that compute have in common: the job's ranks, the model, a plan, an engine with
 * its weights loaded. Every rank runs the same verb; rank 0 leads, the others serve.
 */
#ifndef SW_CMD_SESSION_H
#define SW_CMD_SESSION_H

#include "backend/gpu_library.h"
#include "cmd/options.h"
#include "engine/engine.h"
#include "format/reader.h"
#include "model/footprint.h"
#include "plan/plan.h"
#include "probe/probe.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <signal.h>

/* What a verb would have where the command line leaves the choice; set before the start. */
struct sw_session_defaults {
    enum sw_objective objective;
    int context;                   /* positions, as far as the model has them; 0: the usual */
    int slots;                     /* this many, or as many as fit; 0: one */
    int prompt_tokens, new_tokens; /* of a request; prompt_tokens 0: the usual */
};

/* What a process took at most; of a GPU what it allocated there, without the driver's own. */
struct sw_peak {
    uint64_t host, gpu;
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
    struct sw_pool *pool;   /* makes the GPU's weights, samples; NULL: no GPU */
    uint64_t gpu_workspace; /* that the open GPU backend took for itself */
    struct sw_engine *engine;
    struct sw_footprint_params params;
    struct sw_engine_slice *slices; /* (transport->size) */
    int vocab_limit;
    struct sw_probe probe; /* what every rank has; the same on all; once … */
    bool probed;
    bool warned;  /* of too many threads */
    bool skipped; /* there was nothing to compute, and nothing has been loaded */
    /* rank 0 */
    struct sw_session_defaults defaults;
    struct sw_footprint footprint;
    struct sw_plan_options plan_options;
    struct sw_plan plan;
    double load_s;
    struct sw_peak *peaks; /* (transport->size) */
};

/*
 * The whole life of a verb that computes: opens the session on every rank, runs `lead` on rank 0
 * (which starts, works, stops and reports) while the others serve, and ends the job.
 */
enum sw_status sw_session_run(struct sw_call *call, enum sw_status (*lead)(struct sw_session *s));
/* Joins the job, opens the model's config and, unless weights are made up, its tensor directory. */
enum sw_status sw_session_open(struct sw_call *call, struct sw_session **out);
/* Rank 0: opens the model's tokenizer; `needed` false: it is fine when there is none. */
enum sw_status sw_session_tokenizer(struct sw_session *session, bool needed);
/*
 * Plans for a context of `positions` (rank 0's counts; 0: the default) unless --context says
 * otherwise, and loads. Every rank calls it.
 */
enum sw_status sw_session_start(struct sw_session *session, int positions);
/* Rank 0, instead of sw_session_start: there is nothing to compute after all. */
enum sw_status sw_session_skip(struct sw_session *session);
bool sw_session_leads(const struct sw_session *session);
/*
 * The work is done: rank 0 lets the others stop serving, and learns what memory each took. Every
 * rank calls it, rank 0 before it reports.
 */
enum sw_status sw_session_stop(struct sw_session *session);
/*
 * Ends the job on every rank frees the session, and
 * returns what all ranks agreed on; a failure has been printed once in the whole job.
 */
enum sw_status sw_session_end(struct sw_session *session, enum sw_status status);
/* {"load_s": …, "s_per_token": …, …} of the plan. */
json_t *sw_session_predicted(const struct sw_session *session);
/* One object per rank: host, layers, planned bytes, peak bytes, the share of its time it computed.
 */
json_t *sw_session_ranks(const struct sw_session *session);
/* Prints root on stdout, indented, and frees it. */
enum sw_status sw_json_print(json_t *root);

/* params.c: formats and sizes that a footprint needs, from the options and the model. */
enum sw_status sw_params_resolve(const struct sw_options *options, const struct sw_model *model,
                                 enum sw_dtype stored, int positions,
                                 struct sw_footprint_params *out);
/* Of a request that nobody described: SW_DEFAULT_PROMPT tokens, or what a context (0: without a
 * limit) has room for beside the new ones, but one at least. */
int sw_default_prompt(int context, int new_tokens);
int sw_positions(int prompt, int new_tokens); /* that a request needs; INT_MAX at most */
enum sw_status sw_plan_options_resolve(const struct sw_options *options,
                                       enum sw_objective objective, int **slices,
                                       struct sw_plan_options *out);
/*
 * sw_footprint_at over a struct sw_params_of: what the same command line would take with another
 * --context, --slots or --weights; what follows from these (rows, KV format) follows here, too.
 */
struct sw_params_of {
    const struct sw_options *options;
    const struct sw_model *model;
    enum sw_dtype stored;
};
enum sw_status sw_params_footprint(void *of, const struct sw_footprint_params *params,
                                   struct sw_footprint *out);

/*
 * stop_signals.c: from now on TERM, INT, USR1 and HUP (unless under nohup) set this flag instead of
 * ending the process; every wait of a transport that is given it then ends with SW_EINTERRUPTED.
 */
const volatile sig_atomic_t *sw_stop_catch(void);

/* backends.c: opens what this rank's slice needs. SW_ENOMEM: it is not there any more. */
enum sw_status sw_session_backends(struct sw_session *session);
void sw_session_backends_close(struct sw_session *session);
/* The place of the GPU that this rank was dealt; "": none. */
const char *sw_session_bus_id(const struct sw_session *session);

/*
 * loading.c: opens the backends and loads this rank's slice; rank 0 shows a bar over all ranks and
 * waits for them. With *is_short given, memory that turns out not to be there is no failure: it
 * tells every rank, when all have come to an end.
 */
enum sw_status sw_session_load(struct sw_session *session, bool *is_short);

#endif

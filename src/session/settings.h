/*
 * What a session is opened and started with: plain values that a command line, a server or a test
 * fills. Messages name the options of the command line that set them.
 */
#ifndef SW_SESSION_SETTINGS_H
#define SW_SESSION_SETTINGS_H

#include "model/weight_choice.h"
#include "plan/plan.h"
#include "transport/transport.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* The same on every rank. Pointers must outlive the session. */
struct sw_session_settings {
    const char *model;   /* a directory as the hub publishes it, or its config.json */
    bool random_weights; /* no weights are read; config.json is enough */
    struct sw_weight_choice weights;
    enum sw_dtype kv;                 /* SW_OTHER: as the weights */
    int context, slots, chunk;        /* 0: as the defaults below, or as sw_params_resolve says */
    uint64_t gpu_memory, host_memory; /* limits per rank in bytes; UINT64_MAX: none */
    const int *slices;                /* (n_slices) layers per rank by hand; NULL: planned */
    int n_slices;
    bool has_objective; /* false: the objective is that of the defaults */
    enum sw_objective objective;
    int threads;            /* of each rank; 0: one per core it may use */
    const char *isa;        /* instruction set; NULL: the best that all ranks have */
    bool host_only;         /* activations go through host memory, also between GPUs */
    bool share_gpus;        /* ranks that outnumber a host's GPUs share them */
    bool measures;          /* measure the machine's speeds even for the smallest model */
    bool quiet;             /* no progress bar on stderr */
    const char *timeline;   /* path of a trace of all ranks' activities to write; NULL: none */
    const char *routes;     /* path of a file to write of which experts are chosen; NULL: none */
    const char *popularity; /* on rank 0: path of such a file, of an earlier run; NULL: none */
    /* The ranks that an earlier session has left (sw_session_leave); NULL: the session joins them.
     */
    struct sw_transport *joined;
    /* As in struct sw_transport_options. */
    double silence_s;                  /* 0: the transport's default */
    const volatile sig_atomic_t *stop; /* not 0: ends every wait; may be NULL */
    const char *safe;                  /* part of a failure's message; may be NULL */
};

/* Everything chosen by the program, no limits. */
struct sw_session_settings sw_session_settings_default(const char *model);

/* What counts where the settings do not choose; given when the session starts. */
struct sw_session_defaults {
    enum sw_objective objective;
    int positions;  /* the context, if more than usual or if memory is short; 0: the usual one */
    int context;    /* instead of the usual context, at most the model's; 0: the usual one */
    int slots;      /* sequences under way, fewer where memory is short; 0: one */
    int most_slots; /* more than these are chosen where that serves more (plan/plan_slots.h), up to
                       this; 0: no such choice */
    int prompt_tokens; /* of a request; 0: sw_default_prompt */
    int new_tokens;    /* of a request */
};

#endif

/* Shared by server.c (the loop) and endpoints.c (the paths). Internal to src/serve/. */
#ifndef SW_SERVE_SERVER_IMPL_H
#define SW_SERVE_SERVER_IMPL_H

#include "engine/scheduler.h"
#include "serve/generation.h"
#include "serve/http.h"
#include "serve/server.h"

#include <pthread.h>

/* What /metrics and /health tell; a copy of the moment, under the server's lock. */
struct sw_server_state {
    struct sw_scheduler_stats stats;
    double seconds;        /* since it began to serve */
    int64_t answered;      /* requests answered to their end */
    int64_t failed;        /* … with an error */
    int64_t left;          /* … whose clients left */
    int64_t refused;       /* … because the queue was full */
    int64_t prompt_tokens; /* of requests that are done */
    int64_t positions;     /* of the KV cache that running requests hold */
    double clock;          /* sw_clock when it was copied */
    bool is_idle;          /* nothing ran then */
    bool has_experts;      /* rank 0 keeps experts of layers on disk */
    struct sw_expert_stats experts;
    double *busy; /* (n_ranks) the share of time in which each computed; -1: not known */
};

struct sw_server {
    const struct sw_server_options *options;
    struct sw_generation_rules rules;
    struct sw_http *http;
    struct sw_scheduler *scheduler;
    struct sw_strbuf tokens; /* their bytes, for grammars; empty: there is no tokenizer */
    int slots, context, n_ranks;
    double begun;
    int64_t created;       /* Unix time in seconds */
    struct sw_strbuf plan; /* the picture of `plan --svg` */
    /* of the scheduler's thread */
    struct sw_generation *running;
    double drawn;              /* sw_clock when `state` was last written */
    double *computed, *clocks; /* (n_ranks) as of the last report */
    bool is_draining;
    double drain_end; /* sw_clock when what still runs is ended */
    /* below: under the lock */
    pthread_mutex_t lock;
    struct sw_generation *arrived; /* read, not begun; the newest first */
    int n_open;                    /* requests that were accepted and have not ended */
    bool has_left;                 /* some client has */
    bool is_stopping;
    double request_s; /* mean seconds of a request lately; 0: none yet */
    struct sw_server_state state;
};

/* endpoints.c */
extern const struct sw_http_route sw_server_routes[];
/* endpoints_text.c: POST /tokenize and /detokenize. */
void sw_endpoint_tokenize(void *context, struct sw_exchange *x);
void sw_endpoint_detokenize(void *context, struct sw_exchange *x);
/* endpoint_metrics.c: GET /metrics. */
void sw_endpoint_metrics(void *context, struct sw_exchange *x);
/* endpoint_page.c: GET /, /plan.svg and /state. */
void sw_endpoint_page(void *context, struct sw_exchange *x);
void sw_endpoint_plan(void *context, struct sw_exchange *x);
void sw_endpoint_state(void *context, struct sw_exchange *x);
/* A rank's share of computing lately; -1: not known. Under the lock. */
double sw_server_busy(const struct sw_server *s, int rank);
/* The reason not to take a request, or NULL, and then it counts as open. HTTP thread. */
bool sw_server_admit(struct sw_server *s, struct sw_exchange *x);
/* Takes back sw_server_admit. */
void sw_server_dismiss(struct sw_server *s);
/* Hands a request over to the scheduler's thread. */
void sw_server_post(struct sw_server *s, struct sw_generation *g);

#endif

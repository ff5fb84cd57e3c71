/* Shared by driver.c and clocks.c. Internal to src/engine/. */
#ifndef SW_ENGINE_DRIVER_IMPL_H
#define SW_ENGINE_DRIVER_IMPL_H

#include "engine/routes.h"
#include "engine/worker_impl.h"

struct sw_driver {
    struct sw_worker *worker; /* of rank 0 */
    struct sw_driver_hooks hooks;
    sw_driver_take *take; /* gets results; NULL: they are dropped */
    void *take_context;
    int under_way;       /* micro-batches */
    bool has_tokens;     /* the last stage has the tokens' bytes */
    char *hidden_layers; /* (layers + 1) which layers' outputs the hook gets */
    /* Messages with hidden states, since the beginning, of each rank: */
    int64_t *hidden_taken; /* (ranks) those that came */
    int64_t *hidden_all;   /* (ranks) those of all micro-batches submitted */
    int64_t *hidden_due; /* (cap_due, ranks) those up to a micro-batch under way; up to the i-th in
                          * row i % cap_due */
    int64_t submitted, cap_due; /* micro-batches */
    struct sw_wire in, out;     /* payloads */
    struct sw_wire results;     /* payload of the oldest micro-batch's results */
    bool has_result;            /* `results` is here, received before it was collected */
    size_t result_bytes;        /* of `results` */
    struct sw_result *decoded;  /* (cap_decoded) the results in `results` */
    size_t cap_decoded;
    const struct sw_result *own; /* (n_own) of rank 0's own last stage, to be passed on; or NULL */
    int n_own;
    struct sw_times *times;       /* (ranks) latest reports */
    double *clock_ahead;          /* (ranks) seconds by which a rank's clock is ahead of rank 0's */
    struct sw_timeline *timeline; /* NULL: nothing is recorded */
    struct sw_routes *routes;     /* NULL: they are not */
};

/* ---- worker_routes.c */

/* Takes in rank 0's own routes, and another rank's, which are in driver->in. SW_EPEER. */
enum sw_status sw_driver_take_routes(struct sw_driver *driver, const struct sw_routes_body *body,
                                     const int32_t *data, size_t n);
enum sw_status sw_driver_receive_routes(struct sw_driver *driver, const struct sw_message *message);

/* ---- clocks.c */

/* Takes in rank 0's own report, and another rank's; that one's activities are in driver->in. */
void sw_driver_take_times(struct sw_driver *driver, const struct sw_times *times,
                          const struct sw_activity *activities, size_t n);
enum sw_status sw_driver_receive_times(struct sw_driver *driver, const struct sw_message *message);

#endif

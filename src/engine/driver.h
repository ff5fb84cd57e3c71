/*
 * Rank 0's part of the pipeline: it owns the slots, submits micro-batches and passes on their
 * results. Computes the stage of its own worker where that has layers.
 */
#ifndef SW_ENGINE_DRIVER_H
#define SW_ENGINE_DRIVER_H

#include "engine/wire.h"
#include "engine/worker.h"

struct sw_driver;

/*
 * Values besides the samples, passed to rank 0's callbacks. NULL: these values are not sent. `data`
 * is valid during the call. A failure of a callback is returned by the call that ran it.
 */
struct sw_driver_hooks {
    /* A layer's output at a span's positions (its `row` has no meaning), (span->n, hidden); layer
     * -1: the embedding. Those of a micro-batch come before its results are passed on. */
    enum sw_status (*hidden)(void *context, int layer, const struct sw_span *span,
                             const float *data);
    const char *layers; /* (n_layers + 1) booleans, [0] the embedding's: which; NULL: all */
    /* Logits of positions that are sampled or scored, (span->n, vocab). The same. */
    enum sw_status (*logits)(void *context, const struct sw_span *span, const float *data);
    void *context;
};

/* Results of a micro-batch, one per sampled or scored row, in row order. Valid during the call. */
typedef enum sw_status sw_driver_take(void *context, const struct sw_result *results, int n);

/* On rank 0, for a worker that outlives the driver. SW_ENOMEM. The caller frees by
 * sw_driver_close. */
enum sw_status sw_driver_open(struct sw_worker *worker, struct sw_driver **out);
void sw_driver_close(struct sw_driver *driver);
int sw_driver_stages(const struct sw_driver *driver); /* number of ranks that have layers */
/* From this number of rows on, some rank streams its host layers through its GPU; 0: none does. */
int sw_driver_stream_rows(const struct sw_driver *driver);
int sw_driver_size(const struct sw_driver *driver);  /* number of ranks */
int sw_driver_vocab(const struct sw_driver *driver); /* all ids are below this */
/* Layers of the model's encoder, the first ones; 0: it has none. */
int sw_driver_encoder(const struct sw_driver *driver);
/* Whether copies of a slot (sw_driver_copy) must be of all of its positions so far: some layers
 * keep a state of them. */
bool sw_driver_keeps_states(const struct sw_driver *driver);
/* The id that each target of an encoder-decoder begins with; NULL: the model has no encoder. */
const int32_t *sw_driver_start(const struct sw_driver *driver);

/* Begins a sequence in `slot`, at position 0 or where a copy ends. */
enum sw_status sw_driver_slot(struct sw_driver *driver, int slot,
                              const struct sw_sampling *sampling);
/* The tokens' bytes (grammar/token_trie.h), before the first grammar; further calls do nothing. */
enum sw_status sw_driver_tokens(struct sw_driver *driver, const char *tokens, size_t n);
/* After that, for the sequence in `slot`; what `steering` points to is copied. */
enum sw_status sw_driver_steer(struct sw_driver *driver, int slot,
                               const struct sw_steering *steering);
/* Copies the first n positions of slot `from`, all of them submitted already, to slot `to`. */
enum sw_status sw_driver_copy(struct sw_driver *driver, int from, int to, int n);
/* Of layers that keep states: keeps that of a slot's n positions so far as its snapshot, beside
 * which the slot goes on; and copies n positions with the snapshot of `from`, which may be `to`. */
bool sw_driver_has_snapshots(const struct sw_driver *driver);
enum sw_status sw_driver_keep(struct sw_driver *driver, int slot, int n);
enum sw_status sw_driver_restore(struct sw_driver *driver, int from, int to, int n);
/* From now on results go to `take`; NULL: they are dropped. A failure of it is returned by the call
 * that ran it. */
void sw_driver_results(struct sw_driver *driver, sw_driver_take *take, void *context);
/*
 * Submits a micro-batch, which is copied. Computes the first stage when that is rank 0's own. When
 * rank 0 is the last stage, too, its results are passed on before this returns.
 */
enum sw_status sw_driver_submit(struct sw_driver *driver, const struct sw_microbatch *batch);
/* Micro-batches whose results were not passed on yet. */
int sw_driver_under_way(const struct sw_driver *driver);
/*
 * Waits until the results of the oldest micro-batch under way are here (*ready), so that
 * sw_driver_collect need not wait for them, or until another thread has set *wake (see
 * sw_transport_wait). With nothing under way only *wake ends it. Takes in other messages meanwhile.
 */
enum sw_status sw_driver_wait(struct sw_driver *driver, const int *wake, bool *ready);
/* Waits for the results of the oldest micro-batch under way, of which there is one, and passes them
 * on. */
enum sw_status sw_driver_collect(struct sw_driver *driver);
/* Collects until nothing is under way. */
enum sw_status sw_driver_drain(struct sw_driver *driver);
/* Sets the callbacks for all micro-batches submitted from now on. Copied. */
enum sw_status sw_driver_hooks(struct sw_driver *driver, const struct sw_driver_hooks *hooks);
/*
 * Writes every rank's activities from now on, and its loading before, to a trace file (timeline.h).
 * Called at most once, before anything is submitted.
 */
enum sw_status sw_driver_record(struct sw_driver *driver, const char *path);
/* Writes which experts are chosen from now on to a file (routes.h), where the workers were opened
 * with `routes`. Called at most once, before anything is submitted. */
enum sw_status sw_driver_routes(struct sw_driver *driver, const char *path);
/*
 * Each rank's latest report of its times, (transport->size). At most about a second old while the
 * rank has work; final after sw_driver_stop.
 */
const struct sw_times *sw_driver_times(const struct sw_driver *driver);
/* Ends the other ranks' worker loops and receives their final times. Nothing may be under way. */
enum sw_status sw_driver_stop(struct sw_driver *driver);

#endif

/*
 * Shared by store_experts.c (the operations of the store of experts from disk) and expert_reading.c
 * (its thread). Internal to src/engine/.
 */
#ifndef SW_ENGINE_EXPERT_STORE_IMPL_H
#define SW_ENGINE_EXPERT_STORE_IMPL_H

#include "checkpoint/reader.h"
#include "engine/expert_order.h"
#include "engine/expert_places.h"
#include "engine/look_ahead.h"
#include "engine/stage.h"

#include <pthread.h>
#include <stdatomic.h>

#define SW_EXPERT_BATCH 32                  /* most experts that are read together */
#define SW_EXPERT_AHEAD ((uint64_t)1 << 62) /* added to the number of a request that can wait */

struct expert_store {
    struct sw_store base; /* must be first: experts_of converts a pointer to it */
    struct sw_experts_options options;
    struct sw_loader loader; /* the thread's */
    pthread_t thread;
    bool has_thread;
    atomic_bool stop; /* ends the thread, and what it reads */
    struct sw_expert_places kept;
    bool is_pinned;               /* its memory is */
    struct sw_expert_order order; /* of the present layer */
    int layer;                    /* index of the present layer */
    bool is_decode;               /* of the present micro-batch */
    uint64_t before;              /* bytes that the reader had read when they were chosen */
    uint64_t opened;              /* and when the first micro-batch began */
    bool has_begun;
    struct sw_expert_stats stats;
    struct sw_look_ahead look;
    bool *guessed; /* (n_experts) of the next layer, not at hand and expected to be chosen */
    double guessed_at, waited_then; /* sw_clock, and `waited`, when they were guessed */
    double waited;                  /* seconds of waiting for the thread */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    int whole;           /* index of the layer that the spare places hold whole; -1: none */
    bool whole_is_asked; /* and is still to be read */
    uint64_t n_asked;
    int batch[SW_EXPERT_BATCH], n_batch; /* places that are being read */
    double busy;                         /* seconds of reading and packing */
    int64_t n_read;                      /* experts in that time */
    enum sw_status status;               /* of the first request that failed */
    char error[SW_ERROR_MAX];
};

/* ---- expert_reading.c */

/* The thread, and the loader's progress; both are given the store. */
void *sw_experts_thread(void *store);
enum sw_status sw_experts_progress(void *store, uint64_t bytes);
/* Waits until something may have changed; *waiting is {0} at first. A failure of the thread. */
enum sw_status sw_experts_wait_a_while(struct expert_store *store, struct sw_reader_wait *waiting);
/* Waits until a place's expert, or with -1 the whole layer, is there. A failure of the thread. */
enum sw_status sw_experts_wait_for(struct expert_store *store, int place);

#endif

/*
 * Shared by store_experts.c (the store's operations), expert_reading.c (its thread) and
 * expert_places.c (what lies where when it opens). Internal to src/engine/.
 */
#ifndef SW_ENGINE_EXPERT_STORE_IMPL_H
#define SW_ENGINE_EXPERT_STORE_IMPL_H

#include "checkpoint/reader.h"
#include "engine/expert_cache.h"
#include "engine/look_ahead.h"
#include "engine/stage.h"

#include <pthread.h>
#include <stdatomic.h>

#define SW_EXPERT_BATCH 32                  /* most experts that are read together */
#define SW_EXPERT_AHEAD ((uint64_t)1 << 62) /* added to the number of a request that can wait */

enum expert_state { EXPERT_HERE, EXPERT_ASKED, EXPERT_READING };

/* Room for one expert. */
struct expert_place {
    char *at;
    uint64_t bytes;
    bool is_spare; /* for experts of all layers */
    /* Under the lock: */
    enum expert_state state;
    bool is_ahead;  /* it is expected to be chosen in the next layer */
    uint64_t asked; /* the number of the request; of what is read ahead above all others */
    atomic_uint_fast64_t left; /* bytes that are still to come */
};

/* A disk layer. */
struct expert_layer {
    uint64_t expert_bytes;     /* 0: it is read whole */
    int first_key;             /* of its experts */
    struct sw_weights weights; /* without experts that are not there; a whole layer's while it is */
};

struct expert_store {
    struct sw_store base; /* must be first: experts_of converts a pointer to it */
    struct sw_experts_options options;
    struct sw_loader loader; /* the thread's */
    pthread_t thread;
    bool has_thread;
    atomic_bool stop; /* ends the thread, and what it reads */
    struct sw_expert_cache cache;
    struct expert_layer *layers; /* (options.layers.count) */
    int *layer_of;               /* (cache.n_keys) index of the layer */
    struct expert_place *places; /* (cache.n_places) the spare ones last */
    int first_spare;
    char *block; /* (block_bytes) all places; from `spare` on also that of a whole layer */
    uint64_t block_bytes;
    char *spare;
    /* The experts that the rows of the present layer chose, in the order of their use. */
    int32_t *order;  /* (n_order) */
    int *turn;       /* (n_experts) the index of an expert in `order`; -1: it is not chosen */
    int n_order, at; /* the next one to be used */
    int layer;       /* index of the present layer */
    bool is_decode;  /* of the present micro-batch */
    uint64_t before; /* bytes that the reader had read when they were chosen */
    uint64_t opened; /* and when the first micro-batch began */
    bool has_begun;
    struct sw_expert_stats stats;
    bool has_whole; /* some layers are read whole */
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

/* Of a key the expert. */
static inline int experts_index(const struct expert_store *s, int key)
{
    return key - s->layers[s->layer_of[key]].first_key;
}

/* ---- expert_reading.c */

/* Loads an expert into its place with what `loader` collects, and points the layer's weights to it.
 */
enum sw_status sw_experts_load_one(struct expert_store *store, struct sw_loader *loader, int place);
/* The thread, and the loader's progress; both are given the store. */
void *sw_experts_thread(void *store);
enum sw_status sw_experts_progress(void *store, uint64_t bytes);
/* Waits until something may have changed; *waiting is {0} at first. A failure of the thread. */
enum sw_status sw_experts_wait_a_while(struct expert_store *store, struct sw_reader_wait *waiting);
/* Waits until a place's expert, or with -1 the whole layer, is there. A failure of the thread. */
enum sw_status sw_experts_wait_for(struct expert_store *store, int place);

/* ---- expert_places.c */

/* Makes the lists of layers and places, with memory, and gives those experts places that were used
 * most in an earlier run; `load` fills them. SW_ENOMEM. */
enum sw_status sw_experts_lay_out(struct expert_store *store);

#endif

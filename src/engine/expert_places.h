/*
 * Places for experts in the memory of one device, host or GPU: some for each layer's experts, and
 * spare ones for any, in which a layer without experts can lie whole, too. Which expert is in which
 * place, expert_cache.h decides. Shared by the stores of experts.
 */
#ifndef SW_ENGINE_EXPERT_PLACES_H
#define SW_ENGINE_EXPERT_PLACES_H

#include "engine/expert_cache.h"
#include "engine/stage_weights.h"

#include <stdatomic.h>

enum sw_expert_state { SW_EXPERT_HERE, SW_EXPERT_ASKED, SW_EXPERT_READING };

/* Room for one expert. */
struct sw_expert_place {
    char *at; /* in the backend's memory */
    uint64_t bytes;
    bool is_spare; /* for experts of all layers */
    enum sw_expert_state state;
    /* Of the store that reads from disk: */
    bool is_ahead;  /* it is expected to be chosen in the next layer */
    uint64_t asked; /* the number of the request; of what is read ahead above all others */
    atomic_uint_fast64_t left; /* bytes that are still to come */
};

struct sw_expert_layer {
    uint64_t expert_bytes;     /* 0: it has no experts, and is moved whole */
    int first_key;             /* of its experts */
    struct sw_weights weights; /* without experts that are not there; a whole layer's while it is */
};

struct sw_expert_places {
    struct sw_backend *backend;
    int first; /* the layers are [first, first + n_layers) of the model */
    int n_layers, n_experts;
    struct sw_expert_cache cache;
    struct sw_expert_layer *layers; /* (n_layers) */
    int *layer_of;                  /* (cache.n_keys) index of the layer */
    struct sw_expert_place *places; /* (cache.n_places) the spare ones last */
    int first_spare;
    char *block; /* (block_bytes) all places; from `spare` on also that of a whole layer */
    uint64_t block_bytes;
    char *spare;
    bool has_whole; /* some layers have no experts */
};

struct sw_expert_room {
    struct sw_backend *backend;
    const struct sw_model *model;
    const struct sw_footprint_params *params;
    int first, n_layers;
    int cached;           /* experts that are kept for each layer */
    uint64_t spare_bytes; /* for experts besides, and for a layer without */
    const char *what;     /* names the use of the memory */
    /* (model's layers, n_experts) how often each was chosen in an earlier run; those most used get
     * places first. NULL: none do. */
    const uint64_t *uses;
};

/* Allocates the places, and gives experts of `uses` places, which the caller fills. SW_ENOMEM. The
 * caller closes *out, which is zeroed, on failure too; what layers' weights have he frees before.
 */
enum sw_status sw_expert_places_open(const struct sw_expert_room *room,
                                     struct sw_expert_places *out);
void sw_expert_places_close(struct sw_expert_places *places);

/* Of a key the expert. */
static inline int sw_expert_of(const struct sw_expert_places *p, int key)
{
    return key - p->layers[p->layer_of[key]].first_key;
}

/* Loads a place's expert, with what `loader` collects, and points the layer's weights to it. */
enum sw_status sw_expert_places_load(struct sw_expert_places *p, struct sw_loader *loader,
                                     int place);
/* The same of all places that hold experts of a layer (its index). */
enum sw_status sw_expert_places_fill(struct sw_expert_places *p, struct sw_loader *loader,
                                     int layer);

#endif

/*
 * Owns what lies where in a store of experts: keys of experts, places for some of them, and which
 * ones are there before the first micro-batch.
 */
#include "engine/expert_places.h"

#include <math.h>
#include <stdlib.h>

/* Makes the list of layers; *largest: bytes of an expert. */
static enum sw_status places_make_layers(struct sw_expert_places *p,
                                         const struct sw_expert_room *room, uint64_t *largest)
{
    const size_t most = (size_t)p->n_layers * (size_t)(p->n_experts > 0 ? p->n_experts : 1);
    int keys = 0;
    *largest = 0;
    p->layers = calloc((size_t)p->n_layers, sizeof *p->layers);
    p->layer_of = malloc(most * sizeof *p->layer_of);
    if (!p->layers || !p->layer_of)
        return sw_fail(SW_ENOMEM, "no memory for a store of %d layers", p->n_layers);
    for (int i = 0; i < p->n_layers; i++) {
        struct sw_expert_layer *layer = &p->layers[i];
        layer->expert_bytes = sw_expert_bytes(room->model, room->params, p->first + i);
        layer->first_key = keys;
        p->has_whole |= layer->expert_bytes == 0;
        if (layer->expert_bytes > *largest)
            *largest = layer->expert_bytes;
        for (int e = 0; layer->expert_bytes > 0 && e < p->n_experts; e++)
            p->layer_of[keys++] = i;
    }
    p->cache.n_keys = keys;
    return SW_OK;
}

/* Lays the places out: some for each layer's experts, the spare ones behind them. */
static enum sw_status places_make(struct sw_expert_places *p, const struct sw_expert_room *room,
                                  uint64_t largest)
{
    const int spare = largest ? (int)(room->spare_bytes / largest) : 0, keys = p->cache.n_keys;
    const int kept = room->cached < p->n_experts ? room->cached : p->n_experts;
    int n = 0;
    for (int i = 0; i < p->n_layers; i++) {
        p->first_spare += p->layers[i].expert_bytes ? kept : 0;
        p->block_bytes += p->layers[i].expert_bytes * (uint64_t)kept;
    }
    SW_TRY(sw_expert_cache_open(keys, p->first_spare + spare, &p->cache));
    p->places = calloc((size_t)(p->first_spare + spare + 1), sizeof *p->places);
    if (!p->places)
        return sw_fail(SW_ENOMEM, "no memory for a cache of %d experts", p->first_spare + spare);
    p->block_bytes += room->spare_bytes;
    SW_TRY(p->backend->ops->alloc(p->backend, p->block_bytes, room->what, (void **)&p->block));
    char *at = p->block;
    for (int i = 0; i < p->n_layers; i++)
        for (int e = 0; p->layers[i].expert_bytes && e < kept; e++) {
            p->places[n++] = (struct sw_expert_place){.at = at, .bytes = p->layers[i].expert_bytes};
            at += p->layers[i].expert_bytes;
        }
    p->spare = at;
    for (int i = 0; i < spare; i++, at += largest)
        p->places[n++] = (struct sw_expert_place){.at = at, .bytes = largest, .is_spare = true};
    return SW_OK;
}

/* Gives the experts that were used most before a place each. */
static enum sw_status places_take_first(struct sw_expert_places *p)
{
    struct sw_expert_cache *c = &p->cache;
    const struct sw_expert_place *at;
    int *keys = malloc((size_t)(c->n_keys > 0 ? c->n_keys : 1) * sizeof *keys);
    if (!keys)
        return sw_fail(SW_ENOMEM, "no memory for a list of %d experts", c->n_keys);
    const enum sw_status status = sw_expert_cache_rank(c, keys);
    for (int i = 0; status == SW_OK && i < c->n_keys && c->priority[keys[i]] > -INFINITY; i++) {
        const uint64_t bytes = p->layers[p->layer_of[keys[i]]].expert_bytes;
        for (at = p->places; at < p->places + p->first_spare; at++)
            if (at->bytes == bytes && c->key_of[at - p->places] < 0) {
                sw_expert_cache_put(c, (int)(at - p->places), keys[i]);
                break;
            }
    }
    free(keys);
    return status;
}

/* Uses of an earlier run, by key. */
static enum sw_status places_learn(struct sw_expert_places *p, const uint64_t *all)
{
    if (!all || p->cache.n_keys == 0)
        return SW_OK;
    uint64_t *uses = malloc((size_t)p->cache.n_keys * sizeof *uses);
    if (!uses)
        return sw_fail(SW_ENOMEM, "no memory for the uses of %d experts", p->cache.n_keys);
    for (int k = 0; k < p->cache.n_keys; k++)
        uses[k] = all[(size_t)(p->first + p->layer_of[k]) * (size_t)p->n_experts +
                      (size_t)sw_expert_of(p, k)];
    sw_expert_cache_learn(&p->cache, uses);
    free(uses);
    return places_take_first(p);
}

enum sw_status sw_expert_places_open(const struct sw_expert_room *room, struct sw_expert_places *p)
{
    uint64_t largest;
    p->backend = room->backend;
    p->first = room->first;
    p->n_layers = room->n_layers;
    p->n_experts = room->model->dims.n_experts;
    SW_TRY(places_make_layers(p, room, &largest));
    SW_TRY(places_make(p, room, largest));
    return places_learn(p, room->uses);
}

void sw_expert_places_close(struct sw_expert_places *p)
{
    if (p->backend)
        p->backend->ops->free(p->backend, p->block, p->block_bytes);
    sw_expert_cache_close(&p->cache);
    free(p->layers);
    free(p->layer_of);
    free(p->places);
    *p = (struct sw_expert_places){0};
}

enum sw_status sw_expert_places_load(struct sw_expert_places *p, struct sw_loader *loader,
                                     int place)
{
    const int key = p->cache.key_of[place], expert = sw_expert_of(p, key);
    const int layer = p->layer_of[key];
    struct sw_weights *to = &p->layers[layer].weights, one;
    loader->only = 1 + expert;
    const enum sw_status status =
        sw_weights_load_into(loader, p->first + layer, p->places[place].at, &one);
    loader->only = 0;
    SW_TRY(status);
    to->expert_up[expert] = one.expert_up[expert];
    to->expert_down[expert] = one.expert_down[expert];
    sw_weights_forget_block(&one);
    return SW_OK;
}

enum sw_status sw_expert_places_fill(struct sw_expert_places *p, struct sw_loader *loader,
                                     int layer)
{
    const struct sw_expert_layer *l = &p->layers[layer];
    for (int e = 0; l->expert_bytes > 0 && e < p->n_experts; e++)
        if (p->cache.place_of[l->first_key + e] >= 0)
            SW_TRY(sw_expert_places_load(p, loader, p->cache.place_of[l->first_key + e]));
    return SW_OK;
}

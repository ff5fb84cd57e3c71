/*
 * Owns what lies where in the store of experts: keys of experts, places for some of them, and which
 * ones are there before the first micro-batch.
 */
#include "engine/expert_store_impl.h"

#include <math.h>
#include <stdlib.h>

/* Makes the list of layers; *largest: bytes of an expert. */
static enum sw_status experts_make_layers(struct expert_store *s, uint64_t *largest)
{
    const struct sw_loader *l = &s->loader;
    const struct sw_store_layers *range = &s->options.layers;
    const int experts = l->model->dims.n_experts;
    const size_t most = (size_t)range->count * (size_t)(experts > 0 ? experts : 1);
    int keys = 0;
    *largest = 0;
    s->layers = calloc((size_t)range->count, sizeof *s->layers);
    s->layer_of = malloc(most * sizeof *s->layer_of);
    s->order = malloc((size_t)(experts > 0 ? experts : 1) * sizeof *s->order);
    s->guessed = calloc((size_t)(experts > 0 ? experts : 1), sizeof *s->guessed);
    s->turn = malloc((size_t)(experts > 0 ? experts : 1) * sizeof *s->turn);
    if (!s->layers || !s->layer_of || !s->order || !s->turn || !s->guessed)
        return sw_fail(SW_ENOMEM, "no memory for a store of %d layers", range->count);
    for (int i = 0; i < range->count; i++) {
        struct expert_layer *layer = &s->layers[i];
        layer->expert_bytes = sw_expert_bytes(l->model, &l->params, range->first + i);
        layer->first_key = keys;
        s->has_whole |= layer->expert_bytes == 0;
        if (layer->expert_bytes > *largest)
            *largest = layer->expert_bytes;
        for (int e = 0; layer->expert_bytes > 0 && e < experts; e++)
            s->layer_of[keys++] = i;
    }
    s->cache.n_keys = keys;
    return SW_OK;
}

/* Lays the places out: some for each layer's experts, the spare ones behind them. */
static enum sw_status experts_make_places(struct expert_store *s, uint64_t largest)
{
    const struct sw_experts_options *o = &s->options;
    const int spare = largest ? (int)(o->spare_bytes / largest) : 0, keys = s->cache.n_keys;
    const int experts = s->loader.model->dims.n_experts;
    const int kept = o->cached < experts ? o->cached : experts;
    int n = 0;
    for (int i = 0; i < o->layers.count; i++) {
        s->first_spare += s->layers[i].expert_bytes ? kept : 0;
        s->block_bytes += s->layers[i].expert_bytes * (uint64_t)kept;
    }
    SW_TRY(sw_expert_cache_open(keys, s->first_spare + spare, &s->cache));
    s->places = calloc((size_t)(s->first_spare + spare + 1), sizeof *s->places);
    if (!s->places)
        return sw_fail(SW_ENOMEM, "no memory for a cache of %d experts", s->first_spare + spare);
    s->block_bytes += o->spare_bytes;
    SW_TRY(o->cpu->ops->alloc(o->cpu, s->block_bytes, "experts from disk", (void **)&s->block));
    char *at = s->block;
    for (int i = 0; i < o->layers.count; i++)
        for (int e = 0; s->layers[i].expert_bytes && e < kept; e++) {
            s->places[n++] = (struct expert_place){.at = at, .bytes = s->layers[i].expert_bytes};
            at += s->layers[i].expert_bytes;
        }
    s->spare = at;
    for (int i = 0; i < spare; i++, at += largest)
        s->places[n++] = (struct expert_place){.at = at, .bytes = largest, .is_spare = true};
    return SW_OK;
}

/* Gives the experts that were used most before a place each, which load fills. */
static enum sw_status experts_fill_first(struct expert_store *s)
{
    struct sw_expert_cache *c = &s->cache;
    const struct expert_place *p;
    int *keys = malloc((size_t)(c->n_keys > 0 ? c->n_keys : 1) * sizeof *keys);
    if (!keys)
        return sw_fail(SW_ENOMEM, "no memory for a list of %d experts", c->n_keys);
    const enum sw_status status = sw_expert_cache_rank(c, keys);
    for (int i = 0; status == SW_OK && i < c->n_keys && c->priority[keys[i]] > -INFINITY; i++) {
        const uint64_t bytes = s->layers[s->layer_of[keys[i]]].expert_bytes;
        for (p = s->places; p < s->places + s->first_spare; p++)
            if (p->bytes == bytes && c->key_of[p - s->places] < 0) {
                sw_expert_cache_put(c, (int)(p - s->places), keys[i]);
                break;
            }
    }
    free(keys);
    return status;
}

/* Uses of an earlier run, by key. */
static enum sw_status experts_learn(struct expert_store *s)
{
    const struct sw_experts_options *o = &s->options;
    const int experts = s->loader.model->dims.n_experts;
    if (!o->uses || s->cache.n_keys == 0)
        return SW_OK;
    uint64_t *uses = malloc((size_t)s->cache.n_keys * sizeof *uses);
    if (!uses)
        return sw_fail(SW_ENOMEM, "no memory for the uses of %d experts", s->cache.n_keys);
    for (int k = 0; k < s->cache.n_keys; k++)
        uses[k] = o->uses[(size_t)(o->layers.first + s->layer_of[k]) * (size_t)experts +
                          (size_t)experts_index(s, k)];
    sw_expert_cache_learn(&s->cache, uses);
    free(uses);
    return experts_fill_first(s);
}

enum sw_status sw_experts_lay_out(struct expert_store *s)
{
    uint64_t largest;
    SW_TRY(experts_make_layers(s, &largest));
    SW_TRY(experts_make_places(s, largest));
    return experts_learn(s);
}

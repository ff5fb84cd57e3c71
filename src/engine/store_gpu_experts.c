/*
 * Owns the store of layers that a GPU runs by expert: everything but the experts is in its memory,
 * and so are some experts, in places; which ones, expert_cache.h decides. All of them lie in host
 * memory in the GPU's layout, or on disk, from where another store brings them to host memory. When
 * a layer's rows have chosen, what is not there is copied while the chosen experts that are there
 * are computed. The GPU computes all: a CPU's products round differently, so that with some of them
 * answers would depend on what was there. Layers without experts are copied whole, into the spare
 * places.
 */
#include "engine/expert_order.h"
#include "engine/expert_places.h"
#include "engine/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Of the GPU's buffers (backend/gpu_library.h) those behind what whole layers are streamed through:
 * while an expert of one is used the next is copied. */
#define FIRST_BUFFER SW_STREAM_BUFFERS
#define BUFFERS (SW_GPU_BUFFERS - SW_STREAM_BUFFERS)

/* What of a layer lies in host memory. */
struct host_experts {
    struct sw_weights weights; /* in the GPU's layout: the experts, or a layer without any */
    bool is_pinned;
};

struct gpu_experts {
    struct sw_store base; /* must be first: gpu_experts_of converts a pointer to it */
    struct sw_gpu_experts_options options;
    struct sw_expert_places kept;  /* on the GPU */
    struct host_experts *host;     /* (options.layers.count) */
    struct sw_expert_order order;  /* of the present layer */
    int32_t *list;                 /* (n_experts) scratch */
    int layer;                     /* index of the present layer */
    const struct sw_weights *from; /* the same in host memory */
    int n_rows;                    /* of the present micro-batch */
    int on_way[BUFFERS];           /* the place that is copied to through a buffer; -1: none */
    bool is_copying;               /* out of the memory of options.disk */
    struct sw_expert_stats stats;
};

static struct gpu_experts *gpu_experts_of(struct sw_store *s)
{
    return (struct gpu_experts *)(void *)s;
}

static struct sw_expert_layer *gpu_experts_layer(struct gpu_experts *s)
{
    return &s->kept.layers[s->layer];
}

/* Whether the present layer is on disk. */
static bool gpu_experts_on_disk(const struct gpu_experts *s)
{
    return s->options.disk && s->options.layers.first + s->layer >= s->options.disk_first;
}

/* Waits for copies of what the store of the disk is about to read over. */
static enum sw_status gpu_experts_settle(struct gpu_experts *s)
{
    if (!s->is_copying)
        return SW_OK;
    s->is_copying = false;
    return s->options.gpu->ops->sync(s->options.gpu);
}

/* ---- loading */

static enum sw_status gpu_experts_make_lists(struct gpu_experts *s, struct sw_weights *w)
{
    const size_t n = (size_t)s->kept.n_experts + 1;
    w->expert_up = calloc(n, sizeof *w->expert_up);
    w->expert_down = calloc(n, sizeof *w->expert_down);
    return w->expert_up && w->expert_down ? SW_OK
                                          : sw_fail(SW_ENOMEM, "no memory for %zu experts", n - 1);
}

/* Everything but the experts, and those that were most used before. */
static enum sw_status gpu_experts_load_gpu(struct gpu_experts *s, struct sw_loader *loader,
                                           int index)
{
    struct sw_expert_layer *l = &s->kept.layers[index];
    if (l->expert_bytes == 0)
        return gpu_experts_make_lists(s, &l->weights);
    loader->backend = s->options.gpu;
    loader->layout = NULL;
    loader->only = SW_ONLY_DENSE;
    const enum sw_status status = sw_weights_load(loader, s->kept.first + index, 0, &l->weights);
    loader->only = 0;
    SW_TRY(status);
    return sw_expert_places_fill(&s->kept, loader, index);
}

static enum sw_status gpu_experts_load_host(struct gpu_experts *s, struct sw_loader *loader,
                                            int index)
{
    struct host_experts *h = &s->host[index];
    loader->backend = s->options.cpu;
    loader->layout = s->options.gpu;
    loader->only = s->kept.layers[index].expert_bytes > 0 ? SW_ONLY_EXPERTS : 0;
    const enum sw_status status = sw_weights_load(loader, s->kept.first + index, 0, &h->weights);
    loader->only = 0;
    SW_TRY(status);
    h->is_pinned = sw_pins_add(s->options.pins, h->weights.d_block, h->weights.bytes);
    return SW_OK;
}

static enum sw_status gpu_experts_load(struct sw_store *base, struct sw_loader *loader, int layer)
{
    struct gpu_experts *s = gpu_experts_of(base);
    struct sw_store *disk = s->options.disk;
    s->layer = layer - s->options.layers.first;
    SW_TRY(gpu_experts_load_gpu(s, loader, s->layer));
    return gpu_experts_on_disk(s) ? disk->ops->load(disk, loader, layer)
                                  : gpu_experts_load_host(s, loader, s->layer);
}

/* ---- whole layers */

/* Copies the present layer to the spare places, when the one before it has been computed. */
static enum sw_status gpu_experts_copy_whole(struct gpu_experts *s)
{
    const struct sw_gpu_ops *gpu = s->options.gpu->gpu;
    for (int p = s->kept.first_spare; p < s->kept.cache.n_places; p++)
        sw_expert_cache_put(&s->kept.cache, p, -1);
    sw_weights_view(s->from, s->kept.spare, &gpu_experts_layer(s)->weights);
    SW_TRY(gpu->used(s->options.gpu, FIRST_BUFFER));
    SW_TRY(
        gpu->fetch(s->options.gpu, FIRST_BUFFER, s->kept.spare, s->from->d_block, s->from->bytes));
    s->is_copying |= gpu_experts_on_disk(s);
    return gpu->fetched(s->options.gpu, FIRST_BUFFER);
}

static enum sw_status gpu_experts_begin(struct sw_store *base, const int *layers, int n)
{
    struct gpu_experts *s = gpu_experts_of(base);
    struct sw_store *disk = s->options.disk;
    int i = 0;
    while (i < n && layers[i] < s->options.disk_first)
        i++;
    if (!disk || i == n)
        return SW_OK;
    SW_TRY(gpu_experts_settle(s));
    return disk->ops->begin(disk, layers + i, n - i);
}

static enum sw_status gpu_experts_acquire(struct sw_store *base, int layer,
                                          const struct sw_weights **out)
{
    struct gpu_experts *s = gpu_experts_of(base);
    struct sw_store *disk = s->options.disk;
    s->layer = layer - s->options.layers.first;
    s->from = &s->host[s->layer].weights;
    sw_expert_order_end(&s->order);
    if (gpu_experts_on_disk(s))
        SW_TRY(disk->ops->acquire(disk, layer, &s->from));
    *out = &gpu_experts_layer(s)->weights;
    return gpu_experts_layer(s)->expert_bytes > 0 ? SW_OK : gpu_experts_copy_whole(s);
}

static enum sw_status gpu_experts_matrix(struct sw_store *s, const struct sw_matrix **m)
{
    (void)s, (void)m;
    return SW_OK;
}

/* ---- single experts */

/* When a place's expert of the present layer is used: its turn; -1: not any more. */
static int gpu_experts_turn(const struct gpu_experts *s, int place)
{
    const int key = s->kept.cache.key_of[place];
    if (key < 0 || s->kept.layer_of[key] != s->layer)
        return -1;
    return sw_expert_order_turn(&s->order, sw_expert_of(&s->kept, key));
}

/* Whether the place may be given away: the right size, not being copied to, and not to be used. */
static bool gpu_experts_may_go(const void *context, int place)
{
    const struct gpu_experts *s = context;
    const struct sw_expert_place *p = &s->kept.places[place];
    return (p->is_spare || p->bytes == s->kept.layers[s->layer].expert_bytes) &&
           p->state == SW_EXPERT_HERE && gpu_experts_turn(s, place) < 0;
}

/* Of the places that hold what is used after turn `from`, the one whose turn comes last; -1: none.
 */
static int gpu_experts_furthest(const struct gpu_experts *s, int from)
{
    int place = -1, last = from;
    for (int p = 0; p < s->kept.cache.n_places; p++) {
        const int turn = gpu_experts_turn(s, p);
        if (turn > last && s->kept.places[p].state == SW_EXPERT_HERE) {
            place = p;
            last = turn;
        }
    }
    return place;
}

/* Tells the store of the disk which experts are to come from there, in their order, which it may
 * change if any will do. */
static enum sw_status gpu_experts_tell(struct gpu_experts *s, bool any_order)
{
    struct sw_store *disk = s->options.disk;
    struct sw_expert_order *o = &s->order;
    const int first_key = gpu_experts_layer(s)->first_key;
    int n = 0;
    for (int i = o->at; i < o->n; i++)
        if (s->kept.cache.place_of[first_key + o->experts[i]] < 0)
            s->list[n++] = o->experts[i];
    SW_TRY(gpu_experts_settle(s));
    SW_TRY(disk->ops->choose(disk, s->n_rows, s->list, n, any_order));
    for (int i = 0; i < n && any_order; i++) /* these are the last ones */
        sw_expert_order_put(o, o->n - n + i, s->list[i]);
    return SW_OK;
}

/* Has a place for the expert of this turn; -1: only when others have been used. */
static enum sw_status gpu_experts_find_place(struct gpu_experts *s, int turn, int *place)
{
    struct sw_expert_cache *cache = &s->kept.cache;
    *place = sw_expert_cache_victim(cache, gpu_experts_may_go, s);
    if (*place >= 0 || turn > s->order.at)
        return SW_OK;
    *place = gpu_experts_furthest(s, turn);
    assert(*place >= 0);
    sw_expert_cache_put(cache, *place, -1);
    return gpu_experts_on_disk(s) ? gpu_experts_tell(s, false) : SW_OK;
}

/* Copies the expert of this turn to a place. */
static enum sw_status gpu_experts_copy(struct gpu_experts *s, int turn, int place, int buffer)
{
    struct sw_backend *gpu = s->options.gpu;
    const struct sw_expert_layer *l = gpu_experts_layer(s);
    const int expert = s->order.experts[turn];
    const struct sw_weights *w = &l->weights;
    const struct sw_matrix *up = &s->from->expert_up[expert], *down = &s->from->expert_down[expert];
    char *d_at = s->kept.places[place].at;
    w->expert_up[expert] = sw_matrix_copied(up, up->d_data, d_at);
    w->expert_down[expert] = sw_matrix_copied(down, up->d_data, d_at);
    sw_expert_cache_put(&s->kept.cache, place, l->first_key + expert);
    s->kept.places[place].state = SW_EXPERT_ASKED;
    s->on_way[buffer] = place;
    if (s->n_rows <= s->options.params->slots)
        s->stats.copied_bytes += l->expert_bytes;
    SW_TRY(gpu->gpu->used(gpu, FIRST_BUFFER + buffer)); /* what was in the place */
    return gpu->gpu->fetch(gpu, FIRST_BUFFER + buffer, d_at, up->d_data, l->expert_bytes);
}

static int gpu_experts_free_buffer(const struct gpu_experts *s)
{
    for (int i = 0; i < BUFFERS; i++)
        if (s->on_way[i] < 0)
            return i;
    return -1;
}

/* Waits for the next expert from disk, if it is not on the GPU. */
static enum sw_status gpu_experts_read(struct gpu_experts *s)
{
    struct sw_store *disk = s->options.disk;
    SW_TRY(gpu_experts_settle(s));
    SW_TRY(disk->ops->expert(disk, s->order.experts[s->order.at]));
    s->is_copying = true;
    return SW_OK;
}

/* Copies what is to be used and is not there, in order, as far as there are places and buffers;
 * from disk only what is to be used now. */
static enum sw_status gpu_experts_copy_ahead(struct gpu_experts *s)
{
    const int first_key = gpu_experts_layer(s)->first_key;
    const bool on_disk = gpu_experts_on_disk(s);
    const int end = on_disk ? s->order.at + 1 : s->order.n;
    for (int i = s->order.at; i < end; i++) {
        const int buffer = gpu_experts_free_buffer(s);
        int place;
        if (s->kept.cache.place_of[first_key + s->order.experts[i]] >= 0)
            continue;
        if (buffer < 0)
            return SW_OK;
        SW_TRY(gpu_experts_find_place(s, i, &place));
        if (place < 0)
            return SW_OK;
        if (on_disk)
            SW_TRY(gpu_experts_read(s));
        SW_TRY(gpu_experts_copy(s, i, place, buffer));
    }
    return SW_OK;
}

static bool gpu_experts_at_hand(void *context, int expert)
{
    struct gpu_experts *s = context;
    return s->kept.cache.place_of[gpu_experts_layer(s)->first_key + expert] >= 0;
}

static void gpu_experts_count(struct gpu_experts *s, int n, int hits)
{
    if (s->n_rows > s->options.params->slots)
        return;
    s->stats.uses += (uint64_t)n;
    s->stats.hits += (uint64_t)hits;
    if (gpu_experts_layer(s)->first_key == 0)
        s->stats.decode_rows += (uint64_t)s->n_rows;
}

static enum sw_status gpu_experts_choose(struct sw_store *base, int n_rows, int32_t *chosen, int n,
                                         bool any_order)
{
    struct gpu_experts *s = gpu_experts_of(base);
    const struct sw_expert_layer *l = gpu_experts_layer(s);
    int hits;
    if (l->expert_bytes == 0)
        return SW_OK;
    s->n_rows = n_rows;
    for (int i = 0; i < n; i++)
        (void)sw_expert_cache_use(&s->kept.cache, l->first_key + chosen[i]);
    sw_expert_order_set(&s->order, chosen, n, any_order, gpu_experts_at_hand, s, &hits);
    gpu_experts_count(s, n, hits);
    if (gpu_experts_on_disk(s))
        SW_TRY(gpu_experts_tell(s, any_order));
    else
        SW_TRY(gpu_experts_copy_ahead(s)); /* while those that are there are computed */
    memcpy(chosen, s->order.experts, (size_t)n * sizeof *chosen);
    return SW_OK;
}

/* What is enqueued from now on waits for the expert; what was enqueued may use those before it. */
static enum sw_status gpu_experts_expert(struct sw_store *base, int expert)
{
    struct gpu_experts *s = gpu_experts_of(base);
    const struct sw_expert_layer *l = gpu_experts_layer(s);
    if (l->expert_bytes == 0)
        return SW_OK;
    sw_expert_order_reach(&s->order, expert);
    SW_TRY(gpu_experts_copy_ahead(s));
    const int place = s->kept.cache.place_of[l->first_key + expert];
    assert(place >= 0);
    for (int i = 0; i < BUFFERS; i++)
        if (s->on_way[i] == place) {
            s->on_way[i] = -1;
            s->kept.places[place].state = SW_EXPERT_HERE;
            return s->options.gpu->gpu->fetched(s->options.gpu, FIRST_BUFFER + i);
        }
    return SW_OK;
}

/* The store of the disk wants to know, of its layers; its answer stands for this store's layer. */
static void gpu_experts_look_ahead(struct sw_store *base, const struct sw_weights **next)
{
    struct gpu_experts *s = gpu_experts_of(base);
    struct sw_store *disk = s->options.disk;
    *next = NULL;
    if (gpu_experts_on_disk(s))
        disk->ops->look_ahead(disk, next);
    if (*next)
        *next = &s->kept.layers[s->layer + 1].weights;
}

/* What is on the GPU need not be read. */
static void gpu_experts_foresee(struct sw_store *base, const int32_t *experts, int n)
{
    struct gpu_experts *s = gpu_experts_of(base);
    struct sw_store *disk = s->options.disk;
    const int first_key = s->kept.layers[s->layer + 1].first_key;
    int missing = 0;
    for (int i = 0; i < n; i++)
        if (s->kept.cache.place_of[first_key + experts[i]] < 0)
            s->list[missing++] = experts[i];
    disk->ops->foresee(disk, s->list, missing);
}

static enum sw_status gpu_experts_release(struct sw_store *base, int layer)
{
    struct gpu_experts *s = gpu_experts_of(base);
    struct sw_store *disk = s->options.disk;
    sw_expert_order_end(&s->order);
    if (!gpu_experts_on_disk(s))
        return SW_OK;
    SW_TRY(gpu_experts_settle(s));
    return disk->ops->release(disk, layer);
}

void sw_store_gpu_experts_stats(struct sw_store *base, struct sw_expert_stats *out)
{
    const struct gpu_experts *s = gpu_experts_of(base);
    struct sw_expert_stats disk = {0};
    if (s->options.disk)
        sw_store_experts_stats(s->options.disk, &disk);
    *out = s->stats;
    out->decode_bytes = disk.decode_bytes;
    out->ahead = disk.ahead;
}

/* ---- opening and closing */

static uint64_t gpu_experts_bytes(const struct sw_store *base)
{
    const struct gpu_experts *s = (const struct gpu_experts *)(const void *)base;
    uint64_t bytes = s->kept.block_bytes;
    for (int i = 0; i < s->kept.n_layers; i++)
        bytes += s->kept.layers[i].weights.bytes;
    return bytes;
}

static void gpu_experts_close(struct sw_store *base)
{
    struct gpu_experts *s = gpu_experts_of(base);
    struct sw_backend *gpu = s->options.gpu, *cpu = s->options.cpu;
    for (int i = 0; i < BUFFERS; i++)
        if (s->on_way[i] >= 0)
            (void)gpu->gpu->fetched(gpu, FIRST_BUFFER + i);
    (void)gpu->ops->sync(gpu);
    for (int i = 0; s->host && i < s->options.layers.count; i++) {
        if (s->host[i].is_pinned)
            sw_pins_remove(s->options.pins, s->host[i].weights.d_block);
        sw_weights_free(cpu, &s->host[i].weights);
    }
    for (int i = 0; s->kept.layers && i < s->kept.n_layers; i++)
        if (s->kept.layers[i].expert_bytes > 0)
            sw_weights_free(gpu, &s->kept.layers[i].weights);
        else
            sw_weights_forget_block(&s->kept.layers[i].weights);
    sw_expert_places_close(&s->kept);
    sw_expert_order_close(&s->order);
    free(s->host);
    free(s->list);
    free(s);
}

static enum sw_status gpu_experts_start(struct gpu_experts *s)
{
    const struct sw_gpu_experts_options *o = &s->options;
    const size_t experts = (size_t)o->model->dims.n_experts + 1;
    const struct sw_expert_room room = {.backend = o->gpu,
                                        .model = o->model,
                                        .params = o->params,
                                        .first = o->layers.first,
                                        .n_layers = o->layers.count,
                                        .cached = o->cached,
                                        .spare_bytes = o->spare_bytes,
                                        .what = "experts",
                                        .uses = o->uses};
    s->host = calloc((size_t)o->layers.count, sizeof *s->host);
    s->list = malloc(experts * sizeof *s->list);
    if (!s->host || !s->list)
        return sw_fail(SW_ENOMEM, "no memory for a store of %d layers", o->layers.count);
    SW_TRY(sw_expert_order_open(o->model->dims.n_experts, &s->order));
    return sw_expert_places_open(&room, &s->kept);
}

static const struct sw_store_ops gpu_experts_ops = {.load = gpu_experts_load,
                                                    .begin = gpu_experts_begin,
                                                    .acquire = gpu_experts_acquire,
                                                    .matrix = gpu_experts_matrix,
                                                    .choose = gpu_experts_choose,
                                                    .expert = gpu_experts_expert,
                                                    .look_ahead = gpu_experts_look_ahead,
                                                    .foresee = gpu_experts_foresee,
                                                    .release = gpu_experts_release,
                                                    .bytes = gpu_experts_bytes,
                                                    .close = gpu_experts_close};

enum sw_status sw_store_gpu_experts_open(const struct sw_gpu_experts_options *options,
                                         struct sw_store **out)
{
    struct gpu_experts *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a store of %d layers", options->layers.count);
    s->base.ops = &gpu_experts_ops;
    s->options = *options;
    for (int i = 0; i < BUFFERS; i++)
        s->on_way[i] = -1;
    const enum sw_status status = gpu_experts_start(s);
    if (status != SW_OK) {
        gpu_experts_close(&s->base);
        return status;
    }
    *out = &s->base;
    return SW_OK;
}

/*
 * Owns the store of disk layers that are read by expert: everything but the experts is in memory,
 * and so are some experts, in places; which ones, expert_cache.h decides. When a layer's rows have
 * chosen, a thread of the store reads what is not there, packed as loading packs it, while the
 * chosen experts that are there are computed (expert_reading.c). Layers without experts are read
 * whole, each into the spare places, while the one before them is computed.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_fail.h"
#include "base/thread_start.h"
#include "base/timed_wait.h"
#include "checkpoint/reader.h"
#include "engine/expert_store_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct expert_store *experts_of(struct sw_store *s)
{
    return (struct expert_store *)(void *)s;
}

static struct sw_expert_layer *experts_layer(struct expert_store *s, int layer)
{
    return &s->kept.layers[layer - s->options.layers.first];
}

/* ---- places */

/* When an expert of the present layer is used: its index in the order; -1: not any more. */
static int experts_turn(const struct expert_store *s, int key)
{
    if (key < 0 || s->kept.layer_of[key] != s->layer)
        return -1;
    return sw_expert_order_turn(&s->order, sw_expert_of(&s->kept, key));
}

/* Whether the place may be given away: the right size, not being read, and not to be used soon.
 * Under the lock. */
static bool experts_may_go(const void *context, int place)
{
    const struct expert_store *s = context;
    const struct sw_expert_place *p = &s->kept.places[place];
    return (p->is_spare || p->bytes == s->kept.layers[s->layer].expert_bytes) &&
           p->state == SW_EXPERT_HERE && experts_turn(s, s->kept.cache.key_of[place]) < 0;
}

/* Of the places that hold what is used after turn `from`, the one whose turn comes last; -1: none.
 * Under the lock. */
static int experts_furthest(const struct expert_store *s, int from)
{
    int place = -1, last = from;
    for (int p = 0; p < s->kept.cache.n_places; p++) {
        const int turn = experts_turn(s, s->kept.cache.key_of[p]);
        if (turn > last && s->kept.places[p].state == SW_EXPERT_HERE) {
            place = p;
            last = turn;
        }
    }
    return place;
}

/* Asks for an expert in a place that is given away. Under the lock. */
static void experts_ask(struct expert_store *s, int place, int key)
{
    s->kept.places[place].state = SW_EXPERT_ASKED;
    s->kept.places[place].asked = ++s->n_asked;
    if (s->kept.places[place].is_spare) /* what lay there whole is gone */
        s->whole = -1;
    sw_expert_cache_put(&s->kept.cache, place, key);
    pthread_cond_broadcast(&s->changed);
}

/* Asks for what is to be used and is not there, as far as there are places. */
static void experts_ask_ahead(struct expert_store *s)
{
    const int first_key = s->kept.layers[s->layer].first_key;
    pthread_mutex_lock(&s->lock);
    for (int i = s->order.at; i < s->order.n; i++) {
        const int key = first_key + s->order.experts[i];
        if (s->kept.cache.place_of[key] >= 0)
            continue;
        int place = sw_expert_cache_victim(&s->kept.cache, experts_may_go, s);
        if (place < 0 && i == s->order.at)
            place = experts_furthest(s, i);
        if (place < 0)
            break;
        experts_ask(s, place, key);
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- what is read ahead */

/* A place for what is foreseen: none that is needed now or foreseen, too. Under the lock. */
static bool experts_may_go_ahead(const void *context, int place)
{
    const struct expert_store *s = context;
    const struct sw_expert_place *p = &s->kept.places[place];
    return (p->is_spare || p->bytes == s->kept.layers[s->layer + 1].expert_bytes) && !p->is_ahead &&
           p->state == SW_EXPERT_HERE && experts_turn(s, s->kept.cache.key_of[place]) < 0;
}

static void experts_look_ahead(struct sw_store *base, const struct sw_weights **next)
{
    struct expert_store *s = experts_of(base);
    const bool wanted =
        s->is_decode && !s->kept.has_whole && s->layer + 1 < s->options.layers.count;
    *next = wanted && sw_look_ahead_wanted(&s->look) ? &s->kept.layers[s->layer + 1].weights : NULL;
}

/* Asks for what is foreseen, for as many as half of the spare places at most, so that what is
 * chosen has room. Under the lock. */
static void experts_read_ahead(struct expert_store *s, const int32_t *experts, int n)
{
    const int first_key = s->kept.layers[s->layer + 1].first_key;
    int room = (s->kept.cache.n_places - s->kept.first_spare) / 2;
    for (int i = 0; i < n; i++) {
        const int place = s->kept.cache.place_of[first_key + experts[i]];
        if (place >= 0)
            s->kept.places[place].is_ahead = true; /* it stays */
    }
    for (int i = 0; i < n; i++) {
        if (!s->guessed[experts[i]])
            continue;
        const int place =
            room-- > 0 ? sw_expert_cache_victim(&s->kept.cache, experts_may_go_ahead, s) : -1;
        s->guessed[experts[i]] = place >= 0;
        if (place < 0)
            continue;
        experts_ask(s, place, first_key + experts[i]);
        s->kept.places[place].asked += SW_EXPERT_AHEAD;
        s->kept.places[place].is_ahead = true;
    }
}

static void experts_foresee(struct sw_store *base, const int32_t *experts, int n)
{
    struct expert_store *s = experts_of(base);
    const int first_key = s->kept.layers[s->layer + 1].first_key;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < n; i++)
        s->guessed[experts[i]] = s->kept.cache.place_of[first_key + experts[i]] < 0;
    s->guessed_at = sw_clock();
    s->waited_then = s->waited;
    if (s->look.is_on)
        experts_read_ahead(s, experts, n);
    pthread_mutex_unlock(&s->lock);
}

/* What was asked for ahead is as any other from now on, or given up if it is not needed and was not
 * begun. Under the lock. */
static void experts_end_ahead(struct expert_store *s)
{
    for (int p = 0; p < s->kept.cache.n_places; p++) {
        struct sw_expert_place *place = &s->kept.places[p];
        const int key = s->kept.cache.key_of[p];
        const bool was_asked = place->is_ahead && place->asked >= SW_EXPERT_AHEAD;
        place->is_ahead = false;
        if (!was_asked)
            continue;
        place->asked = ++s->n_asked;
        if (place->state == SW_EXPERT_ASKED && experts_turn(s, key) < 0) {
            s->guessed[sw_expert_of(&s->kept, key)] = false;
            sw_expert_cache_put(&s->kept.cache, p, -1);
            place->state = SW_EXPERT_HERE;
        }
    }
}

/* Judges what was guessed of the present layer, now that it is known which experts it needs. */
static void experts_settle(struct expert_store *s)
{
    int right = 0, wrong = 0;
    pthread_mutex_lock(&s->lock);
    experts_end_ahead(s);
    for (int e = 0; e < s->loader.model->dims.n_experts; e++) {
        right += s->guessed[e] && s->order.turn[e] >= 0;
        wrong += s->guessed[e] && s->order.turn[e] < 0;
        s->guessed[e] = false;
    }
    const double idle = sw_clock() - s->guessed_at - (s->waited - s->waited_then);
    const double each = s->n_read > 0 ? s->busy / (double)s->n_read : 0;
    sw_look_ahead_judge(&s->look, right, wrong, idle, each);
    pthread_mutex_unlock(&s->lock);
}

/* ---- whole layers */

/* Asks for a layer without experts, in the spare places; nothing else is being read. */
static void experts_ask_whole(struct expert_store *s, int index)
{
    if (s->kept.layers[index].expert_bytes > 0 || s->whole == index)
        return;
    pthread_mutex_lock(&s->lock);
    for (int p = s->kept.first_spare; p < s->kept.cache.n_places; p++)
        sw_expert_cache_put(&s->kept.cache, p, -1);
    s->whole = index;
    s->whole_is_asked = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- use */

/* Lists without experts, where another store has the rest of the layer. */
static enum sw_status experts_make_lists(struct expert_store *s, struct sw_weights *w)
{
    const size_t n = (size_t)s->kept.n_experts;
    w->expert_up = calloc(n, sizeof *w->expert_up);
    w->expert_down = calloc(n, sizeof *w->expert_down);
    w->n_experts = s->kept.n_experts;
    return w->expert_up && w->expert_down ? SW_OK
                                          : sw_fail(SW_ENOMEM, "no memory for %zu experts", n);
}

/* Of a layer by expert everything else, and those that were most used before. */
static enum sw_status experts_load(struct sw_store *base, struct sw_loader *loader, int layer)
{
    struct expert_store *s = experts_of(base);
    struct sw_expert_layer *l = experts_layer(s, layer);
    if (l->expert_bytes == 0)
        return SW_OK;
    loader->backend = s->options.cpu;
    loader->layout = s->options.gpu;
    loader->only = SW_ONLY_DENSE;
    enum sw_status status = s->options.gpu ? experts_make_lists(s, &l->weights)
                                           : sw_weights_load(loader, layer, 0, &l->weights);
    loader->only = 0;
    if (status == SW_OK)
        status = sw_expert_places_fill(&s->kept, loader, layer - s->options.layers.first);
    return status;
}

static enum sw_status experts_begin(struct sw_store *base, const int *layers, int n)
{
    struct expert_store *s = experts_of(base);
    (void)n;
    if (!s->has_begun) /* until then loading reads */
        s->before = s->opened = sw_reader_bytes(s->loader.reader);
    s->has_begun = true;
    experts_ask_whole(s, layers[0] - s->options.layers.first);
    return SW_OK;
}

static enum sw_status experts_acquire(struct sw_store *base, int layer,
                                      const struct sw_weights **out)
{
    struct expert_store *s = experts_of(base);
    s->layer = layer - s->options.layers.first;
    sw_expert_order_end(&s->order);
    *out = &s->kept.layers[s->layer].weights;
    if (s->kept.layers[s->layer].expert_bytes > 0)
        return SW_OK;
    experts_ask_whole(s, s->layer);
    return sw_experts_wait_for(s, -1);
}

static enum sw_status experts_matrix(struct sw_store *s, const struct sw_matrix **m)
{
    (void)s, (void)m;
    return SW_OK;
}

/* What was read since the last choice was read for it. */
static void experts_count_bytes(struct expert_store *s)
{
    const uint64_t now = sw_reader_bytes(s->loader.reader);
    if (s->is_decode)
        s->stats.decode_bytes += now - s->before;
    s->before = now;
}

/* Whether an expert of the present layer is there, and not only on its way. */
static bool experts_is_here(void *context, int expert)
{
    struct expert_store *s = context;
    const int place = s->kept.cache.place_of[s->kept.layers[s->layer].first_key + expert];
    pthread_mutex_lock(&s->lock);
    const bool here = place >= 0 && s->kept.places[place].state == SW_EXPERT_HERE;
    pthread_mutex_unlock(&s->lock);
    return here;
}

static enum sw_status experts_choose(struct sw_store *base, int n_rows, int32_t *chosen, int n,
                                     bool any_order)
{
    struct expert_store *s = experts_of(base);
    int hits;
    sw_expert_order_end(&s->order);
    if (s->kept.layers[s->layer].expert_bytes == 0)
        return SW_OK;
    experts_count_bytes(s);
    s->is_decode = n_rows <= s->loader.params.slots;
    if (s->is_decode && s->kept.layers[s->layer].first_key == 0)
        s->stats.decode_rows += (uint64_t)n_rows;
    for (int i = 0; i < n; i++)
        (void)sw_expert_cache_use(&s->kept.cache, s->kept.layers[s->layer].first_key + chosen[i]);
    sw_expert_order_set(&s->order, chosen, n, any_order, experts_is_here, s, &hits);
    memcpy(chosen, s->order.experts, (size_t)n * sizeof *chosen);
    if (s->is_decode) {
        s->stats.uses += (uint64_t)n;
        s->stats.hits += (uint64_t)hits;
    }
    experts_settle(s);
    experts_ask_ahead(s);
    return SW_OK;
}

static enum sw_status experts_expert(struct sw_store *base, int expert)
{
    struct expert_store *s = experts_of(base);
    const struct sw_expert_layer *l = &s->kept.layers[s->layer];
    if (l->expert_bytes == 0)
        return SW_OK;
    sw_expert_order_reach(&s->order, expert);
    experts_ask_ahead(s);
    const int *place = &s->kept.cache.place_of[l->first_key + expert];
    struct sw_reader_wait waiting = {0};
    while (*place < 0) { /* all are being read ahead */
        SW_TRY(sw_experts_wait_a_while(s, &waiting));
        experts_ask_ahead(s);
    }
    return sw_experts_wait_for(s, *place);
}

static enum sw_status experts_release(struct sw_store *base, int layer)
{
    struct expert_store *s = experts_of(base);
    const int index = layer - s->options.layers.first;
    sw_expert_order_end(&s->order);
    experts_ask_whole(s, (index + 1) % s->options.layers.count);
    return SW_OK;
}

static uint64_t experts_bytes(const struct sw_store *s)
{
    (void)s;
    return 0; /* none are a GPU's */
}

void sw_store_experts_stats(struct sw_store *base, struct sw_expert_stats *out)
{
    struct expert_store *s = experts_of(base);
    experts_count_bytes(s);
    s->stats.ahead = (uint64_t)s->look.read_right;
    *out = s->stats;
}

/* ---- opening and closing */

static void experts_log(const struct expert_store *s)
{
    const double bytes = (double)(sw_reader_bytes(s->loader.reader) - s->opened);
    const int64_t vain = s->look.read_wrong, ahead = s->look.read_right + vain;
    if (s->busy <= 0 || s->status != SW_OK)
        return;
    sw_log(SW_LOG_INFO, "experts from disk: %.1f GB, %.2f GB/s while reading", bytes / 1e9,
           bytes / s->busy / 1e9);
    if (ahead > 0)
        sw_log(SW_LOG_INFO, "experts read ahead: %lld, of which %lld were not chosen",
               (long long)ahead, (long long)vain);
}

static void experts_close(struct sw_store *base)
{
    struct expert_store *s = experts_of(base);
    struct sw_backend *cpu = s->options.cpu;
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stop, true);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (sw_reader_is_given_up(s->loader.reader)) { /* the thread never returns, and has all this */
        pthread_detach(s->thread);
        return;
    }
    if (s->has_thread)
        pthread_join(s->thread, NULL);
    experts_log(s);
    for (int i = 0; s->kept.layers && i < s->options.layers.count; i++)
        if (s->kept.layers[i].expert_bytes > 0)
            sw_weights_free(cpu, &s->kept.layers[i].weights);
        else
            sw_weights_forget_block(&s->kept.layers[i].weights);
    if (s->is_pinned)
        sw_pins_remove(s->options.pins, s->kept.block);
    sw_expert_places_close(&s->kept);
    sw_expert_order_close(&s->order);
    sw_weights_forget(&s->loader);
    sw_pool_free(s->loader.pool);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->guessed);
    free(s);
}

static const struct sw_store_ops experts_ops = {.load = experts_load,
                                                .begin = experts_begin,
                                                .acquire = experts_acquire,
                                                .matrix = experts_matrix,
                                                .choose = experts_choose,
                                                .expert = experts_expert,
                                                .look_ahead = experts_look_ahead,
                                                .foresee = experts_foresee,
                                                .release = experts_release,
                                                .bytes = experts_bytes,
                                                .close = experts_close};

static void experts_init(struct expert_store *s, const struct sw_experts_options *options)
{
    sw_timed_wait_init(&s->changed);
    pthread_mutex_init(&s->lock, NULL);
    s->base.ops = &experts_ops;
    s->options = *options;
    s->whole = -1;
    s->look.is_on = options->look_ahead;
    s->loader =
        sw_loader_apart(options->loader, options->cpu, options->gpu, sw_experts_progress, s);
}

static enum sw_status experts_lay_out(struct expert_store *s)
{
    const struct sw_experts_options *o = &s->options;
    const int experts = s->loader.model->dims.n_experts;
    const struct sw_expert_room room = {.backend = o->cpu,
                                        .model = s->loader.model,
                                        .params = &s->loader.params,
                                        .first = o->layers.first,
                                        .n_layers = o->layers.count,
                                        .cached = o->cached,
                                        .spare_bytes = o->spare_bytes,
                                        .what = "experts from disk",
                                        .uses = o->uses};
    SW_TRY(sw_expert_places_open(&room, &s->kept));
    s->is_pinned = o->gpu && sw_pins_add(o->pins, s->kept.block, s->kept.block_bytes);
    SW_TRY(sw_expert_order_open(experts, &s->order));
    s->guessed = calloc((size_t)(experts > 0 ? experts : 1), sizeof *s->guessed);
    return s->guessed ? SW_OK : sw_fail(SW_ENOMEM, "no memory for a list of %d experts", experts);
}

static enum sw_status experts_start(struct expert_store *s)
{
    SW_TRY(experts_lay_out(s));
    const int threads = s->options.loader->threads > 0 ? s->options.loader->threads : 1;
    SW_TRY(sw_pool_create(threads, NULL, 0, &s->loader.pool));
    const int error = sw_thread_start(&s->thread, NULL, sw_experts_thread, s);
    s->has_thread = error == 0;
    return error ? sw_thread_fail("the thread that reads experts from disk", error, "") : SW_OK;
}

enum sw_status sw_store_experts_open(const struct sw_experts_options *options,
                                     struct sw_store **out)
{
    struct expert_store *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return sw_fail(SW_ENOMEM, "no memory for a store of %d layers", options->layers.count);
    experts_init(s, options);
    const enum sw_status status = experts_start(s);
    if (status != SW_OK) {
        experts_close(&s->base);
        return status;
    }
    *out = &s->base;
    return SW_OK;
}

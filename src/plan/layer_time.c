/* Owns the time of a layer: products with its weights, attention over its context, copies. */
#include "plan/layer_time.h"

#include <math.h>

/* The share of a row's choices that are of the i-th most popular expert. */
static double layer_time_popularity(const struct sw_cost *c, const struct sw_layer_footprint *layer,
                                    int i)
{
    const struct sw_plan_options *o = c->options;
    return o->popularity && o->n_popularity == layer->n_experts ? o->popularity[i]
                                                                : 1.0 / layer->n_experts;
}

/* How many of the experts from the i-th most popular on are chosen by some row, on the average. */
static double layer_time_touched(const struct sw_cost *c, const struct sw_layer_footprint *layer,
                                 int from, double rows)
{
    double sum = 0;
    if (!c->options->popularity || c->options->n_popularity != layer->n_experts)
        return (layer->n_experts - from) *
               (1 - pow(1 - (double)layer->n_used / layer->n_experts, rows));
    for (int i = from; i < layer->n_experts; i++)
        sum += 1 - pow(1 - fmin(1, layer->n_used * layer_time_popularity(c, layer, i)), rows);
    return sum;
}

/* Weight bytes that a micro-batch reads: all of a dense layer; the experts that some row chose. */
static double read_bytes(const struct sw_cost *c, const struct sw_layer_footprint *layer,
                         double rows)
{
    const double all = (double)layer->weight_bytes, one = (double)layer->read_bytes;
    const double expert = (double)layer->expert_bytes;
    if (layer->n_experts)
        return all - expert * (layer->n_experts - layer_time_touched(c, layer, 0, rows));
    if (one >= all)
        return all;
    return all * (1 - pow(1 - one / all, rows));
}

uint64_t sw_layer_resident(const struct sw_layer_footprint *layer, int cached)
{
    if (cached == SW_READ_WHOLE || !layer->n_experts)
        return 0;
    const int out = layer->n_experts > cached ? layer->n_experts - cached : 0;
    return layer->weight_bytes - (uint64_t)out * layer->expert_bytes;
}

double sw_layer_moved_bytes(const struct sw_cost *c, const struct sw_layer_footprint *layer,
                            int cached, double rows)
{
    if (cached == SW_READ_WHOLE || !layer->n_experts)
        return (double)layer->weight_bytes;
    if (cached >= layer->n_experts)
        return 0;
    return (double)layer->expert_bytes * layer_time_touched(c, layer, cached, rows);
}

double sw_layer_hits(const struct sw_cost *c, const struct sw_layer_footprint *layer, int cached)
{
    double hits = 0;
    for (int i = 0; i < cached && i < layer->n_experts; i++)
        hits += layer_time_popularity(c, layer, i);
    return fmin(1, hits);
}

/* Mean number of positions that a row attends to. */
static double layer_time_positions(const struct sw_layer_footprint *layer,
                                   const struct sw_load *load)
{
    if (load->prompt > 0)
        return sw_layer_prompt_sees(layer, load->prompt);
    return layer->window > 0 ? fmin(layer->window, load->position) : load->position;
}

/*
 * KV rows that are read: each decoded token reads those it attends to; a prompt's chunk reads once
 * those that its last tokens attend to, and at least its own.
 */
static double kv_rows(const struct sw_layer_footprint *layer, const struct sw_load *load)
{
    const double seen = layer_time_positions(layer, load);
    return load->prompt > 0 ? fmax(load->rows, seen + (load->rows - 1) / 2) : load->rows * seen;
}

/* Bytes of states that are read and written: those of each decoded token's slot; a prompt's chunk
 * keeps its own at hand. */
static double state_bytes(const struct sw_layer_footprint *layer, const struct sw_load *load)
{
    return 2 * (double)layer->state_bytes * (load->prompt > 0 ? 1 : load->rows);
}

/* Whether the layer has nothing to do for these rows. */
static bool layer_idle(const struct sw_layer_footprint *layer, const struct sw_load *load)
{
    return layer->is_encoder && load->prompt <= 0;
}

/* Products of a layer, and the rest of it, on the GPU or the CPU. */
struct computing {
    double products, rest;
};

static struct computing layer_computing(const struct sw_cost *c, const struct sw_rank_resources *p,
                                        const struct sw_layer_footprint *layer, bool on_gpu,
                                        const struct sw_load *load)
{
    const double kv = (double)layer->kv_row_bytes * kv_rows(layer, load) + state_bytes(layer, load);
    const double weights = read_bytes(c, layer, load->rows);
    const double flops = layer->token_flops * load->rows;
    const double attend_flops =
        (layer->attend_flops * layer_time_positions(layer, load) + layer->state_flops) * load->rows;
    const double cpu_attend = load->prompt > 0 ? p->cpu_attend : p->cpu_attend_decode;
    if (on_gpu)
        return (struct computing){fmax(weights / p->gpu_bw, flops / p->gpu_flops),
                                  fmax(kv / p->gpu_bw, attend_flops / p->gpu_attend) +
                                      SW_LAYER_LAUNCHES * p->gpu_launch};
    return (struct computing){fmax(weights / p->host_bw, flops / p->cpu_flops),
                              fmax(kv / p->host_bw, attend_flops / cpu_attend)};
}

struct sw_layer_parts sw_layer_parts(const struct sw_cost *c, const struct sw_rank_resources *p,
                                     const struct sw_layer_footprint *layer, struct sw_place place,
                                     const struct sw_load *load)
{
    const bool passing = place.by_gpu && place.tier == SW_TIER_HOST;
    const bool streamed = place.tier == SW_TIER_STREAMED || passing;
    const struct computing t = layer_computing(c, p, layer, streamed, load);
    const double kv = (double)layer->kv_row_bytes * kv_rows(layer, load) + state_bytes(layer, load);
    const double weights = (double)layer->weight_bytes;
    struct sw_layer_parts parts = {.computing = t.products + t.rest};
    if (layer_idle(layer, load))
        return (struct sw_layer_parts){0};
    if (!streamed) {
        parts.memory = (read_bytes(c, layer, load->rows) + kv) / p->both_bw;
        return parts;
    }
    parts.bus = weights / p->bus_bw;
    parts.memory = weights / p->both_bw;
    if (passing) { /* its KV is in host memory: earlier rows come along and new ones go back, before
                      and after the rest */
        const double copies = kv + (double)layer->kv_row_bytes * load->rows;
        parts.computing += copies / p->bus_bw;
        parts.bus += copies / p->bus_bw;
        parts.memory += copies / p->both_bw;
    }
    return parts;
}

static double layer_disk_time(const struct sw_cost *c, const struct sw_rank_resources *p,
                              const struct sw_layer_footprint *layer, struct sw_place place,
                              const struct sw_load *load)
{
    struct computing t = layer_computing(c, p, layer, place.by_gpu, load);
    const double bytes = sw_layer_moved_bytes(c, layer, place.cached, load->rows);
    const double reading = bytes * c->disk_scale / p->disk_bw;
    if (place.by_gpu) /* it is copied when the one before it has been run */
        t.products += bytes / p->bus_bw;
    /* which experts are to be read is known only behind attention */
    if (place.cached != SW_READ_WHOLE && layer->n_experts)
        return fmax(t.products, reading) + t.rest;
    return fmax(t.products + t.rest, reading);
}

double sw_layer_time(const struct sw_cost *c, const struct sw_rank_resources *p,
                     const struct sw_layer_footprint *layer, struct sw_place place,
                     const struct sw_load *load)
{
    const bool by_expert = place.tier == SW_TIER_STREAMED && place.cached != SW_READ_WHOLE;
    if (layer_idle(layer, load))
        return 0;
    if (place.tier == SW_TIER_DISK)
        return layer_disk_time(c, p, layer, place, load);
    if (place.tier == SW_TIER_GPU || by_expert) {
        const struct computing t = layer_computing(c, p, layer, true, load);
        const double copying =
            by_expert ? sw_layer_moved_bytes(c, layer, place.cached, load->rows) / p->bus_bw : 0;
        return layer->n_experts ? fmax(t.products, copying) + t.rest
                                : t.products + t.rest + copying;
    }
    const struct sw_layer_parts parts = sw_layer_parts(c, p, layer, place, load);
    return fmax(parts.computing, fmax(parts.bus, parts.memory));
}

double sw_embed_time(const struct sw_cost *c, const struct sw_rank_resources *p, bool on_gpu,
                     double rows)
{
    const double bytes = (double)c->fp->embed_read_bytes * rows;
    return bytes / (on_gpu ? p->gpu_bw : p->host_bw);
}

double sw_head_time(const struct sw_cost *c, const struct sw_rank_resources *p, bool on_gpu,
                    const struct sw_load *load)
{
    const double bytes = (double)c->fp->head_bytes;
    const double flops = c->fp->head_flops * (load->prompt > 0 ? 1 : load->rows);
    return on_gpu ? fmax(bytes / p->gpu_bw, flops / p->gpu_flops)
                  : fmax(bytes / p->host_bw, flops / p->cpu_flops);
}

double sw_crossing_time(const struct sw_cost *c, const struct sw_rank_resources *p, double rows)
{
    return SW_CROSSING_LATENCY + rows * (double)c->fp->hop_bytes / p->bus_bw;
}

int sw_prompt_tokens(const struct sw_cost *c)
{
    return c->options->prompt_tokens > 0 ? c->options->prompt_tokens : 1;
}

struct sw_load sw_decode_load(const struct sw_cost *c)
{
    return (struct sw_load){.rows = c->micro_batch, .position = c->position};
}

struct sw_load sw_prompt_load(const struct sw_cost *c, int rows)
{
    return (struct sw_load){.rows = rows, .prompt = sw_prompt_tokens(c)};
}

/* Owns the time of a layer: products with its weights, attention over its context, copies. */
#include "plan/layer_time.h"

#include <math.h>

/* Weight bytes that a micro-batch reads: all of a dense layer; the experts that some row chose. */
static double read_bytes(const struct sw_layer_footprint *layer, double rows)
{
    const double all = (double)layer->weight_bytes, one = (double)layer->read_bytes;
    if (one >= all)
        return all;
    return all * (1 - pow(1 - one / all, rows));
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

double sw_layer_time(const struct sw_cost *c, const struct sw_rank_resources *p,
                     const struct sw_layer_footprint *layer, enum sw_tier tier, bool by_gpu,
                     const struct sw_load *load)
{
    const bool passing = by_gpu && tier == SW_TIER_HOST;
    const bool streamed = tier == SW_TIER_STREAMED || passing;
    const double kv = (double)layer->kv_row_bytes * kv_rows(layer, load);
    const double weights = read_bytes(layer, load->rows);
    const double products = layer->token_flops * load->rows;
    const double attention = layer->attend_flops * load->rows * layer_time_positions(layer, load);
    const double cpu_attend = load->prompt > 0 ? p->cpu_attend : p->cpu_attend_decode;
    const bool on_gpu = tier == SW_TIER_GPU || streamed || (tier == SW_TIER_DISK && by_gpu);
    double t = on_gpu ? fmax(weights / p->gpu_bw, products / p->gpu_flops) +
                            fmax(kv / p->gpu_bw, attention / p->gpu_attend) +
                            SW_LAYER_LAUNCHES * p->gpu_launch
                      : fmax(weights / p->host_bw, products / p->cpu_flops) +
                            fmax(kv / p->host_bw, attention / cpu_attend);
    if (streamed)
        t = fmax(t, (double)layer->weight_bytes / p->bus_bw);
    if (passing) /* its KV is in host memory: earlier rows come along and new ones
                                    go back, before and after the rest */
        t += (kv + (double)layer->kv_row_bytes * load->rows) / p->bus_bw;
    if (tier == SW_TIER_DISK && by_gpu) /* it is copied when the one before it has been run */
        t += (double)layer->weight_bytes / p->bus_bw;
    if (tier == SW_TIER_DISK)
        t = fmax(t, (double)layer->weight_bytes * c->disk_scale / p->disk_bw);
    return t;
}

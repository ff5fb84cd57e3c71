/* Owns the arithmetic of sizes: what the planner promises and the engine allocates. */
#include "model/weight_format.h"

#include "base/checked.h"
#include "model/model.h"
#include "sample/sampler.h"

#include <math.h>
#include <stdlib.h>

int sw_model_kv_caches(const struct sw_model *model, int layer)
{
    const int kinds = model->layer_kinds[layer];
    return kinds & (SW_LAYER_ENCODER | SW_LAYER_DELTA) ? 0 : kinds & SW_LAYER_CROSS ? 2 : 1;
}

int sw_model_states(int slots)
{
    return slots > 1 ? 2 * slots : slots;
}

uint64_t sw_model_layer_bytes(const struct sw_model *model, const struct sw_footprint_params *p,
                              int layer)
{
    const int64_t state = sw_delta_floats(&model->dims.delta);
    if (model->layer_kinds[layer] & SW_LAYER_DELTA)
        return (uint64_t)sw_model_states(p->slots) * (uint64_t)state * sizeof(float);
    return (uint64_t)sw_model_kv_caches(model, layer) * sw_model_kv_bytes(model, p, layer);
}

bool sw_model_keeps_states(const struct sw_model *model)
{
    bool keeps = false;
    for (int i = 0; i < model->dims.n_layers; i++)
        keeps |= (model->layer_kinds[i] & SW_LAYER_DELTA) != 0;
    return keeps;
}

static int64_t widest_mlp(const struct sw_dims *d)
{
    return sw_max_i64(d->ffn, d->borrower_ffn);
}

struct sw_work sw_work_of(const struct sw_model *model, const struct sw_footprint_params *p)
{
    const struct sw_dims *d = &model->dims;
    const bool gated = model->arch->gated;
    const struct sw_attention_widths widths = sw_model_attention_widths(model);
    bool routed = false, dense = false;
    for (int i = 0; i < d->n_layers; i++) {
        routed |= (model->layer_kinds[i] & SW_LAYER_ROUTED) != 0;
        dense |= sw_model_has_mlp(model, i);
    }
    struct sw_work w = {
        .rows = p->max_batch_tokens > SW_LOGIT_ROWS ? p->max_batch_tokens : SW_LOGIT_ROWS,
        .hidden = sw_max_i64(sw_model_aside(model).width, d->embed_dim),
        .qkv = sw_max_i64(widths.row, sw_model_delta_layout(model).width),
        .attention = sw_max_i64(widths.attention, (int64_t)d->delta.v_heads * d->delta.v_dim),
        .up = sw_max_i64(dense ? widest_mlp(d) * (gated ? 2 : 1) : 0,
                         routed ? sw_max_i64(d->expert_ffn, d->shared_ffn) * (gated ? 2 : 1) : 0),
        .router = routed ? d->n_experts : 0,
        .expert = routed ? d->hidden : 0,
        .rope = (int64_t)p->context * sw_max_i64(d->rotary_dim, d->whole.rotary),
        .slopes = model->arch->position == SW_POS_ALIBI ? d->n_heads : 0,
        .ones = model->arch->qk_norm_plain || model->arch->v_norm
                    ? sw_max_i64(d->head_dim, d->whole.dim)
                    : 0,
        .buckets = d->n_buckets ? 2 * (2 * (int64_t)d->bucket_reach + 1) : 0,
        .kv = d->n_encoder ? sw_model_kv_bytes(model, p, 0) : 0,
    };
    w.up = sw_max_i64(w.up, 2 * (int64_t)d->input_dim);
    const uint64_t rows = (uint64_t)w.rows;
    w.bytes = 3 * sw_round_up(rows * (uint64_t)w.hidden * sizeof(float), SW_ALIGN);
    const int64_t per_row[] = {w.qkv, w.attention, w.up, w.router, w.expert, w.expert};
    for (size_t i = 0; i < sizeof per_row / sizeof per_row[0]; i++)
        w.bytes += sw_round_up(rows * (uint64_t)per_row[i] * sizeof(float), SW_ALIGN);
    w.bytes += (uint64_t)d->n_ropes * sw_vector_bytes(w.rope) + sw_vector_bytes(w.slopes) +
               sw_vector_bytes(w.ones) + sw_vector_bytes(w.buckets) + sw_round_up(w.kv, SW_ALIGN);
    return w;
}

/* Bytes, bytes read per token, flops per token, and the largest matrix of a list of weights. */
struct sums {
    uint64_t bytes, read, matrix;
    uint64_t experts;         /* bytes of all experts */
    uint64_t one[SW_W_COUNT]; /* bytes of a weight of the first expert */
    bool unlike;              /* another one's has other bytes */
    double flops;
    uint8_t cpu_only; /* as of struct sw_footprint */
};

static uint8_t footprint_cpu_only(const struct sw_footprint_params *p,
                                  const struct sw_weight_spec *spec)
{
    struct sw_weight_piece pieces[SW_MAX_SOURCES];
    const int n = spec->is_matrix ? sw_weight_pieces(spec, p, pieces) : 0;
    for (int i = 0; i < n; i++)
        if (sw_format_of(pieces[i].format)->cpu_only)
            return (uint8_t)(1 + pieces[i].format);
    return 0;
}

static void footprint_count(const struct sw_model *model, const struct sw_footprint_params *p,
                            const struct sw_weight_spec *spec, struct sums *sums)
{
    const uint64_t bytes = sw_weight_bytes(spec, p);
    const double share =
        spec->expert < 0 ? 1 : (double)model->dims.n_experts_used / (double)model->dims.n_experts;
    sums->bytes += bytes;
    sums->experts += spec->expert < 0 ? 0 : bytes;
    if (spec->expert == 0)
        sums->one[spec->id] = bytes;
    sums->unlike |= spec->expert > 0 && sums->one[spec->id] != bytes;
    sums->read += (uint64_t)((double)bytes * share);
    if (spec->is_matrix && bytes > sums->matrix)
        sums->matrix = bytes;
    if (!sums->cpu_only)
        sums->cpu_only = footprint_cpu_only(p, spec);
    if (spec->is_matrix)
        sums->flops += 2 * (double)spec->rows * (double)spec->cols * share;
}

static void count_globals(const struct sw_model *model, const struct sw_footprint_params *p,
                          struct sw_footprint *out)
{
    const struct sw_weight_spec *specs;
    const size_t n = sw_model_weights(model, SW_GLOBAL, &specs);
    struct sums embed = {0}, head = {0};
    for (size_t i = 0; i < n; i++) {
        footprint_count(model, p, &specs[i], specs[i].part == SW_PART_EMBED ? &embed : &head);
        if (specs[i].id != SW_W_EMBED && specs[i].id != SW_W_INPUT_TABLE)
            continue;
        const enum sw_format_id format = sw_weight_format(&specs[i], 0, p);
        out->embed_read_bytes += sw_format_bytes(format, specs[i].cols);
        if (model->dims.tied && specs[i].id == SW_W_EMBED)
            out->tied_bytes = sw_matrix_bytes(format, specs[i].rows, specs[i].cols);
    }
    out->embed_bytes = embed.bytes;
    out->head_bytes = head.bytes;
    out->head_flops = head.flops;
    if (!out->cpu_only)
        out->cpu_only = embed.cpu_only ? embed.cpu_only : head.cpu_only;
}

static struct sums sum_layer(const struct sw_model *model, const struct sw_footprint_params *p,
                             int layer)
{
    const struct sw_weight_spec *specs;
    const size_t n = sw_model_weights(model, layer, &specs);
    struct sums sums = {0};
    for (size_t i = 0; i < n; i++)
        footprint_count(model, p, &specs[i], &sums);
    return sums;
}

/* Bytes of each expert; 0: there are none, or they differ, so that one has no place for another. */
static uint64_t sums_expert(const struct sw_model *model, const struct sums *sums)
{
    return sums->unlike || !sums->experts ? 0 : sums->experts / (uint64_t)model->dims.n_experts;
}

static void count_layer(const struct sw_model *model, const struct sw_footprint_params *p,
                        int layer, struct sw_footprint *footprint)
{
    const struct sw_dims *d = &model->dims;
    struct sw_layer_footprint *out = &footprint->layers[layer];
    const struct sw_head_dims heads = sw_model_heads(model, layer);
    const struct sums sums = sum_layer(model, p, layer);
    if (sums.matrix > footprint->matrix_bytes)
        footprint->matrix_bytes = sums.matrix;
    const bool wide =
        d->latent.kv > SW_GPU_LATENT_VALUES || (d->latent.kv && d->head_dim > SW_GPU_LATENT_DIM);
    if (!footprint->cpu_only)
        footprint->cpu_only = wide                                           ? SW_CPU_ONLY_LATENT
                              : !d->latent.kv && heads.dim > SW_GPU_HEAD_DIM ? SW_CPU_ONLY_HEADS
                                                                             : sums.cpu_only;
    out->weight_bytes = sums.bytes;
    out->read_bytes = sums.read;
    out->token_flops = sums.flops;
    out->expert_bytes = sums_expert(model, &sums);
    if (out->expert_bytes) {
        out->n_experts = d->n_experts;
        out->n_used = d->n_experts_used;
    }
    const int caches = sw_model_kv_caches(model, layer), attentions = caches > 1 ? caches : 1;
    out->is_encoder = model->layer_kinds[layer] & SW_LAYER_ENCODER;
    /* scores, and the sum of values */
    const int values = d->latent.kv ? d->latent.kv : heads.dim;
    out->attend_flops = 2.0 * attentions * d->n_heads * (heads.dim + values);
    out->window = model->layer_kinds[layer] & SW_LAYER_SLIDING ? d->window : 0;
    out->kv_bytes = sw_model_layer_bytes(model, p, layer);
    if (model->layer_kinds[layer] & SW_LAYER_DELTA) {
        const struct sw_delta_dims *delta = &d->delta;
        out->state_bytes = (uint64_t)sw_delta_floats(delta) * sizeof(float);
        out->attend_flops = 0;
        /* decay, what the state has of the key, what is added to it, what it has of the query */
        out->state_flops = 7.0 * delta->v_heads * delta->k_dim * delta->v_dim;
    }
    out->kv_row_bytes = (uint64_t)caches * (d->latent.kv ? 1 : 2) * (uint64_t)heads.n_kv *
                        (uint64_t)heads.dim * sw_dtype_info(p->kv)->bits / 8;
}

/* Numbers from a command line, unlike those of a checked model, could make sums overflow. */
static enum sw_status check_kv(const struct sw_model *model, const struct sw_footprint_params *p)
{
    const struct sw_dims *d = &model->dims;
    const double head =
        fmax((double)d->n_kv_heads * d->head_dim, (double)d->whole.n_kv * d->whole.dim);
    const double row = (d->n_encoder ? 4.0 : 2.0) * d->n_layers * head;
    const double states = (double)d->n_layers * (double)sw_delta_floats(&d->delta) * sizeof(float);
    if ((double)p->slots * (p->context * row * sw_dtype_info(p->kv)->bits / 8 + 2 * states) <
        0x1p60)
        return SW_OK;
    return sw_fail(SW_EUSAGE, "%d slots of %d positions are more than 1 EiB of KV cache", p->slots,
                   p->context);
}

/* What the last stage allocates besides logits: samplers, of which at most one a row of logits is
 * used, each slot's ids, and what lists a micro-batch's rows. */
static uint64_t sampling_bytes(const struct sw_model *model, const struct sw_footprint_params *p)
{
    return SW_LOGIT_ROWS * sw_sampler_bytes((size_t)model->dims.vocab) +
           (uint64_t)p->slots * (uint64_t)p->context * sizeof(int32_t) +
           2 * (uint64_t)p->max_batch_tokens * sizeof(int32_t);
}

enum sw_status sw_footprint_of(const struct sw_model *model, const struct sw_footprint_params *p,
                               struct sw_footprint *out)
{
    *out = (struct sw_footprint){
        .params = *p, .n_layers = model->dims.n_layers, .has_encoder = model->dims.n_encoder > 0};
    if (model->dims.context > 0 && p->context > model->dims.context)
        return sw_fail(SW_EUSAGE, "--context %d: the model was made for at most %d positions",
                       p->context, model->dims.context);
    SW_TRY(check_kv(model, p));
    out->layers = calloc((size_t)out->n_layers, sizeof *out->layers);
    if (!out->layers)
        return sw_fail(SW_ENOMEM, "no memory for the footprint of %d layers", out->n_layers);
    for (int i = 0; i < out->n_layers; i++)
        count_layer(model, p, i, out);
    count_globals(model, p, out);
    const struct sw_work work = sw_work_of(model, p);
    out->hop_bytes = (uint64_t)sw_model_aside(model).width * sizeof(float);
    out->work_bytes = work.bytes + sw_scratch_bytes(model, p->max_batch_tokens);
    out->gpu_workspace_bytes = sw_gpu_workspace_bytes(work.rows, sw_model_max_cols(model),
                                                      sw_model_max_out(model, work.rows));
    out->gpu_work_bytes = work.bytes + out->gpu_workspace_bytes;
    out->logits_bytes = (uint64_t)SW_LOGIT_ROWS * (uint64_t)model->dims.vocab * sizeof(float);
    out->sampler_bytes = sampling_bytes(model, p);
    out->load_bytes = 2 * (uint64_t)SW_LOAD_CHUNK + model->load_bytes;
    out->disk_read_bytes = out->load_bytes; /* the same reader */
    return SW_OK;
}

double sw_layer_prompt_sees(const struct sw_layer_footprint *layer, double n)
{
    const double window = layer->window;
    if (layer->is_encoder)
        return n;
    if (window <= 0 || window >= n)
        return (n + 1) / 2;
    return (window * (window + 1) / 2 + (n - window) * window) / n;
}

int64_t sw_model_max_cols(const struct sw_model *model)
{
    const struct sw_dims *d = &model->dims;
    int64_t cols = sw_max_i64(d->hidden, sw_model_attention_widths(model).attention);
    cols = sw_max_i64(cols, (int64_t)d->delta.v_heads * d->delta.v_dim);
    cols = sw_max_i64(cols, sw_max_i64(d->latent.kv, sw_max_i64(d->latent.q, d->latent.plain)));
    cols = sw_max_i64(cols, d->input_dim);
    cols = sw_max_i64(cols, sw_max_i64(widest_mlp(d), sw_max_i64(d->expert_ffn, d->shared_ffn)));
    return sw_max_i64(cols, d->embed_dim);
}

int64_t sw_model_max_out(const struct sw_model *model, int64_t rows)
{
    const struct sw_dims *d = &model->dims;
    const int64_t halves = model->arch->gated ? 2 : 1;
    int64_t out =
        sw_max_i64(sw_model_attention_widths(model).made, sw_max_i64(d->hidden, d->embed_dim));
    if (d->latent.kv) /* queries, and values and latents of a head */
        out = sw_max_i64(sw_max_i64(out, (int64_t)d->n_heads * (d->latent.plain + d->rotary_dim)),
                         sw_max_i64(d->latent.kv, d->latent.out));
    out = sw_max_i64(out, sw_model_delta_layout(model).width);
    out = sw_max_i64(out, (int64_t)d->n_layers * d->input_dim);
    out = sw_max_i64(out,
                     halves * sw_max_i64(widest_mlp(d), sw_max_i64(d->expert_ffn, d->shared_ffn)));
    const int64_t head = (SW_LOGIT_ROWS * (int64_t)d->vocab + rows - 1) / rows;
    return sw_max_i64(sw_max_i64(out, d->n_experts), rows > SW_LOGIT_ROWS ? head : d->vocab);
}

uint64_t sw_gpu_workspace_bytes(int64_t rows, int64_t max_cols, int64_t max_out)
{
    const uint64_t row = (uint64_t)max_out * sizeof(float);
    uint64_t sums = (uint64_t)rows * row;
    if (sums > SW_GPU_SUMS_BYTES)
        sums = row > SW_GPU_SUMS_BYTES ? row : SW_GPU_SUMS_BYTES;
    return sw_round_up((uint64_t)rows * (uint64_t)max_cols * sizeof(float), SW_ALIGN) +
           sw_round_up(sums, SW_ALIGN) + SW_GPU_WORKSPACE_FIXED + SW_GPU_ROUNDING;
}

struct sw_staging sw_staging_of(const struct sw_model *model, const struct sw_footprint_params *p)
{
    struct sw_staging staging = {0};
    for (int i = 0; i < model->dims.n_layers; i++) {
        staging.kv = sw_max_u64(staging.kv, sw_model_kv_bytes(model, p, i));
        const struct sums sums = sum_layer(model, p, i);
        staging.layer = sw_max_u64(staging.layer, sums.bytes);
        staging.matrix = sw_max_u64(staging.matrix, sums.matrix);
        if (model->layer_kinds[i] & SW_LAYER_DELTA)
            staging.kv = sw_max_u64(staging.kv, sw_model_layer_bytes(model, p, i));
        const uint64_t expert = sums_expert(model, &sums);
        staging.unit = sw_max_u64(
            staging.unit, expert ? (uint64_t)model->dims.n_experts_used * expert : sums.bytes);
    }
    return staging;
}

uint64_t sw_expert_bytes(const struct sw_model *model, const struct sw_footprint_params *p,
                         int layer)
{
    const struct sums sums = sum_layer(model, p, layer);
    return sums_expert(model, &sums);
}

uint64_t sw_scratch_bytes(const struct sw_model *model, int rows)
{
    return sw_round_up((uint64_t)rows * (uint64_t)sw_model_max_cols(model) * sizeof(float),
                       SW_ALIGN) +
           SW_SCRATCH_FIXED;
}

void sw_footprint_free(struct sw_footprint *footprint)
{
    free(footprint->layers);
    footprint->layers = NULL;
}

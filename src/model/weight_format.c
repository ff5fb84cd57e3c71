/* Owns the choice of a format for each weight. */
#include "model/weight_format.h"

#include "base/checked.h"

enum sw_weight_role sw_weight_role(const struct sw_weight_spec *spec, int source)
{
    static const enum sw_weight_role roles[SW_W_COUNT] = {
        [SW_W_EMBED] = SW_ROLE_EMBED,
        [SW_W_INPUT_TABLE] = SW_ROLE_EMBED,
        [SW_W_HEAD] = SW_ROLE_HEAD,
        [SW_W_QKV] = SW_ROLE_QKV,
        [SW_W_OUT] = SW_ROLE_OUT,
        [SW_W_UP] = SW_ROLE_UP,
        [SW_W_DOWN] = SW_ROLE_DOWN,
        [SW_W_ROUTER] = SW_ROLE_ROUTER,
        [SW_W_CROSS_Q] = SW_ROLE_QKV,
        [SW_W_CROSS_KV] = SW_ROLE_QKV,
        [SW_W_CROSS_OUT] = SW_ROLE_OUT,
        [SW_W_SHARED_UP] = SW_ROLE_UP,
        [SW_W_SHARED_DOWN] = SW_ROLE_DOWN,
        [SW_W_SHARED_ROUTER] = SW_ROLE_ROUTER,
        [SW_W_DELTA_GATES] = SW_ROLE_ROUTER,
    };
    static const enum sw_weight_role of_qkv[SW_MAX_SOURCES] = {SW_ROLE_Q, SW_ROLE_K, SW_ROLE_V};
    if (spec->id == SW_W_QKV && spec->n_sources == SW_MAX_SOURCES)
        return of_qkv[source];
    if (spec->expert >= 0)
        return spec->id == SW_W_UP ? SW_ROLE_EXPERT_UP : SW_ROLE_EXPERT_DOWN;
    return roles[spec->id];
}

/* Gate and up are one matrix: whether both have the same blocks, with the same behind them. */
static bool held_alike(const struct sw_weight_spec *spec)
{
    const struct sw_weight_source *first = &spec->sources[0];
    bool alike = true;
    for (int s = 1; s < spec->n_sources && spec->id != SW_W_QKV; s++)
        alike = alike && spec->sources[s].held == first->held &&
                spec->sources[s].behind == first->behind;
    return alike;
}

/* Where they are not alike, blocks that have nothing behind them may be. */
static enum sw_format_id held_format(const struct sw_weight_spec *spec, int source,
                                     enum sw_format_id unquantized)
{
    const bool alike = held_alike(spec);
    const int held = alike ? spec->sources[source].held : spec->sources[source].held_alone;
    for (int s = 0; s < spec->n_sources && !alike; s++)
        if (spec->sources[s].held_alone != held)
            return unquantized;
    return held ? (enum sw_format_id)(held - 1) : unquantized;
}

static enum sw_format_id mix_format(const struct sw_weight_spec *spec, enum sw_weight_role role,
                                    const struct sw_footprint_params *params)
{
    const enum sw_format_id format = sw_format_id_of(
        sw_mix_format(params->mix, &params->mix_shape, role, spec->layer, spec->cols));
    return format == SW_FORMAT_NONE ? params->unquantized : format;
}

enum sw_format_id sw_weight_format(const struct sw_weight_spec *spec, int source,
                                   const struct sw_footprint_params *params)
{
    const enum sw_weight_role role = sw_weight_role(spec, source);
    const int asked = params->by_role[role];
    if (asked)
        return (enum sw_format_id)(asked - 1);
    if (params->mix)
        return mix_format(spec, role, params);
    if (params->as_stored)
        return held_format(spec, source, params->unquantized);
    return spec->is_linear || !sw_format_is_quantized(params->weights) ? params->weights
                                                                       : params->unquantized;
}

/* What lies behind a source in this format; 0: it is not kept as its file has it, or has nothing.
 */
static uint64_t weight_behind(const struct sw_weight_spec *spec, int source,
                              enum sw_format_id format)
{
    const struct sw_weight_source *of = &spec->sources[source];
    return of->held == 1 + (int)format && held_alike(spec) ? of->behind : 0;
}

int sw_weight_pieces(const struct sw_weight_spec *spec, const struct sw_footprint_params *params,
                     struct sw_weight_piece pieces[SW_MAX_SOURCES])
{
    int n = 0;
    int64_t row = 0;
    for (int source = 0; source < spec->n_sources; source++) {
        const enum sw_format_id format = sw_weight_format(spec, source, params);
        const uint64_t behind = weight_behind(spec, source, format);
        if (n == 0 || pieces[n - 1].format != format || pieces[n - 1].behind != behind)
            pieces[n++] = (struct sw_weight_piece){
                .format = format, .behind = behind, .first = source, .row = row};
        pieces[n - 1].n_sources++;
        pieces[n - 1].rows += spec->sources[source].rows;
        row += spec->sources[source].rows;
    }
    return n;
}

uint64_t sw_weight_order_bytes(const struct sw_weight_piece *piece, int64_t cols)
{
    return piece->behind && !sw_format_of(piece->format)->table
               ? sw_round_up((uint64_t)cols * sizeof(int32_t), SW_ALIGN)
               : 0;
}

uint64_t sw_weight_bytes(const struct sw_weight_spec *spec,
                         const struct sw_footprint_params *params)
{
    struct sw_weight_piece pieces[SW_MAX_SOURCES];
    uint64_t bytes = 0;
    if (!spec->is_matrix)
        return sw_vector_bytes(spec->rows);
    const int n = sw_weight_pieces(spec, params, pieces);
    for (int i = 0; i < n; i++)
        bytes += sw_matrix_bytes(pieces[i].format, pieces[i].rows, spec->cols) +
                 sw_weight_order_bytes(&pieces[i], spec->cols);
    return bytes;
}

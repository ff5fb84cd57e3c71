/*
 * What each weight of a model is kept in: the one place that says so, for footprint, plan and
 * loader. Sources of one weight (Q, K and V) may differ; it is then kept in pieces, a matrix each,
 * whose outputs lie side by side as those of one.
 */
#ifndef SW_MODEL_WEIGHT_FORMAT_H
#define SW_MODEL_WEIGHT_FORMAT_H

#include "model/footprint.h"
#include "model/model.h"

/*
 * The format of the rows of a matrix that come from `source`: what params ask for its role. Else
 * what params.mix says, if there is one, or what the file has, if params.as_stored; else
 * params.weights; but quantized ones are for the linear matrices of layers only: embeddings,
 * projections, the router and the head are then kept in params.unquantized. Vectors are f32 always.
 */
enum sw_format_id sw_weight_format(const struct sw_weight_spec *spec, int source,
                                   const struct sw_footprint_params *params);
enum sw_weight_role sw_weight_role(const struct sw_weight_spec *spec, int source);

/* Consecutive sources of a matrix in one format, with the same behind them: rows [row, row + rows)
 * of it. */
struct sw_weight_piece {
    enum sw_format_id format;
    uint64_t behind; /* of the sources' twins (struct sw_tensor), which are kept; 0: of none */
    int first, n_sources;
    int64_t row, rows;
};
/* Returns how many: 1 to SW_MAX_SOURCES, and 1 for all weights but SW_W_QKV. */
int sw_weight_pieces(const struct sw_weight_spec *spec, const struct sw_footprint_params *params,
                     struct sw_weight_piece pieces[SW_MAX_SOURCES]);
/* Bytes of the order of columns that lies behind a piece's matrix. A table is the matrix's own. */
uint64_t sw_weight_order_bytes(const struct sw_weight_piece *piece, int64_t cols);
/* Bytes of a weight in memory, a matrix or a vector; each piece is a multiple of SW_ALIGN. */
uint64_t sw_weight_bytes(const struct sw_weight_spec *spec,
                         const struct sw_footprint_params *params);

#endif

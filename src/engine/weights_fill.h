/* What gets into the weights of a stage. Between stage_weights.c, which gives each its place, and
 * weights_fill.c. */
#ifndef SW_ENGINE_WEIGHTS_FILL_H
#define SW_ENGINE_WEIGHTS_FILL_H

#include "engine/stage_weights.h"
#include "model/weight_format.h"

/*
 * Fills a vector at d_vector (`matrix` is NULL), or a matrix that has its place, from the sources
 * of a piece; or puts them on the loader's list, which sw_weights_read reads. Columns' order and
 * tables are not its business. Errors are those of reading, SW_EMODEL for a vector in blocks,
 * SW_ENOMEM.
 */
enum sw_status sw_weights_fill(struct sw_loader *l, const struct sw_weight_spec *spec,
                               const struct sw_weight_piece *piece, struct sw_matrix *matrix,
                               float *d_vector);
/* Whether the tensor, source `source` of a weight, is one for the list: whole rows for a CPU's
 * memory. */
bool sw_weights_can_wait(const struct sw_loader *l, const struct sw_weight_spec *spec, int source,
                         const struct sw_tensor *tensor);

#endif

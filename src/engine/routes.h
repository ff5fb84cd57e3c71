/*
 * The file of `--routes`: which experts were chosen, as lines of JSON (docs/formats.md, Routes), on
 * rank 0. What cannot be written is left out, and close logs a warning.
 */
#ifndef SW_ENGINE_ROUTES_H
#define SW_ENGINE_ROUTES_H

#include "model/model.h"

struct sw_routes;

/* Creates the file, and writes its first line. As of sw_file_write_stream; SW_EUSAGE: the model has
 * no experts. The caller frees by close; `model` must outlive it. */
enum sw_status sw_routes_open(const char *path, const struct sw_model *model,
                              struct sw_routes **out);
/* What the rows of micro-batch `step` chose in a layer: chosen (n_rows, n_experts_used), checked.
 * The file can be read after sw_routes_flush. */
void sw_routes_add(struct sw_routes *routes, int64_t step, int layer, const int32_t *chosen,
                   int n_rows);
void sw_routes_flush(struct sw_routes *routes);
/* Writes how often each expert was chosen. `routes` may be NULL. */
void sw_routes_close(struct sw_routes *routes);

#endif

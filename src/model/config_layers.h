/* Reads in which properties the layers of a model differ. */
#ifndef SW_MODEL_CONFIG_LAYERS_H
#define SW_MODEL_CONFIG_LAYERS_H

#include "model/config_keys.h"
#include "model/model.h"

/* Fills in model->layer_kinds, which are 0 before, and dims of windows and experts. SW_EMODEL: a
 * list of another length, an unknown kind of layer, a layer that would have no MLP. */
enum sw_status sw_config_layers(struct sw_config *config, struct sw_model *model);

#endif

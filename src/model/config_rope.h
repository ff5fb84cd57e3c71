/* Reads what a config.json says of rope. */
#ifndef SW_MODEL_CONFIG_ROPE_H
#define SW_MODEL_CONFIG_ROPE_H

#include "model/config_keys.h"
#include "model/model.h"

/* Fills in dims.rope, dims.rotary_dim and rope_divisors; the heads and the context are read before.
 * SW_EMODEL names what is missing, out of range or not supported. */
enum sw_status sw_config_rope(struct sw_config *config, struct sw_model *model);

#endif

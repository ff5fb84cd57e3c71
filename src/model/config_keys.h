/*
 * Reads a config.json by the keys of an architecture row, which has names and defaults. A key that
 * only other families have is not read, but gives a warning where its value matters.
 */
#ifndef SW_MODEL_CONFIG_KEYS_H
#define SW_MODEL_CONFIG_KEYS_H

#include "base/json.h"
#include "model/arch.h"

struct sw_config {
    const json_t *root; /* an object */
    const struct sw_arch *arch;
    double values[SW_KEY_COUNT]; /* the value of each key in use; SW_KEY_ACTIVATION: its enum */
};

/* Sets all values to the row's defaults. */
void sw_config_begin(struct sw_config *config, const json_t *root, const struct sw_arch *arch);
/* Whether the family has this key. */
bool sw_config_has(const struct sw_config *config, enum sw_key key);
/* The value in the file; NULL when it is absent, or null that counts as absent. */
const json_t *sw_config_find(const struct sw_config *config, enum sw_key key);
/*
 * The value as a number from low to high; the row's default when it is absent. SW_EMODEL, with the
 * key's name: it is required but missing, has another type, or is out of range.
 */
enum sw_status sw_config_int(struct sw_config *config, enum sw_key key, int low, int high,
                             int *out);
enum sw_status sw_config_flag(struct sw_config *config, enum sw_key key, bool *out);
enum sw_status sw_config_float(struct sw_config *config, enum sw_key key, double low, double high,
                               float *out);
/* A member of any object, without default: a number from low to high; `whole`: an integer. */
enum sw_status sw_config_member(const json_t *object, const char *name, double low, double high,
                                bool whole, double *out);
/* Fails with SW_EMODEL: the checkpoint is quantized by `method` (NULL: not known). */
enum sw_status sw_model_quantized(const char *method);
/* The activation of transformers' name. False: it is not one of SW_ACTIVATION_NAMES. */
bool sw_config_activation(const char *name, enum sw_activation *out);
#define SW_ACTIVATION_NAMES "relu, relu2, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, silu"

/*
 * Appends a warning for each member that only other families have and whose value differs from what
 * is used here. slides: (n_layers), whether the layer has a sliding window.
 */
void sw_config_foreign(const struct sw_config *config, const bool *slides,
                       struct sw_strbuf *warnings);

#endif

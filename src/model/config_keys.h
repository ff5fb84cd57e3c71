/*
 * Reading a config.json by the keys of an architecture row: the names and defaults are the row's,
 * and a key that only other families have is not read, but warned of where it matters.
 */
#ifndef SW_MODEL_CONFIG_KEYS_H
#define SW_MODEL_CONFIG_KEYS_H

#include "base/json.h"
#include "model/arch.h"

struct sw_config {
    const json_t *root; /* an object */
    const struct sw_arch *arch;
    double values[SW_KEY_COUNT]; /* what counts of each key; kinds for SW_KEY_ACTIVATION */
};

/* Sets values to what counts where the file says nothing. */
void sw_config_begin(struct sw_config *config, const json_t *root, const struct sw_arch *arch);
bool sw_config_has(const struct sw_config *config, enum sw_key key); /* the family */
/* The value in the file; NULL when it is absent, or null that counts as absent. */
const json_t *sw_config_find(const struct sw_config *config, enum sw_key key);
/*
 * The value as a number in low … high, the row's where there is none. SW_EMODEL names the key: it
 * is missing, of another type, or out of its range.
 */
enum sw_status sw_config_int(struct sw_config *config, enum sw_key key, int low, int high,
                             int *out);
enum sw_status sw_config_flag(struct sw_config *config, enum sw_key key, bool *out);
enum sw_status sw_config_float(struct sw_config *config, enum sw_key key, double low, double high,
                               float *out);
/* Of a member of another object, with no default: an integer or a number. */
enum sw_status sw_config_member(const json_t *object, const char *name, double low, double high,
                                bool whole, double *out);
/* SW_EMODEL: the checkpoint is quantized by `method` (NULL: nobody knows). */
enum sw_status sw_model_quantized(const char *method);
/* By transformers' names. False: it is none of SW_ACTIVATION_NAMES. */
bool sw_config_activation(const char *name, enum sw_activation *out);
#define SW_ACTIVATION_NAMES "relu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, silu"

/*
 * Appends a line for each member that the family does not have, but another family does, and that
 * says something else than what counts here. `slides`: whether layer i has a window.
 */
void sw_config_foreign(const struct sw_config *config, const bool *slides,
                       struct sw_strbuf *warnings);

#endif

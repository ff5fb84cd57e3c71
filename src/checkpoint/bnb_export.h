/*
 * A folder's model as transformers and bitsandbytes load it: model.safetensors with the linear
 * matrices of layers in NF4, FP4 or LLM.int8(), all other tensors as they are, and what its
 * config.json says of that. Reads headers only.
 */
#ifndef SW_CHECKPOINT_BNB_EXPORT_H
#define SW_CHECKPOINT_BNB_EXPORT_H

#include "checkpoint/gguf_export.h"

/* The i-th format that bitsandbytes has; NULL past the last. */
const char *sw_bnb_format_name(int i);
/* Whether bitsandbytes has this format. */
bool sw_bnb_has_format(const struct sw_format *format);
/*
 * Plans model.safetensors for the model in the folder `path`, as sw_gguf_export_make does.
 * SW_EUSAGE: no format of bitsandbytes, or roles, are asked. SW_EMODEL: a GGUF file, or a model
 * that is quantized already, has experts or transposed matrices, or rows that bitsandbytes' blocks
 * do not fit.
 */
enum sw_status sw_bnb_export_make(const char *path, const struct sw_model *model,
                                  const struct sw_tensors *tensors,
                                  const struct sw_weight_choice *choice,
                                  struct sw_export_plan *out);
/* Appends the config.json of that folder to `text`. */
enum sw_status sw_bnb_export_config(const char *path, const struct sw_model *model,
                                    const struct sw_weight_choice *choice, struct sw_strbuf *text);

/* Bytes of codes and of scales that a row becomes; 0: it lies in one place (SW_EXPORT_BLOCKS). */
void sw_bnb_row_bytes(const struct sw_export_tensor *tensor, size_t *codes, size_t *scales);
/*
 * Nested absmax, as bitsandbytes makes them of `n` scales: bytes of the dynamic map, a scale for
 * each SW_BNB_NESTED of them, and the offset, the mean of all. Scales that are no numbers make
 * their group's scale none. codes: (n), nested: (n / SW_BNB_NESTED rounded up)
 */
#define SW_BNB_NESTED 256
void sw_bnb_nest(const float *scales, int64_t n, uint8_t *codes, float *nested, float *offset);
/* Takes the blocks of a row apart; `row` are the values that they were made of. */
void sw_bnb_split_row(const struct sw_export_tensor *tensor, const struct sw_values *row,
                      const void *blocks, void *codes, void *scales);

#endif

/*
 * A model from a GGUF header. GGUF has one naming scheme for all families and stores some tensors
 * otherwise than the family's own files. So the family's architecture row is copied, with GGUF's
 * names of keys and tensors in it, and everything above works as with a config.json.
 */
#ifndef SW_CHECKPOINT_GGUF_MODEL_H
#define SW_CHECKPOINT_GGUF_MODEL_H

#include "checkpoint/gguf.h"
#include "model/model.h"

/*
 * Makes the model that a header describes; `tensors`: those of all its files (gguf_tensors.h),
 * which say what the keys do not: ties, biases, the vocabulary, the stored type. SW_EMODEL: an
 * architecture that is not known (the message lists those that are), a key that is missing or
 * impossible. The caller closes *out.
 */
enum sw_status sw_gguf_model(const struct sw_gguf *gguf, const struct sw_tensors *tensors,
                             struct sw_model **out);

#endif

/*
 * The objects that the pickle machine can make: an allow-list of global names, and the result of
 * "calling" each. Nothing is called; each row of the table defines the resulting value.
 */
#ifndef SW_CHECKPOINT_TORCH_OBJECTS_H
#define SW_CHECKPOINT_TORCH_OBJECTS_H

#include "checkpoint/torch_pickle.h"

/* The GLOBAL value of a name on the allow-list; else an opaque value. */
struct sw_pickle_value sw_torch_global(const char *module, size_t n_module, const char *name,
                                       size_t n_name);
/* REDUCE and NEWOBJ: the result of `callable` for the tuple `arguments`. */
enum sw_status sw_torch_reduce(struct sw_pickle *pickle, const struct sw_pickle_value *callable,
                               const struct sw_pickle_value *arguments,
                               struct sw_pickle_value *out);
/* BINPERSID: the id ('storage', class, key, location, numel[, view]) becomes a storage. */
enum sw_status sw_torch_persistent(struct sw_pickle *pickle, const struct sw_pickle_value *id,
                                   struct sw_pickle_value *out);

/* Gives offset and size of a storage's raw bytes in the file; SW_EMODEL when they are missing. */
typedef enum sw_status sw_torch_locate(void *context, const struct sw_torch_storage *storage,
                                       uint64_t *offset, uint64_t *bytes);
/*
 * Adds the tensors of the state dict `top` (or of one under "state_dict", "model", "module", or
 * the only dict with tensors in it) to `out`. Values that are not tensors are ignored.
 */
enum sw_status sw_torch_add_state(const struct sw_pickle_value *top, int file,
                                  sw_torch_locate *locate, void *context, struct sw_tensors *out);

#endif

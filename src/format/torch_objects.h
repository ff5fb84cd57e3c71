/*
 * What the pickle machine may make: the allow-list of global names and what "calling" them gives.
 * Nothing is called; each row of the table says which value results.
 */
#ifndef SW_FORMAT_TORCH_OBJECTS_H
#define SW_FORMAT_TORCH_OBJECTS_H

#include "format/torch_pickle.h"

/* A GLOBAL value, or an opaque one for a name outside the allow-list. */
struct sw_pickle_value sw_torch_global(const char *module, size_t n_module, const char *name,
                                       size_t n_name);
/* REDUCE and NEWOBJ: `callable` applied to the tuple `arguments`. */
enum sw_status sw_torch_reduce(struct sw_pickle *pickle, const struct sw_pickle_value *callable,
                               const struct sw_pickle_value *arguments,
                               struct sw_pickle_value *out);
/* BINPERSID: ('storage', class, key, location, numel[, view]) becomes a storage. */
enum sw_status sw_torch_persistent(struct sw_pickle *pickle, const struct sw_pickle_value *id,
                                   struct sw_pickle_value *out);

/* Where a storage's raw bytes lie in the file; SW_EMODEL when they are not there. */
typedef enum sw_status sw_torch_locate(void *context, const struct sw_torch_storage *storage,
                                       uint64_t *offset, uint64_t *bytes);
/*
 * Adds the tensors of the state dict `top` (or of one under "state_dict", "model", "module", or
 * the only dict with tensors in it) to `out`. Values that are no tensors are passed over.
 */
enum sw_status sw_torch_add_state(const struct sw_pickle_value *top, int file,
                                  sw_torch_locate *locate, void *context, struct sw_tensors *out);

#endif

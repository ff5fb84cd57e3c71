/* The tensor directory of a GGUF file. */
#ifndef SW_CHECKPOINT_GGUF_TENSORS_H
#define SW_CHECKPOINT_GGUF_TENSORS_H

#include "checkpoint/gguf.h"
#include "tensor/tensors.h"

/*
 * Adds the tensors of the header of `source` to `out`, under GGUF's names. Tensors of stacked
 * experts (…_exps.weight, of three dimensions) become one for each expert, "…_exps.0.weight" and so
 * on. Where the model is split ("NAME-00001-of-00009.gguf"), adds those of the other files, too.
 * SW_EMODEL: a name twice, a file that is missing or of another model, or `source` is not the
 * first of them; the message names the path.
 */
enum sw_status sw_gguf_tensors(const struct sw_gguf *gguf, const struct sw_source *source,
                               struct sw_tensors *out);

/* What stands behind the stack in the name of one of its parts, as ".3.weight"; NULL: it is none.
 */
const char *sw_gguf_stack_part(const char *name);

#endif

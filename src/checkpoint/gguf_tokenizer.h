/* The tokenizer that a GGUF header has in it. */
#ifndef SW_CHECKPOINT_GGUF_TOKENIZER_H
#define SW_CHECKPOINT_GGUF_TOKENIZER_H

#include "checkpoint/gguf.h"
#include "text/tokenizer.h"

/* SW_EMODEL: there is none, or not all of one, or of an unknown kind; `path` is for messages. The
 * caller closes *out, which does not need the header any more. */
enum sw_status sw_gguf_tokenizer(const struct sw_gguf *gguf, const char *path,
                                 struct sw_tokenizer **out);

#endif

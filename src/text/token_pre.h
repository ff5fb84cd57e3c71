/* How texts are cut into words: the ways that GGUF names in "tokenizer.ggml.pre". */
#ifndef SW_TEXT_TOKEN_PRE_H
#define SW_TEXT_TOKEN_PRE_H

#include "base/status.h"

#include <stdbool.h>

#define SW_TOKEN_PRE_NAMES 12
#define SW_TOKEN_PRE_PATTERNS 6

struct sw_token_pre {
    const char *names[SW_TOKEN_PRE_NAMES];       /* the first is written; unused ones are NULL */
    const char *patterns[SW_TOKEN_PRE_PATTERNS]; /* one after the other; unused ones are NULL */
    bool nfc, ignore_merges;
    bool add_bos; /* where the file does not say */
};

/* NULL is GPT-2's. SW_EMODEL: the name is not known. */
enum sw_status sw_token_pre_find(const char *name, const struct sw_token_pre **out);
/* The name of a way to cut texts: by these patterns, one after the other, NULL at the end. NULL:
 * there is none. */
const char *sw_token_pre_name(const char *const *patterns, bool nfc, bool ignore_merges);

#endif

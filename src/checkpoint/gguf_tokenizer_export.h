/* The keys "tokenizer.…" of a GGUF file that is made of a folder. */
#ifndef SW_CHECKPOINT_GGUF_TOKENIZER_EXPORT_H
#define SW_CHECKPOINT_GGUF_TOKENIZER_EXPORT_H

#include "checkpoint/gguf_writer.h"

struct sw_model;

/*
 * Adds the tokenizer of the folder `path`, padded to the model's vocabulary, and its chat template.
 * Without one adds what llama.cpp takes for none, and warns. SW_EMODEL: the tokenizer cannot be
 * said in a GGUF file (text/token_table.h), or has more ids than the model.
 */
enum sw_status sw_gguf_export_tokenizer(const char *path, const struct sw_model *model,
                                        struct sw_gguf_writer *w);

#endif

/* The keys of a GGUF file that is to be written. */
#ifndef SW_CHECKPOINT_GGUF_EXPORT_KEYS_H
#define SW_CHECKPOINT_GGUF_EXPORT_KEYS_H

#include "checkpoint/gguf_families.h"
#include "checkpoint/gguf_writer.h"
#include "model/weight_choice.h"

struct sw_model;

/* Those of the GGUF file at `path`, but for what says in how many files and which types it is. */
enum sw_status sw_gguf_copy_keys(const char *path, const struct sw_weight_choice *choice,
                                 struct sw_gguf_writer *w);
/*
 * Those of the folder `path`: the family's, its tokenizer's and its chat template. SW_EMODEL: the
 * model has a property that no key says; the tokenizer is none that llama.cpp knows. A folder
 * without a tokenizer gives a file without one, after a warning.
 */
enum sw_status sw_gguf_export_keys(const char *path, const struct sw_model *model,
                                   const struct sw_gguf_family *family,
                                   const struct sw_weight_choice *choice, struct sw_gguf_writer *w);

#endif

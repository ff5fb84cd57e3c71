/*
 * What MODEL on a command line is: a folder as the hub publishes it, a config.json alone, or a GGUF
 * file, which has all in it; or a name of one of these (model_name.h). Whoever needs a part of a
 * model opens it here.
 */
#ifndef SW_CHECKPOINT_OPEN_MODEL_H
#define SW_CHECKPOINT_OPEN_MODEL_H

#include "model/model.h"
#include "tensor/tensors.h"
#include "text/chat.h"
#include "text/tokenizer.h"

/*
 * Makes the model, its element type included where the files decide it; the caller closes *out.
 * SW_EINPUT: there is no such folder or file; SW_EMODEL names what is wrong in it.
 */
enum sw_status sw_open_model(const char *name, struct sw_model **out);
/* Fills the tensor directory, as sw_checkpoint_open; the caller frees it. */
enum sw_status sw_open_tensors(const char *name, struct sw_tensors *out);
/* *is: `path` is a regular file that begins as GGUF files do. */
enum sw_status sw_open_is_gguf(const char *path, bool *is);
/* Both of them; a GGUF file's header is read once. On failure there is neither. */
enum sw_status sw_open_model_and_tensors(const char *name, struct sw_model **model,
                                         struct sw_tensors *tensors);
/* Whether there are weights. */
enum sw_status sw_open_has_tensors(const char *name, bool *there);
/* As sw_tokenizer_open; the caller closes *out. */
enum sw_status sw_open_tokenizer(const char *name, struct sw_tokenizer **out);
/* As sw_open_tokenizer, but *out is NULL where the model has no tokenizer. */
enum sw_status sw_open_any_tokenizer(const char *name, struct sw_tokenizer **out);
/* Whether there is a tokenizer. */
enum sw_status sw_open_has_tokenizer(const char *name, bool *there);
/* As sw_chat_open; the caller frees *out. */
enum sw_status sw_open_chat(const char *name, struct sw_chat **out);

#endif

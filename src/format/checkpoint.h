/*
 * Opens a model directory as the hub publishes it: finds the weight files, reads their headers
 * (never their data) and fills the tensor directory.
 *
 * Looked for, in this order: model.safetensors, model.safetensors.index.json, pytorch_model.bin,
 * pytorch_model.bin.index.json. The first one that is there is used, whatever else lies beside it.
 */
#ifndef SW_FORMAT_CHECKPOINT_H
#define SW_FORMAT_CHECKPOINT_H

#include "base/status.h"
#include "tensor/tensors.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Fills `out` (any previous content is overwritten, not freed). The caller frees it with
 * sw_tensors_free; on failure it is left empty.
 * SW_EINPUT: no such directory, or no weight file in it that is read (the message lists what was
 * looked for; a .gguf or an old GPTQ name is named). SW_EMODEL: an index that names a file outside
 * the directory, a missing shard, a truncated shard, a wrong magic, a tensor that is not where the
 * index says; the message names file, expected and actual. SW_EIO: a read failed.
 */
enum sw_status sw_checkpoint_open(const char *dir, struct sw_tensors *out);

/*
 * Whether `dir` holds one of the four names above. Not: there is only a config.json, perhaps,
 * which is enough for the planner (and sw_checkpoint_open would answer SW_EINPUT). A failure: it
 * cannot be told.
 */
enum sw_status sw_checkpoint_find(const char *dir, bool *there);

/*
 * Reads the header of one weight file, .safetensors or torch .bin told by its first bytes, and
 * adds its tensors to `out` (which may hold others already). On failure `out` may hold a part of
 * them; free it.
 */
enum sw_status sw_checkpoint_add_file(const char *path, struct sw_tensors *out);

#endif

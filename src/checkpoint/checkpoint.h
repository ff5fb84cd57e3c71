/*
 * Opens a model directory as the hub publishes it: finds the weight files, reads their headers
 * (never their data) and fills the tensor directory.
 *
 * The first of these files that exists is used: model.safetensors, model.safetensors.index.json,
 * pytorch_model.bin, pytorch_model.bin.index.json; or what AutoGPTQ wrote at first: an index
 * gptq_model-….index.json, a file gptq_model-….safetensors (.bin, .pt).
 */
#ifndef SW_CHECKPOINT_CHECKPOINT_H
#define SW_CHECKPOINT_CHECKPOINT_H

#include "base/status.h"
#include "tensor/tensors.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Fills `out` (any previous content is overwritten, not freed). The caller frees it with
 * sw_tensors_free; on failure it is left empty.
 * SW_EINPUT: no such directory, or it has none of these files (the message lists them, and names
 * a .gguf file if there is one), or several of the last kind. SW_EMODEL: an index that names a file
 * outside the directory, a missing shard, a truncated shard, a wrong magic, a tensor that is not
 * where the index says; the message names file, expected and actual. SW_EIO: a read failed.
 */
enum sw_status sw_checkpoint_open(const char *dir, struct sw_tensors *out);

/*
 * Whether `dir` has one of the files above. If not, a config.json alone is enough for the
 * planner, but sw_checkpoint_open would fail with SW_EINPUT. Fails when a file cannot be examined.
 */
enum sw_status sw_checkpoint_find(const char *dir, bool *there);

/*
 * Reads the header of one weight file and adds its tensors to `out`, which may have others. The
 * first bytes decide between safetensors and torch. On failure `out` may hold some of the tensors;
 * the caller frees it.
 */
enum sw_status sw_checkpoint_add_file(const char *path, struct sw_tensors *out);

#endif

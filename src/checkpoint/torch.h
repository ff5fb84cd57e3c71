/*
 * torch files (.bin, .pt, .pth): a zip of a pickle and raw storages (since torch 1.6), or the older
 * stream of five pickles and raw storages. No pickle code is ever run: the pickle reader is a small
 * stack machine with the opcodes and the few names that state dicts need.
 */
#ifndef SW_CHECKPOINT_TORCH_H
#define SW_CHECKPOINT_TORCH_H

#include "base/status.h"
#include "checkpoint/source.h"
#include "tensor/tensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the first bytes of a file are those of a zip. */
bool sw_torch_is_zip(const uint8_t *bytes, size_t length);
/* Whether the first bytes of a file are those of the older stream. */
bool sw_torch_is_legacy(const uint8_t *bytes, size_t length);

/*
 * These add the tensors of a file's state dict to `out`; `file` is the file's index there. Views
 * keep their offsets and strides; tied tensors have the same offset. SW_EMODEL: damaged,
 * compressed, big-endian, TorchScript, no tensors in it, or a tensor that reaches outside its
 * storage.
 */
enum sw_status sw_torch_zip_read(const struct sw_source *source, int file, struct sw_tensors *out);
enum sw_status sw_torch_legacy_read(const struct sw_source *source, int file,
                                    struct sw_tensors *out);

#endif

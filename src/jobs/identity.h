/*
 * Which model a job is done with, wherever it lies and whatever its folder is called, without
 * reading all of it. Of files that are text (configuration, tokenizer, chat template) every byte
 * counts; of weight files the tensor directory (names, types, shapes, places), the size, the hash
 * by which a hub knows the file where the folder tells it, and samples:
 *   - files of up to 8 MiB whole; of larger ones 64 pieces of 64 KiB, the first and the last among
 *     them, the others one in each 62nd part, at places that follow from the size;
 *   - 4 KiB of each tensor, or of 4096 tensors spread over all.
 * What remains unseen where no hash is known: a change within one file that is smaller than a
 * tensor and lies between the samples. Times and owners of files do not count.
 */
#ifndef SW_JOBS_IDENTITY_H
#define SW_JOBS_IDENTITY_H

#include "base/status.h"
#include "tensor/tensors.h"

#define SW_IDENTITY_VERSION 2 /* of how digests are made; the first had none written beside it */

struct sw_identity {
    char digest[33]; /* of all but the hashes: the same for every copy of the model */
    char hashes[33]; /* of the hub's hashes of all weight files; "": they are not known */
};

/*
 * `model`: a folder, or a config file of its own. Any file that is there and cannot be opened or
 * read is an error that names it, never another digest.
 */
enum sw_status sw_identity_make(const char *model, const struct sw_tensors *tensors,
                                struct sw_identity *out);
/* The digest as the first version made it, of 64 KiB at the end of each weight file. */
enum sw_status sw_identity_former(const char *model, const struct sw_tensors *tensors,
                                  char digest[33]);
/*
 * The SHA-256 by which a hub knows the file, 64 hexadecimal digits: the name of the blob that its
 * cache links to, or what a download into a folder noted beside it, unless the file was written
 * since. "": none is known.
 */
enum sw_status sw_identity_hub_hash(const char *path, char hash[65]);

#endif

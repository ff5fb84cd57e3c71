/*
 * Digests that identify the model of a job without reading all of it. Paths and folder names do
 * not count. Of text files (configuration, tokenizer, chat template) every byte counts, and so does
 * the header of a model that is one file (GGUF). Of weight files these count: the tensor directory
 * (names, types, shapes, offsets), the size, the hub's hash of the file where the folder records
 * it, and samples:
 *   - files of up to 8 MiB whole; of larger ones 64 pieces of 64 KiB: the first, the last, and one
 *     in each of 62 equal parts between them, at offsets that follow from the size;
 *   - 4 KiB of each tensor, or of 4096 tensors spread over all.
 * Without a hub's hash, one change is not noticed: one inside a file that is smaller than a tensor
 * and lies between the samples. Times and owners of files do not count.
 */
#ifndef SW_JOBS_IDENTITY_H
#define SW_JOBS_IDENTITY_H

#include "base/status.h"
#include "tensor/tensors.h"

/* The versions of how digests are made: of folders, and of models that are one file, of which
 * version 2 took the first 256 MiB whole. Version 1 was not recorded in manifests. */
#define SW_IDENTITY_VERSION 2
#define SW_IDENTITY_VERSION_FILE 3

struct sw_identity {
    int version;     /* one of the above */
    char digest[33]; /* of everything but the hub's hashes: the same for every copy of the model */
    char hashes[33]; /* of the hub's hashes of all weight files; "": some are not known */
};

/*
 * `model` is a folder or a config file. A file that exists but cannot be opened or read is an error
 * that names it, never a different digest.
 */
enum sw_status sw_identity_make(const char *model, const struct sw_tensors *tensors,
                                struct sw_identity *out);
/* The digest as version 1 made it: of 64 KiB at the end of each weight file. */
enum sw_status sw_identity_former(const char *model, const struct sw_tensors *tensors,
                                  char digest[33]);
/*
 * The hub's SHA-256 of the file, 64 hexadecimal digits; "" when it is not known. It is the name of
 * the blob that the hub's cache links to, or the hash that a download recorded next to the file,
 * unless the file was written after the download.
 */
enum sw_status sw_identity_hub_hash(const char *path, char hash[65]);

#endif

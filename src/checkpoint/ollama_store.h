/*
 * Ollama's own local store:
 *   STORE/manifests/HOST/NAMESPACE/NAME/TAG    JSON: the layers of a model, by their digests
 *   STORE/blobs/sha256-…                       the layers; that of the weights is a GGUF file
 * STORE is $OLLAMA_MODELS, else ~/.ollama/models and /usr/share/ollama/.ollama/models. Links are
 * followed, as stores are moved to other disks by them. Nothing is ever downloaded.
 */
#ifndef SW_CHECKPOINT_OLLAMA_STORE_H
#define SW_CHECKPOINT_OLLAMA_STORE_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_OLLAMA_PREFIX "ollama:"
#define SW_OLLAMA_DIGEST 72 /* "sha256-" and 64 digits, with a NUL */

struct sw_ollama_layer {
    char blob[SW_OLLAMA_DIGEST]; /* file name in blobs/; "": there is no such layer */
    uint64_t size;               /* bytes */
};

/* The layers of a manifest that matter here. */
struct sw_ollama_manifest {
    struct sw_ollama_layer model, params;
    int n_adapters, n_projectors;
    bool has_template, has_system;
};

/*
 * Reads a manifest's bytes. SW_EMODEL: no JSON object with layers, a digest that is no SHA-256 (so
 * none can lead out of blobs/), no layer of weights, or several.
 */
enum sw_status sw_ollama_manifest_read(const char *bytes, size_t n, struct sw_ollama_manifest *out);

/*
 * The GGUF file of "ollama:NAME[:TAG]" (NAME: model, namespace/model or host/namespace/model; TAG:
 * "latest" by default); the caller frees *path. `notes`: a line for each part of the model that is
 * not used. SW_EINPUT: no store has it (where it was looked for, and the nearest names), or its
 * weights are not there whole.
 */
enum sw_status sw_ollama_find(const char *name, char **path, struct sw_strbuf *notes);

#endif

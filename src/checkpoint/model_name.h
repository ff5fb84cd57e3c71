/*
 * What MODEL on a command line names, as a path on this host:
 *   a folder or a file of that name; a folder with a GGUF file, or one set of split ones, and no
 *     config.json is that file
 *   ollama:NAME[:TAG]        the weights in Ollama's local store (ollama_store.h)
 *   [ORG/]NAME[@REVISION]    a snapshot in the local cache of the Hugging Face hub (hub_cache.h)
 * What is there under the name itself goes before the two stores. Every rank finds it on its own
 * host; whether all found the same model is checked later by the files (probe/files.h).
 */
#ifndef SW_CHECKPOINT_MODEL_NAME_H
#define SW_CHECKPOINT_MODEL_NAME_H

#include "base/status.h"
#include "base/strbuf.h"

/*
 * *path: what the readers open; the caller frees it. `notes` gets lines about what of the model is
 * not used. SW_EINPUT: there is no such model; the message has all places that were looked at, and
 * the nearest names there. SW_EINPUT, too, when a folder has several GGUF models: it lists them.
 */
enum sw_status sw_model_name_find(const char *name, char **path, struct sw_strbuf *notes);

#endif

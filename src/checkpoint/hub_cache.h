/*
 * The local cache of the Hugging Face hub:
 *   CACHE/models--ORG--NAME/refs/REVISION         the commit that a branch or tag is at
 *   CACHE/models--ORG--NAME/snapshots/COMMIT/…    links to the files of that commit
 * CACHE is $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or
 * ~/.cache/huggingface/hub, the first that is set. Nothing is ever downloaded.
 */
#ifndef SW_CHECKPOINT_HUB_CACHE_H
#define SW_CHECKPOINT_HUB_CACHE_H

#include "base/status.h"
#include "base/strbuf.h"

#include <stdbool.h>

/* Whether the name could be a hub id: NAME or ORG/NAME of letters, digits, '-', '_' and '.', and
 * perhaps @REVISION. */
bool sw_hub_is_id(const char *name);
/*
 * The snapshot's folder of `id`; the caller frees *folder. Without @REVISION that of "main", else
 * the only one. NULL: the cache does not have the model; `why` then has where it was looked for,
 * and the nearest names. SW_EINPUT: it has the model but not that revision, or a broken one.
 */
enum sw_status sw_hub_find(const char *id, char **folder, struct sw_strbuf *why);

#endif

/*
 * The index of a sharded checkpoint: {"metadata": {…}, "weight_map": {tensor: file name, …}}.
 * File names are read from it, never constructed, because not all shards are numbered the same way.
 */
#ifndef SW_CHECKPOINT_WEIGHT_INDEX_H
#define SW_CHECKPOINT_WEIGHT_INDEX_H

#include "base/status.h"

#include <stddef.h>

#define SW_INDEX_BYTES_MAX ((size_t)100 << 20)
#define SW_INDEX_FILES_MAX 4096

struct sw_weight_index {
    struct json_t *root;
    const char **files; /* (n_files), each once, in the order of their first entries */
    size_t n_files;
};

/*
 * `path` is for messages. SW_EMODEL: not an index, a duplicate tensor, a file name that is empty,
 * has a '/' or is ".." (it would leave the directory), no files or more than SW_INDEX_FILES_MAX.
 */
enum sw_status sw_weight_index_parse(const char *bytes, size_t length, const char *path,
                                     struct sw_weight_index *out);
/* The file that holds `tensor`; NULL: it is not in the index. */
const char *sw_weight_index_file_of(const struct sw_weight_index *index, const char *tensor);

/* Calls `visit` for each entry of the map; its first failure ends the iteration and is returned. */
typedef enum sw_status sw_weight_index_visit(void *context, const char *tensor, const char *file);
enum sw_status sw_weight_index_each(const struct sw_weight_index *index,
                                    sw_weight_index_visit *visit, void *context);
void sw_weight_index_free(struct sw_weight_index *index);

#endif

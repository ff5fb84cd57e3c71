/*
 * The index of a sharded checkpoint: {"metadata": {…}, "weight_map": {tensor: file name, …}}.
 * File names are taken from it and never built: not everybody numbers shards alike.
 */
#ifndef SW_FORMAT_WEIGHT_INDEX_H
#define SW_FORMAT_WEIGHT_INDEX_H

#include "base/status.h"

#include <stddef.h>

#define SW_INDEX_BYTES_MAX ((size_t)100 << 20)
#define SW_INDEX_FILES_MAX 4096

struct sw_weight_index {
    struct json_t *root;
    const char **files; /* (n_files), each once, in the order of first mention */
    size_t n_files;
};

/*
 * `path` is for messages. SW_EMODEL: not such an object, a duplicate tensor, a file name that is
 * empty or has a '/' in it or is ".." (it would leave the directory), no or too many files.
 */
enum sw_status sw_weight_index_parse(const char *bytes, size_t length, const char *path,
                                     struct sw_weight_index *out);
/* The file that holds `tensor`; NULL: it is not in the index. */
const char *sw_weight_index_file_of(const struct sw_weight_index *index, const char *tensor);

/* For each entry of the map; what `visit` returns other than SW_OK ends it. */
typedef enum sw_status sw_weight_index_visit(void *context, const char *tensor, const char *file);
enum sw_status sw_weight_index_each(const struct sw_weight_index *index,
                                    sw_weight_index_visit *visit, void *context);
void sw_weight_index_free(struct sw_weight_index *index);

#endif

/* Any bytes as an index of shards; no name that is accepted may leave the directory. */
#include "checkpoint/weight_index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sw_status look(void *context, const char *tensor, const char *file)
{
    const struct sw_weight_index *index = context;
    if (strchr(file, '/') || strcmp(file, "..") == 0 ||
        sw_weight_index_file_of(index, tensor) != file)
        abort();
    return SW_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sw_weight_index index;
    if (sw_weight_index_parse((const char *)data, size, "fuzz", &index) == SW_OK) {
        (void)sw_weight_index_each(&index, look, &index);
        sw_weight_index_free(&index);
    }
    return 0;
}

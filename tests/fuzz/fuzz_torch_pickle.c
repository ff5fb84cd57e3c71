/* Any bytes as a pickle, and on to a tensor directory over storages of 1 MiB. */
#include "checkpoint/torch_objects.h"
#include "checkpoint/torch_pickle.h"

#include <stdlib.h>

#define STORAGE ((uint64_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sw_status locate(void *context, const struct sw_torch_storage *storage,
                             uint64_t *offset, uint64_t *bytes)
{
    (void)context;
    (void)storage;
    *offset = 0;
    *bytes = STORAGE;
    return SW_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sw_pickle pickle;
    struct sw_tensors tensors = {0};
    int file;
    const enum sw_status status = sw_pickle_parse(data, size, &pickle);
    if (status == SW_OK && sw_tensors_add_file(&tensors, "fuzz", STORAGE, &file) == SW_OK &&
        sw_torch_add_state(&pickle.top, file, locate, NULL, &tensors) == SW_OK &&
        tensors.count == 0)
        abort();
    sw_pickle_free(&pickle);
    sw_tensors_free(&tensors);
    return 0;
}

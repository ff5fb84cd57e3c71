/* Any bytes as a torch zip file; the tensors that come out must lie inside it. */
#include "checkpoint/torch.h"

#include "checkpoint/source.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sw_source source = sw_source_of_memory("fuzz", data, size);
    struct sw_tensors tensors = {0};
    int file;
    if (sw_tensors_add_file(&tensors, "fuzz", size, &file) == SW_OK &&
        sw_torch_zip_read(&source, file, &tensors) == SW_OK)
        for (size_t i = 0; i < tensors.count; i++)
            if (tensors.items[i].bytes > 0 && tensors.items[i].offset >= size)
                abort();
    sw_tensors_free(&tensors);
    return 0;
}

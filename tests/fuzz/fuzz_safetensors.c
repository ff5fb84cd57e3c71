/* Any bytes as a safetensors file; what is accepted must tile the file and lie inside it. */
#include "checkpoint/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sw_tensors tensors = {0};
    int file;
    if (sw_tensors_add_file(&tensors, "fuzz", size, &file) == SW_OK &&
        sw_safetensors_parse(data, size, size, file, &tensors) == SW_OK) {
        uint64_t total = 0;
        for (size_t i = 0; i < tensors.count; i++) {
            const struct sw_tensor *t = &tensors.items[i];
            if (t->offset < 8 || t->offset + t->bytes > size)
                abort();
            total += t->bytes;
        }
        if (total > size)
            abort();
    }
    sw_tensors_free(&tensors);
    return 0;
}

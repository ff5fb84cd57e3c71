/* Any bytes as a manifest of Ollama's; no file name that is accepted may leave blobs/. */
#include "checkpoint/ollama_store.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sw_ollama_manifest m;
    if (sw_ollama_manifest_read((const char *)data, size, &m) != SW_OK)
        return 0;
    if (strncmp(m.model.blob, "sha256-", 7) != 0 || strlen(m.model.blob) != SW_OLLAMA_DIGEST - 1 ||
        strpbrk(m.model.blob, "/.") || strpbrk(m.params.blob, "/."))
        abort();
    return 0;
}

/* Any bytes as tokenizer.json: refused with a message, or a tokenizer that works. */
#include "tokenizer_use.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    use_tokenizer(sw_read_tokenizer_json, data, size);
    return 0;
}

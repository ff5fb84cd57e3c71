/* Any bytes as a tiktoken vocabulary: refused with a message, or a tokenizer that works. */
#include "tokenizer_use.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    use_tokenizer(sw_read_tiktoken, data, size);
    return 0;
}

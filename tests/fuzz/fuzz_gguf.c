/* Any bytes as a GGUF file; what is accepted must lie inside the file, and is looked up; a
 * tokenizer that is in it must work. */
#include "checkpoint/gguf_tokenizer.h"
#include "tokenizer_use.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_values(const struct sw_gguf *gguf)
{
    for (size_t i = 0; i < gguf->n_values; i++) {
        const struct sw_gguf_value *value = sw_gguf_find(gguf, gguf->values[i].key);
        if (value != gguf->values + i || value->count > UINT32_MAX)
            abort();
        for (uint64_t at = 0; at < value->count; at++) {
            struct sw_gguf_string text;
            int64_t integer;
            double number;
            bool is;
            const bool was_text = sw_gguf_text(value, at, &text);
            if (was_text && text.bytes[text.length] != 0)
                abort();
            if (!was_text && !sw_gguf_bool(value, at, &is) &&
                sw_gguf_integer(value, at, &integer) && !sw_gguf_float(value, at, &number))
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sw_source source = sw_source_of_memory("fuzz", data, size);
    struct sw_gguf gguf;
    if (sw_gguf_read(&source, &gguf) != SW_OK)
        return 0;
    check_values(&gguf);
    for (size_t i = 0; i < gguf.n_tensors; i++) {
        const struct sw_gguf_tensor *t = gguf.tensors + i;
        if (t->bytes > size || t->offset > size - t->bytes)
            abort();
    }
    struct sw_tokenizer *tok;
    if (sw_gguf_tokenizer(&gguf, "fuzz", &tok) == SW_OK)
        use_opened(tok, data, size);
    if (gguf.arena.used > 8 * size + 4096)
        abort();
    sw_gguf_free(&gguf);
    return 0;
}

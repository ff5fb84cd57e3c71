/* Owns cutting a text into windows. */
#include "jobs/text_windows.h"

#include <string.h>

/* Whether the model's texts start with BOS: what it puts around an empty one. */
static enum sw_status text_windows_find_bos(struct sw_tokenizer *tok, int32_t *bos)
{
    struct sw_ids ids = {0};
    const enum sw_status status = sw_tokenizer_encode(tok, "", 0, SW_ENCODE_ADD_SPECIAL, &ids);
    *bos = -1;
    if (status == SW_OK && ids.count > 0 && ids.items[0] == sw_tokenizer_bos(tok))
        *bos = ids.items[0];
    sw_ids_free(&ids);
    return status;
}

enum sw_status sw_text_windows_make(struct sw_tokenizer *tok, const char *text, size_t n, int size,
                                    int most, struct sw_text_windows *out)
{
    *out = (struct sw_text_windows){.size = size};
    if (size < SW_WINDOW_IDS_MIN)
        return sw_fail(SW_EUSAGE, "a window of %d tokens is too short; give --context %d or more",
                       size, SW_WINDOW_IDS_MIN);
    SW_TRY(text_windows_find_bos(tok, &out->bos));
    SW_TRY(sw_tokenizer_encode(tok, text, n, SW_ENCODE_ADD_SPECIAL, &out->ids));
    out->n = out->ids.count / (size_t)size;
    if (out->n < 2)
        return sw_fail(SW_EINPUT,
                       "has %zu tokens, but a perplexity needs two windows of %d; give a longer "
                       "text, or a smaller --context",
                       out->ids.count, size);
    if (most > 0 && out->n > (size_t)most)
        out->n = (size_t)most;
    return SW_OK;
}

void sw_text_windows_free(struct sw_text_windows *windows)
{
    sw_ids_free(&windows->ids);
    windows->n = 0;
}

int sw_text_windows_from(const struct sw_text_windows *windows)
{
    return windows->size / 2 + 1;
}

int sw_text_windows_scored(const struct sw_text_windows *windows)
{
    return windows->size - sw_text_windows_from(windows);
}

void sw_text_windows_get(const struct sw_text_windows *windows, size_t window, int32_t *out)
{
    const size_t size = (size_t)windows->size;
    memcpy(out, windows->ids.items + window * size, size * sizeof *out);
    if (windows->bos >= 0)
        out[0] = windows->bos;
}

/*
 * A text cut into windows as llama.cpp's perplexity tool does: as many whole windows of `size` ids
 * as there are. Where the model starts texts with BOS, BOS stands in the place of each window's
 * first id. Of each window the ids after its middle are scored, so that each has at least half a
 * window before it.
 */
#ifndef SW_JOBS_TEXT_WINDOWS_H
#define SW_JOBS_TEXT_WINDOWS_H

#include "base/status.h"
#include "text/ids.h"
#include "text/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

#define SW_WINDOW_IDS 512 /* llama.cpp's default */
#define SW_WINDOW_IDS_MIN 4

struct sw_text_windows {
    struct sw_ids ids; /* of the whole text */
    int32_t bos;       /* -1: the model starts texts without BOS */
    int size;          /* ids of a window */
    size_t n;          /* windows */
};

/*
 * Cuts text[0..n). `most`: windows that are kept, 0: all. The caller frees *out. SW_EINPUT: the
 * text has fewer ids than two windows, which says too little. SW_EUSAGE: size is below
 * SW_WINDOW_IDS_MIN.
 */
enum sw_status sw_text_windows_make(struct sw_tokenizer *tok, const char *text, size_t n, int size,
                                    int most, struct sw_text_windows *out);
void sw_text_windows_free(struct sw_text_windows *windows);
/* Index in a window of the first id that is scored. */
int sw_text_windows_from(const struct sw_text_windows *windows);
/* Ids that are scored in a window. */
int sw_text_windows_scored(const struct sw_text_windows *windows);
/* Writes the ids of a window to out: (size). */
void sw_text_windows_get(const struct sw_text_windows *windows, size_t window, int32_t *out);

#endif

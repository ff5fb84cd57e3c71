/* Memory of encoding a long text, in proportion to the text. */
#include "text/tokenizer.h"
#include "unit.h"

#include <stdlib.h>
#include <sys/resource.h>

#define BYTES ((size_t)24 << 20)

static size_t most_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss << 10;
}

/* Words of 2 to 9 letters. The caller frees. */
static char *long_text(void)
{
    char *text = malloc(BYTES);
    uint32_t state = 12345;
    for (size_t i = 0, left = 4; text && i < BYTES; i++, left--) {
        state = state * 1664525u + 1013904223u;
        text[i] = left ? (char)('a' + (state >> 16) % 26) : ' ';
        if (!left)
            left = 3 + (state >> 16) % 8;
    }
    return text;
}

/* Besides the text itself two copies of it, as two steps split it, 8 bytes for each pre-token and 4
 * for each id: of these letters an id has little more than one. */
static void memory_is_in_proportion(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf(" skipped: a sanitizer has an allocator of its own ");
    return;
#endif
    struct sw_tokenizer *tok;
    struct sw_ids ids = {0};
    char *text = long_text();
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(SW_SOURCE_DIR "/tests/models/shakespeare", &tok),
                          SW_OK);
    const size_t before = most_memory();
    CU_ASSERT_EQUAL(sw_tokenizer_encode(tok, text, BYTES, 0, &ids), SW_OK);
    const double took = (double)(most_memory() - before) / (double)BYTES;
    CU_ASSERT(ids.count > BYTES / 10);
    CU_ASSERT(took < 7.5);
    printf(" %.2f bytes a byte of text, %zu ids ", took, ids.count);
    sw_ids_free(&ids);
    sw_tokenizer_close(tok);
    free(text);
}

SW_UNIT_TESTS({"memory is in proportion", memory_is_in_proportion})

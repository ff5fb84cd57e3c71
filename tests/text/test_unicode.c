/* Normalisers over all code points, against digests of what the tokenizers library makes of them.
 */
#include "base/utf8.h"
#include "text/normalize.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define RIGHT SW_SOURCE_DIR "/tests/text/data/unicode.json"
#define N_BLOCKS 17 /* of 8192 code points; the last has the rest */

/* Surrogates and planes without assignments; ideographs, Hangul and private ones are no marks. */
static bool is_left_out(uint32_t c, bool behind_marks)
{
    return (c >= 0xD800 && c < 0xE000) || (c >= 0x30000 && c < 0xE0000) || c >= 0xE1000 ||
           (behind_marks &&
            ((c >= 0x3400 && c < 0xA000) || (c >= 0xAC00 && c < 0xF900) || c >= 0x20000));
}

static void digest_all(struct sw_normalizer *normalizer, const char *head, uint32_t *blocks)
{
    char text[512];
    const size_t n = strlen(head);
    memcpy(text, head, n);
    for (size_t i = 0; i < N_BLOCKS; i++)
        blocks[i] = 2166136261u;
    for (uint32_t c = 1; c < 0x110000; c++) {
        const char *out;
        size_t out_n;
        if (is_left_out(c, n > 0))
            continue;
        if (sw_normalize(normalizer, text, n + (size_t)sw_utf8_encode(c, text + n), true, &out,
                         &out_n) != SW_OK)
            out_n = 0;
        uint32_t *digest = &blocks[c >> 13 < N_BLOCKS ? c >> 13 : N_BLOCKS - 1];
        for (size_t i = 0; i <= out_n; i++)
            *digest = (*digest ^ (i < out_n ? (unsigned char)out[i] : '\n')) * 16777619u;
    }
}

static void check_kind(const char *kind, const json_t *rows, const char *marks)
{
    char head[512];
    json_t *json = json_pack("{s:s}", "type", kind);
    struct sw_normalizer normalizer = {0};
    CU_ASSERT_EQUAL(sw_normalizer_parse(&normalizer, json), SW_OK);
    for (size_t k = 0; k < 2; k++) {
        uint32_t blocks[N_BLOCKS];
        snprintf(head, sizeof head, "%s%s", k ? "a" : "", k ? marks : "");
        digest_all(&normalizer, head, blocks);
        for (size_t i = 0; i < N_BLOCKS; i++) {
            const json_t *right = json_array_get(json_array_get(rows, k), i);
            const bool same = json_integer_value(right) == (json_int_t)blocks[i];
            CU_ASSERT(same);
            if (!same)
                printf("    %s differs among U+%04zX%s%s\n", kind, i << 13,
                       i == N_BLOCKS - 1 ? " and beyond" : " and the 8191 behind it",
                       k ? ", behind marks" : "");
        }
    }
    sw_normalizer_free(&normalizer);
    json_decref(json);
}

static void every_code_point_normalises_as_in_tokenizers(void)
{
    static const char *const kinds[] = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase"};
    json_t *right = json_load_file(RIGHT, 0, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(right);
    const char *marks = json_string_value(json_object_get(right, "marks"));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        check_kind(kinds[i], json_object_get(right, kinds[i]), marks);
    json_decref(right);
}

SW_UNIT_TESTS({"every code point normalises as in tokenizers",
               every_code_point_normalises_as_in_tokenizers})

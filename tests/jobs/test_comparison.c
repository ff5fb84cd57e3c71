/* Texts in windows, means and their errors, the report of a comparison, rows in a temporary file.
 */
#include "jobs/comparison.h"
#include "jobs/row_file.h"
#include "jobs/text_windows.h"
#include "unit.h"

#include <math.h>
#include <unistd.h>

#define MODEL SW_SOURCE_DIR "/tests/models/shakespeare"
#define WITH_BOS SW_SOURCE_DIR "/tests/models/scores/llama"

static void cut(const char *folder, int size, int most, size_t n, bool bos)
{
    static const char text[] = "the then there, an hour out in the thin rain. the then there, an";
    struct sw_text_windows w;
    struct sw_tokenizer *tok;
    int32_t ids[64];
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(folder, &tok), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_text_windows_make(tok, text, strlen(text), size, most, &w), SW_OK);
    CU_ASSERT_EQUAL(w.n, n > 0 ? n : w.ids.count / (size_t)size);
    CU_ASSERT_EQUAL(w.bos, bos ? sw_tokenizer_bos(tok) : -1);
    CU_ASSERT_EQUAL(sw_text_windows_from(&w), size / 2 + 1);
    CU_ASSERT_EQUAL(sw_text_windows_scored(&w), size - size / 2 - 1);
    for (size_t i = 0; i < w.n; i++) {
        sw_text_windows_get(&w, i, ids);
        CU_ASSERT_EQUAL(ids[0], bos ? w.bos : w.ids.items[i * (size_t)size]);
        CU_ASSERT_EQUAL(
            memcmp(ids + 1, w.ids.items + i * (size_t)size + 1, ((size_t)size - 1) * sizeof *ids),
            0);
    }
    sw_text_windows_free(&w);
    sw_tokenizer_close(tok);
}

static void windows(void)
{
    cut(MODEL, 4, 0, 0, false);
    cut(MODEL, 5, 2, 2, false);
    cut(WITH_BOS, 6, 0, 0, true);
    cut(WITH_BOS, 7, 1, 1, true);
    struct sw_text_windows w;
    struct sw_tokenizer *tok;
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(MODEL, &tok), SW_OK);
    CU_ASSERT_EQUAL(sw_text_windows_make(tok, "one two", 7, 64, 0, &w), SW_EINPUT);
    CU_ASSERT(strstr(sw_error_message(), "needs two windows of 64") != NULL);
    sw_text_windows_free(&w);
    CU_ASSERT_EQUAL(sw_text_windows_make(tok, "one two", 7, 3, 0, &w), SW_EUSAGE);
    sw_text_windows_free(&w);
    sw_tokenizer_close(tok);
}

static void means(void)
{
    struct sw_mean m = {0};
    CU_ASSERT(sw_mean_value(&m) == 0 && sw_mean_error(&m) == 0);
    for (int i = 1; i <= 4; i++)
        sw_mean_add(&m, i);
    CU_ASSERT_DOUBLE_EQUAL(sw_mean_value(&m), 2.5, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(sw_mean_error(&m), sqrt(1.25 / 3), 1e-15); /* variance 1.25, n - 1 */
}

/* Values that can be checked by hand. */
static struct sw_comparison four_tokens(void)
{
    static const struct sw_divergence tokens[] = {{1, 2, 0.25f, 3, true},
                                                  {2, 3, -0.5f, 1, false},
                                                  {3, 4, 0, 2, true},
                                                  {4, 5, 0.5f, INFINITY, true}};
    struct sw_comparison c;
    CU_ASSERT_EQUAL_FATAL(sw_comparison_open(4, &c), SW_OK);
    for (size_t i = 0; i < 4; i++)
        sw_comparison_add(&c, &tokens[i]);
    sw_comparison_finish(&c);
    return c;
}

static double value(const json_t *root, const char *name, const char *part)
{
    const json_t *v = json_object_get(root, name);
    return json_real_value(part ? json_object_get(v, part) : v);
}

static void report(void)
{
    struct sw_comparison c = four_tokens();
    json_t *r = sw_comparison_json(&c);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "perplexity_a", "value"), exp(3.5), 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "perplexity_b", "value"), exp(2.5), 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "correlation", NULL), 1, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "log_ratio", "value"), -1, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "log_ratio", "error"), 0, 1e-7); /* all differ by 1 */
    CU_ASSERT_DOUBLE_EQUAL(value(r, "same_top", "value"), 0.75, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "same_top", "error"), sqrt(0.75 * 0.25 / 3), 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "probability_gap", "p50"), 0.125, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "probability_gap", "min"), -0.5, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "probability_gap", "max"), 0.5, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "probability_gap_rms", "value"), sqrt(0.5625 / 4), 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(value(r, "kl_divergence", "p50"), 2.5, 1e-15);
    CU_ASSERT(json_is_null(json_object_get(json_object_get(r, "kl_divergence"), "max")));
    json_decref(r);
    struct sw_strbuf text = {0};
    sw_comparison_describe(&c, &text);
    CU_ASSERT(strstr(text.text, "same top token              75.000%  ± 25.000%\n") != NULL);
    CU_ASSERT(strstr(text.text, "median          2.500000   12.500%\n") != NULL);
    sw_strbuf_free(&text);
    sw_comparison_free(&c);
}

static void rows_in_a_file(void)
{
    struct sw_row_file *file;
    uint32_t rows[3][5], back[3][5];
    for (uint32_t i = 0; i < 15; i++)
        rows[i / 5][i % 5] = i * 7;
    setenv("TMPDIR", "/tmp", 1);
    CU_ASSERT_EQUAL_FATAL(sw_row_file_open(sizeof rows[0], 100, &file), SW_OK);
    CU_ASSERT_EQUAL(sw_row_file_bytes(file), 2000);
    CU_ASSERT_EQUAL(sw_row_file_write(file, 40, rows, 3), SW_OK);
    CU_ASSERT_EQUAL(sw_row_file_write(file, 43, rows, 1), SW_OK);
    CU_ASSERT_EQUAL(sw_row_file_read(file, 41, back, 3), SW_OK);
    CU_ASSERT_EQUAL(memcmp(back, rows + 1, sizeof rows[0] * 2), 0);
    CU_ASSERT_EQUAL(memcmp(back + 2, rows, sizeof rows[0]), 0);
    CU_ASSERT_NOT_EQUAL(sw_row_file_read(file, 43, back, 2), SW_OK); /* past what was written */
    sw_row_file_close(file);
    CU_ASSERT_EQUAL(sw_row_file_open((size_t)1 << 40, 1 << 20, &file), SW_EIO);
    CU_ASSERT(strstr(sw_error_message(), "set TMPDIR") != NULL);
    CU_ASSERT_EQUAL(sw_row_file_open(SIZE_MAX, 3, &file), SW_EIO);
    setenv("TMPDIR", "/proc/none", 1);
    CU_ASSERT_EQUAL(sw_row_file_open(8, 1, &file), SW_EIO);
    CU_ASSERT(strstr(sw_error_message(), "/proc/none") != NULL);
}

SW_UNIT_TESTS({"windows", windows}, {"means", means}, {"report", report},
              {"rows in a file", rows_in_a_file})

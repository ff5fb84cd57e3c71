/* How texts are cut to be scored. */
#include "jobs/score_input.h"
#include "unit.h"

static struct sw_text text(const char *bytes)
{
    return (struct sw_text){bytes, strlen(bytes)};
}

/* The harness's get_rolling_token_windows and make_disjoint_window, step by step, against ours. */
static void windows(void)
{
    struct sw_window w;
    for (size_t context = 1; context < 9; context++)
        for (size_t n = 1; n < 40; n++) {
            size_t predicted = n < context ? n : context, index = 0;
            CU_ASSERT_TRUE_FATAL(sw_window(n, context, index++, &w));
            /* the prefix is item 0 of our list, so the text's id i is item i + 1 */
            CU_ASSERT(w.begin == 0 && w.from == 1 && w.end == predicted + 1);
            while (predicted < n) {
                const size_t scored = n - predicted < context ? n - predicted : context;
                const size_t end = predicted + scored;
                CU_ASSERT_TRUE_FATAL(sw_window(n, context, index++, &w));
                CU_ASSERT_EQUAL(w.begin, end - context - 1 + 1);
                CU_ASSERT_EQUAL(w.from, end - scored + 1);
                CU_ASSERT_EQUAL(w.end, end + 1);
                CU_ASSERT(w.end - w.begin == context + 1 && w.from > w.begin);
                predicted = end;
            }
            CU_ASSERT_FALSE(sw_window(n, context, index, &w));
        }
}

static void fits(void)
{
    struct sw_score_input pair = {.from = 6};
    size_t dropped;
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(sw_ids_push(&pair.ids, i), SW_OK);
    CU_ASSERT_EQUAL(sw_score_input_fit(&pair, 9, &dropped), SW_OK);
    CU_ASSERT(dropped == 0 && pair.ids.count == 10);
    CU_ASSERT_EQUAL(sw_score_input_fit(&pair, 5, &dropped), SW_OK);
    CU_ASSERT(dropped == 4 && pair.ids.count == 6 && pair.from == 2);
    CU_ASSERT(pair.ids.items[0] == 4 && pair.ids.items[5] == 9);
    CU_ASSERT_EQUAL(sw_score_input_fit(&pair, 4, &dropped), SW_OK);
    CU_ASSERT(dropped == 1 && pair.from == 1);
    CU_ASSERT_EQUAL(sw_score_input_fit(&pair, 3, &dropped), SW_EINPUT);
    sw_ids_free(&pair.ids);
}

static void counts(void)
{
    CU_ASSERT_EQUAL(sw_text_words(text("")), 1);
    CU_ASSERT_EQUAL(sw_text_words(text("a  b\n")), 3);
    CU_ASSERT_EQUAL(sw_text_words(text("a\xc2\xa0\x1f b")), 2);
    CU_ASSERT_EQUAL(sw_text_characters(text("a\xc3\xa9\xf0\x9f\x98\x80")), 3);
}

/* White space moves to the continuation, a missing context becomes the prefix. */
static void pairs(void)
{
    struct sw_tokenizer *tok;
    struct sw_score_input a, b;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/tests/models/shakespeare", SW_SOURCE_DIR);
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(dir, &tok), SW_OK);
    CU_ASSERT_EQUAL(sw_score_input_prefix(tok), 0);
    CU_ASSERT_EQUAL(sw_score_input_encode(tok, text("to be \xe2\x80\x83"), text("or"), &a), SW_OK);
    CU_ASSERT_EQUAL(sw_score_input_encode(tok, text("to be"), text(" \xe2\x80\x83or"), &b), SW_OK);
    CU_ASSERT(a.from == b.from && a.ids.count == b.ids.count);
    CU_ASSERT_EQUAL(memcmp(a.ids.items, b.ids.items, a.ids.count * sizeof(int32_t)), 0);
    sw_ids_free(&a.ids);
    sw_ids_free(&b.ids);
    CU_ASSERT_EQUAL(sw_score_input_encode(tok, text(""), text("or"), &a), SW_OK);
    CU_ASSERT_EQUAL(sw_score_input_encode(tok, text(""), text("<|endoftext|>or"), &b), SW_OK);
    CU_ASSERT(a.from == 1 && a.ids.items[0] == 0 && a.ids.count == b.ids.count && b.from == 1);
    sw_ids_free(&a.ids);
    sw_ids_free(&b.ids);
    CU_ASSERT_EQUAL(sw_score_input_encode(tok, text(""), text("<|endoftext|>"), &a), SW_EINPUT);
    sw_ids_free(&a.ids);
    CU_ASSERT_EQUAL(sw_score_input_encode(tok, text(" \n"), text("x"), &a), SW_OK);
    CU_ASSERT(a.from == 1 && a.ids.items[0] == 0);
    sw_ids_free(&a.ids);
    sw_tokenizer_close(tok);
}

SW_UNIT_TESTS({"windows", windows}, {"fits", fits}, {"counts", counts}, {"pairs", pairs})

/*
 * A completion's text is that of all its ids, up to where it ends: at an end-of-text id, before a
 * stop string. What was shown so far is always the beginning of it.
 */
#include "session/completion.h"

#include "unit.h"

#define MODEL SW_SOURCE_DIR "/tests/models/shakespeare"
#define TEXT "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac, then END and more"
#define END 0 /* <|endoftext|> */

static struct sw_tokenizer *tokenizer;

static void opens(void)
{
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_open(MODEL, &tokenizer), SW_OK);
    CU_ASSERT_TRUE_FATAL(sw_tokenizer_is_end(tokenizer, END));
}

static struct sw_ids ids_of(const char *text)
{
    struct sw_ids ids = {0};
    CU_ASSERT_EQUAL_FATAL(sw_tokenizer_encode(tokenizer, text, strlen(text), 0, &ids), SW_OK);
    return ids;
}

/* Pushes ids until the text ends; *n_pushed of them. Each text so far begins with the one before.
 */
static enum sw_status push_all(struct sw_completion *c, const struct sw_ids *ids, size_t *n_pushed)
{
    char before[256] = "";
    bool stop = false;
    for (*n_pushed = 0; *n_pushed < ids->count && !stop; ++*n_pushed) {
        const struct sw_sampled token = {.id = ids->items[*n_pushed],
                                         .logprob = -(float)*n_pushed,
                                         .n_top = 1,
                                         .top = {{7, -0.5f}}};
        const enum sw_status status = sw_completion_push(c, &token, &stop);
        if (status != SW_OK)
            return status;
        const char *text = c->text.text ? c->text.text : "";
        CU_ASSERT_EQUAL(strncmp(text, before, strlen(before)), 0);
        snprintf(before, sizeof before, "%s", text);
    }
    CU_ASSERT_EQUAL(stop, c->stopped);
    return sw_completion_finish(c);
}

static void the_text_is_that_of_the_ids(void)
{
    const struct sw_completion_options options = {.tokenizer = tokenizer};
    struct sw_completion c;
    struct sw_ids ids = ids_of(TEXT);
    size_t n;
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, ids.items, 3), SW_OK);
    CU_ASSERT_EQUAL(push_all(&c, &ids, &n), SW_OK);
    CU_ASSERT_STRING_EQUAL(c.text.text, TEXT);
    CU_ASSERT(c.ids.count == ids.count && c.n_prompt == 3 && !c.stopped && !c.sampled);
    CU_ASSERT_EQUAL(memcmp(c.ids.items, ids.items, ids.count * sizeof *ids.items), 0);
    CU_ASSERT_STRING_EQUAL(sw_completion_finish_reason(&c), "length");
    sw_completion_free(&c);
    /* Cut inside a character: the bytes held back become one U+FFFD at the end. */
    size_t cut = 0;
    while (cut < ids.count && !strchr("\xc3", *sw_tokenizer_token(tokenizer, ids.items[cut], &n)))
        cut++;
    ids.count = cut + 1;
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, NULL, 0), SW_OK);
    CU_ASSERT_EQUAL(push_all(&c, &ids, &n), SW_OK);
    CU_ASSERT_STRING_EQUAL(c.text.text, "caf\xef\xbf\xbd");
    sw_completion_free(&c);
    sw_ids_free(&ids);
}

static void an_end_id_ends_it(void)
{
    struct sw_completion_options options = {.tokenizer = tokenizer};
    struct sw_ids ids = ids_of("one two");
    struct sw_completion c;
    const size_t words = ids.count;
    size_t n;
    CU_ASSERT_EQUAL(sw_ids_push(&ids, END), SW_OK);
    CU_ASSERT_EQUAL(sw_ids_push(&ids, ids.items[0]), SW_OK);
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, NULL, 0), SW_OK);
    CU_ASSERT_EQUAL(push_all(&c, &ids, &n), SW_OK);
    CU_ASSERT(n == words + 1 && c.ids.count == words && c.stopped); /* the id is no token of it */
    CU_ASSERT_STRING_EQUAL(c.text.text, "one two");
    CU_ASSERT_STRING_EQUAL(sw_completion_finish_reason(&c), "stop");
    sw_completion_free(&c);
    options.ignore_end = true;
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, NULL, 0), SW_OK);
    CU_ASSERT_EQUAL(push_all(&c, &ids, &n), SW_OK);
    CU_ASSERT(n == ids.count && c.ids.count == ids.count && !c.stopped);
    CU_ASSERT_PTR_NULL(strstr(c.text.text, "<|endoftext|>"));
    sw_completion_free(&c);
    options.special = true;
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, NULL, 0), SW_OK);
    CU_ASSERT_EQUAL(push_all(&c, &ids, &n), SW_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(c.text.text, "one two<|endoftext|>"));
    sw_completion_free(&c);
    sw_ids_free(&ids);
}

static void a_stop_string_ends_it_before(void)
{
    static const char *const stop[] = {"END", "never"};
    const struct sw_completion_options options = {
        .tokenizer = tokenizer, .stop = stop, .n_stop = 2};
    struct sw_completion c;
    struct sw_ids ids = ids_of(TEXT), part = ids_of("then EN");
    size_t n;
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, NULL, 0), SW_OK);
    CU_ASSERT_EQUAL(push_all(&c, &ids, &n), SW_OK);
    CU_ASSERT(c.stopped && n < ids.count && c.ids.count == n);
    CU_ASSERT_STRING_EQUAL(c.text.text, "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac, then ");
    CU_ASSERT_STRING_EQUAL(sw_completion_finish_reason(&c), "stop");
    sw_completion_free(&c);
    /* What could still become a stop string is held back until it cannot. */
    bool end = false;
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, NULL, 0), SW_OK);
    for (size_t i = 0; i < part.count; i++) {
        const struct sw_sampled token = {.id = part.items[i]};
        CU_ASSERT_EQUAL(sw_completion_push(&c, &token, &end), SW_OK);
    }
    CU_ASSERT_STRING_EQUAL(c.text.text, "then ");
    CU_ASSERT_EQUAL(sw_completion_finish(&c), SW_OK);
    CU_ASSERT_STRING_EQUAL(c.text.text, "then EN");
    CU_ASSERT(!end && !c.stopped);
    sw_completion_free(&c);
    sw_ids_free(&ids);
    sw_ids_free(&part);
}

static void log_probabilities_are_kept(void)
{
    const struct sw_completion_options options = {.tokenizer = tokenizer, .logprobs = true};
    struct sw_completion c;
    struct sw_ids ids = {0};
    size_t n;
    for (int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(sw_ids_push(&ids, 60 + i), SW_OK);
    CU_ASSERT_EQUAL(sw_ids_push(&ids, END), SW_OK);
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, NULL, 0), SW_OK);
    CU_ASSERT_EQUAL(push_all(&c, &ids, &n), SW_OK);
    CU_ASSERT_EQUAL_FATAL(c.ids.count, 100);
    for (int i = 0; i < 100; i++)
        CU_ASSERT(c.sampled[i].id == 60 + i && c.sampled[i].logprob == -(float)i &&
                  c.sampled[i].n_top == 1 && c.sampled[i].top[0].id == 7);
    sw_completion_free(&c);
    sw_ids_free(&ids);
}

static void without_a_tokenizer_ids_are_counted(void)
{
    const struct sw_completion_options options = {0};
    struct sw_completion c;
    struct sw_ids ids = {0};
    size_t n;
    for (int32_t i = 0; i < 3; i++) /* with END among them */
        CU_ASSERT_EQUAL(sw_ids_push(&ids, i), SW_OK);
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &options, ids.items, 2), SW_OK);
    CU_ASSERT_EQUAL(push_all(&c, &ids, &n), SW_OK);
    CU_ASSERT(c.ids.count == 3 && c.n_prompt == 2 && c.text.length == 0 && !c.stopped);
    sw_completion_free(&c);
    sw_ids_free(&ids);
}

static void bad_options_are_refused(void)
{
    static const char *const empty[] = {""};
    const struct sw_completion_options bad = {.tokenizer = tokenizer, .stop = empty, .n_stop = 1};
    const struct sw_completion_options good = {.tokenizer = tokenizer};
    const int32_t beyond[] = {1 << 20};
    struct sw_completion c;
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &bad, NULL, 0), SW_EINPUT);
    sw_completion_free(&c);
    CU_ASSERT_EQUAL(sw_completion_begin(&c, &good, beyond, 1), SW_EINPUT);
    sw_completion_free(&c);
    sw_tokenizer_close(tokenizer);
}

SW_UNIT_TESTS({"opens", opens}, {"the text is that of the ids", the_text_is_that_of_the_ids},
              {"an end id ends it", an_end_id_ends_it},
              {"a stop string ends it before", a_stop_string_ends_it_before},
              {"log-probabilities are kept", log_probabilities_are_kept},
              {"without a tokenizer ids are counted", without_a_tokenizer_ids_are_counted},
              {"bad options are refused", bad_options_are_refused})

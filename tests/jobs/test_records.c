/* Lines, ids and what requests ask for. */
#include "base/hash.h"
#include "base/json.h"
#include "jobs/id_set.h"
#include "jobs/input_kind.h"
#include "jobs/jsonl_reader.h"
#include "jobs/line_json.h"
#include "jobs/record.h"
#include "jobs/request.h"
#include "unit.h"

#include <unistd.h>

static int file_of(const char *text, size_t n)
{
    char path[] = "/tmp/sw-lines-XXXXXX";
    const int fd = mkstemp(path);
    unlink(path);
    if (write(fd, text, n) != (ssize_t)n)
        abort();
    return fd;
}

static void lines_of_any_length(void)
{
    static const char text[] =
        "\xEF\xBB\xBFone\r\n\n  \t\nlonger than ten\nten bytes.\n\xEF\xBB\xBFlast";
    static const struct {
        const char *bytes;
        bool ended, too_long, blank;
    } expected[] = {{"one", true, false, false},        {"", true, false, true},
                    {"  \t", true, false, true},        {"longer tha", true, true, false},
                    {"ten bytes.", true, false, false}, {"\xEF\xBB\xBFlast", false, false, false}};
    const int fd = file_of(text, sizeof text - 1);
    struct sw_jsonl *lines;
    struct sw_jsonl_line line;
    bool more;
    CU_ASSERT_EQUAL_FATAL(sw_jsonl_over(fd, "text", 10, &lines), SW_OK);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        CU_ASSERT_EQUAL_FATAL(sw_jsonl_next(lines, &line, &more), SW_OK);
        CU_ASSERT_FATAL(more);
        CU_ASSERT_EQUAL(line.number, (int64_t)i + 1);
        CU_ASSERT_EQUAL(line.ended, expected[i].ended);
        CU_ASSERT_EQUAL(line.too_long, expected[i].too_long);
        CU_ASSERT_EQUAL(sw_jsonl_is_blank(&line), expected[i].blank);
        CU_ASSERT_EQUAL_FATAL(line.n, strlen(expected[i].bytes));
        CU_ASSERT_EQUAL(memcmp(line.bytes, expected[i].bytes, line.n), 0);
        if (!line.too_long)
            CU_ASSERT_EQUAL(memcmp(text + line.offset, line.bytes, line.n), 0);
    }
    CU_ASSERT_EQUAL(sw_jsonl_next(lines, &line, &more), SW_OK);
    CU_ASSERT_FALSE(more);
    sw_jsonl_close(lines);
    close(fd);
}

/* Lines around the size of the buffer, which has to move and to grow. */
static void long_lines(void)
{
    enum { N = 40, MOST = 700000 };
    char *text = malloc((size_t)N * (MOST + 1));
    size_t n = 0, at = 0;
    struct sw_jsonl *lines;
    struct sw_jsonl_line line;
    bool more;
    for (int i = 0; i < N; i++) {
        const size_t length = (size_t)i * 7919 * 31 % MOST;
        memset(text + n, 'a' + i % 26, length);
        n += length;
        text[n++] = '\n';
    }
    const int fd = file_of(text, n);
    CU_ASSERT_EQUAL_FATAL(sw_jsonl_over(fd, "text", 600000, &lines), SW_OK);
    for (int i = 0; i < N; i++) {
        const size_t length = (size_t)i * 7919 * 31 % MOST;
        CU_ASSERT_EQUAL_FATAL(sw_jsonl_next(lines, &line, &more), SW_OK);
        CU_ASSERT_FATAL(more);
        CU_ASSERT_EQUAL(line.offset, at);
        CU_ASSERT_EQUAL(line.too_long, length > 600000);
        CU_ASSERT_EQUAL_FATAL(line.n, length > 600000 ? 600000 : length);
        CU_ASSERT(length == 0 ||
                  (line.bytes[0] == 'a' + i % 26 && line.bytes[line.n - 1] == 'a' + i % 26));
        at += length + 1;
    }
    CU_ASSERT_EQUAL(sw_jsonl_next(lines, &line, &more), SW_OK);
    CU_ASSERT_FALSE(more);
    sw_jsonl_close(lines);
    close(fd);
    free(text);
}

/* The vectors of the reference's vectors_sip128: key and text are 00 01 02 … */
static void siphash(void)
{
    static const struct {
        size_t n;
        const char *expected;
    } vectors[] = {{0, "a3817f04ba25a8e66df67214c7550293"},
                   {1, "da87c1d86b99af44347659119b22fc45"},
                   {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},
                   {8, "3b62a9ba6258f5610f83e264f31497b4"}};
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    unsigned char text[64];
    for (int i = 0; i < 64; i++)
        text[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct sw_digest d = sw_hash_of(key, text, vectors[i].n);
        char bytes[33];
        for (int b = 0; b < 16; b++)
            snprintf(bytes + 2 * b, 3, "%02x",
                     (unsigned)((b < 8 ? d.low : d.high) >> (8 * (b % 8)) & 0xff));
        CU_ASSERT_STRING_EQUAL(bytes, vectors[i].expected);
    }
    struct sw_hash parts;
    sw_hash_begin(&parts, key);
    for (size_t at = 0, step = 1; at < 64; at += step, step = (step * 5 + 1) % 11 + 1)
        sw_hash_add(&parts, text + at, at + step > 64 ? 64 - at : step);
    const struct sw_digest whole = sw_hash_of(key, text, 64), pieces = sw_hash_end(&parts);
    CU_ASSERT(whole.low == pieces.low && whole.high == pieces.high);
}

static void keys(void)
{
    enum { N = 20000 };
    struct sw_id_set *keys;
    unsigned before;
    char key[32];
    CU_ASSERT_EQUAL_FATAL(sw_id_set_create(&keys), SW_OK);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < N; i++) {
            const int n = snprintf(key, sizeof key, "\"%d\"", i);
            const unsigned marks = round == 0 ? SW_ID_DONE : i % 2 ? SW_ID_SEEN : 0;
            CU_ASSERT_EQUAL(sw_id_set_mark(keys, key, (size_t)n, marks, &before), SW_OK);
            CU_ASSERT_EQUAL(before, round == 0 ? 0u : SW_ID_DONE);
        }
    CU_ASSERT_EQUAL(sw_id_set_count(keys, SW_ID_DONE, 0), N);
    CU_ASSERT_EQUAL(sw_id_set_count(keys, SW_ID_DONE, SW_ID_SEEN), N / 2);
    CU_ASSERT_EQUAL(sw_id_set_mark(keys, "\"new\"", 5, 0, &before), SW_OK);
    CU_ASSERT_EQUAL(before, 0);
    CU_ASSERT_EQUAL(sw_id_set_count(keys, 0, 0), N);
    sw_id_set_free(keys);
}

static void ids(void)
{
    static const struct {
        const char *line, *key; /* NULL: refused; "": it has none */
        bool batch_form, failed;
    } rows[] = {
        {"{\"id\": \"a\", \"prompt\": 1}", "\"a\"", false, false},
        {" {\"x\": {\"id\": 5}, \"id\": 12 } ", "12", false, false},
        {"{\"id\":-1.50e+3}", "-1.50e+3", false, false},
        {"{\"id\": \"\\u0041\\n\\\"\\u00e9\"}", "\"A\\n\\\"\xc3\xa9\"", false, false},
        {"{\"id\":null}", "", false, false},
        {"{}", "", false, false},
        {"{\"custom_id\":\"c\",\"id\":\"batch_req_1\",\"response\":{\"status_code\":200,\"body\":{}"
         "},"
         "\"error\":null}",
         "\"c\"", true, false},
        {"{\"custom_id\":\"c\",\"response\":{\"status_code\":400}}", "\"c\"", true, true},
        {"{\"url\":\"u\",\"body\":{}}", "", true, false},
        {"{\"id\":1,\"error\":\"no\"}", "1", false, true},
        {"{\"id\":01}", NULL, false, false},
        {"{\"id\":[1]}", NULL, false, false},
        {"{\"id\":true}", NULL, false, false},
        {"{\"id\":\"\\ud800\"}", NULL, false, false},
        {"{\"id\":1", NULL, false, false},
        {"{\"id\":1}}", NULL, false, false},
        {"[1]", NULL, false, false},
        {"", NULL, false, false},
    };
    struct sw_strbuf key = {0};
    struct sw_record record;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const enum sw_status status =
            sw_record_scan(rows[i].line, strlen(rows[i].line), &key, &record);
        CU_ASSERT_EQUAL(status, rows[i].key ? SW_OK : SW_EINPUT);
        CU_ASSERT_EQUAL(record.has_id, rows[i].key && rows[i].key[0]);
        if (record.has_id)
            CU_ASSERT_STRING_EQUAL(key.text, rows[i].key);
        if (rows[i].key)
            CU_ASSERT(record.batch_form == rows[i].batch_form && record.failed == rows[i].failed);
    }
    sw_strbuf_free(&key);
}

/* What is written about an error is read back as one, under the same id, in both forms. */
static void error_records(void)
{
    struct sw_strbuf key = {0}, line = {0}, again = {0};
    struct sw_record record;
    sw_json_quote(&key, "a\"\n\x01\xc3\xa9", 6);
    for (int form = 0; form < 2; form++) {
        line.length = 0;
        sw_record_error(&key, form, SW_EINPUT, "bad \xff byte \"x\"", NULL, &line);
        CU_ASSERT_EQUAL(line.text[line.length - 1], '\n');
        CU_ASSERT_EQUAL(sw_record_scan(line.text, line.length - 1, &again, &record), SW_OK);
        CU_ASSERT(record.failed && record.has_id && record.batch_form == (form == 1));
        CU_ASSERT_STRING_EQUAL(again.text, key.text);
        json_t *root = json_loadb(line.text, line.length, 0, NULL);
        CU_ASSERT_PTR_NOT_NULL(root);
        json_decref(root);
    }
    static const struct {
        enum sw_status fault;
        const char *says[2];
    } cases[] = {{SW_EINPUT, {"\"status_code\":400,", "\"type\":\"invalid_request_error\""}},
                 {SW_EUSAGE, {"\"status_code\":400,", "\"type\":\"invalid_request_error\""}},
                 {SW_EDEVICE, {"\"status_code\":500,", "\"type\":\"server_error\""}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        line.length = 0;
        sw_record_error(&key, true, cases[i].fault, "no", "n", &line);
        CU_ASSERT(strstr(line.text, cases[i].says[0]) && strstr(line.text, cases[i].says[1]));
    }
    sw_strbuf_free(&key);
    sw_strbuf_free(&line);
    sw_strbuf_free(&again);
}

static struct sw_line_request defaults(void)
{
    return (struct sw_line_request){
        .max_tokens = 7, .sampling = sw_sampling_default(), .stop = {"END"}, .n_stop = 1};
}

static struct sw_unknown unknown;

/* What a line asks for, or the word its refusal must have. */
static json_t *read_request(const char *text, bool batch_form, struct sw_line_request *out,
                            const char *refusal)
{
    const struct sw_line_request start = defaults();
    json_t *root;
    CU_ASSERT_EQUAL_FATAL(sw_json_read(text, strlen(text), SW_JSON_LINE, &root), SW_OK);
    const enum sw_status status = sw_line_request_read(root, batch_form, &start, &unknown, out);
    CU_ASSERT_EQUAL(status, refusal ? SW_EINPUT : SW_OK);
    if (status != SW_OK && (!refusal || !strstr(sw_error_message(), refusal)))
        CU_FAIL(sw_error_message());
    return root;
}

static void plain_requests(void)
{
    struct sw_line_request a;
    json_t *root =
        read_request("{\"prompt\":\"hi\",\"temperature\":0.5,\"top_p\":0.9,\"top_k\":-1,"
                     "\"min_p\":0.1,\"repetition_penalty\":1.5,\"seed\":9,\"max_tokens\":3,"
                     "\"stop\":[\"a\",\"b\"],\"logprobs\":2,\"ignore_end\":true,\"mine\":{}}",
                     false, &a, NULL);
    CU_ASSERT(unknown.n == 1 && unknown.names[0].lines == 1);
    sw_unknown_report(&unknown, "batch");
    CU_ASSERT(a.form == SW_FORM_PLAIN && a.max_tokens == 3 && a.ignore_end && a.seeded);
    CU_ASSERT(a.sampling.temperature == 0.5f && a.sampling.top_p == 0.9f && a.sampling.top_k == 0);
    CU_ASSERT(a.sampling.min_p == 0.1f && a.sampling.repetition_penalty == 1.5f);
    CU_ASSERT(a.sampling.seed == 9 && a.sampling.logprobs == 2 && a.n_stop == 2);
    CU_ASSERT_STRING_EQUAL(a.stop[1], "b");
    json_decref(root);
    root = read_request("{\"prompt\":[1,2],\"temperature\":null,\"stop\":null}", false, &a, NULL);
    CU_ASSERT(a.max_tokens == 7 && a.n_stop == 1 && !a.seeded && a.sampling.logprobs == -1);
    json_decref(root);
    root = read_request("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", false, &a, NULL);
    CU_ASSERT(a.messages && !a.prompt);
    json_decref(root);
}

/* Numbers are as long as JSON lets them be; what is not asked for is not looked at. */
static void long_numbers(void)
{
    static const struct {
        const char *line;
        uint64_t seed;
    } rows[] = {{"{\"prompt\":\"a\",\"seed\":18446744073709551615}", UINT64_MAX},
                {"{\"prompt\":\"a\",\"seed\":9223372036854775808}", (uint64_t)1 << 63},
                {"{\"prompt\":\"a\",\"seed\":-1}", UINT64_MAX},
                {"{\"prompt\":\"a\",\"seed\":1,\"id\":18446744073709551616}", 1},
                {"{\"prompt\":\"a\",\"seed\":1,\"id\":1e400,\"metadata\":[NaN,-Infinity]}", 1}};
    struct sw_line_request a;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *root = read_request(rows[i].line, false, &a, NULL);
        CU_ASSERT(a.seeded && a.sampling.seed == rows[i].seed);
        json_decref(root);
    }
}

static void batch_requests(void)
{
    struct sw_line_request a;
    json_t *root =
        read_request("{\"url\":\"/v1/completions\",\"method\":\"POST\",\"body\":{\"model\":"
                     "\"m\",\"prompt\":[\"one\"],\"n\":1,\"echo\":false,\"stream\":false,"
                     "\"logit_bias\":{},\"user\":\"u\"}}",
                     true, &a, NULL);
    CU_ASSERT(a.form == SW_FORM_COMPLETION && json_is_string(a.prompt));
    CU_ASSERT_STRING_EQUAL(a.model, "m");
    json_decref(root);
    root = read_request(
        "{\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{}],\"logprobs\":true,"
        "\"top_logprobs\":3,\"max_completion_tokens\":5,"
        "\"response_format\":{\"type\":\"text\"},\"chat_template_kwargs\":{\"a\":1}}}",
        true, &a, NULL);
    CU_ASSERT(a.form == SW_FORM_CHAT && a.max_tokens == 5 && a.sampling.logprobs == 3);
    CU_ASSERT_PTR_NOT_NULL(a.variables);
    json_decref(root);
}

static void refusals(void)
{
    static const struct {
        const char *line, *word;
        bool batch_form;
    } rows[] = {
        {"{}", "neither", false},
        {"{\"prompt\":\"a\",\"messages\":[]}", "both", false},
        {"{\"messages\":[]}", "is an empty list", false},
        {"{\"messages\":{}}", "not an object", false},
        {"{\"messages\":[{}],\"chat_template_kwargs\":[1]}", "must be an object", false},
        {"{\"prompt\":5}", "\"prompt\"", false},
        {"{\"prompt\":[]}", "\"prompt\"", false},
        {"{\"prompt\":[\"a\",\"b\"]}", "2 prompts", false},
        {"{\"prompt\":\"a\",\"max_tokens\":0}", "max_tokens", false},
        {"{\"prompt\":\"a\",\"max_tokens\":1.5}", "whole number", false},
        {"{\"prompt\":\"a\",\"max_tokens\":99999999999}", "max_tokens", false},
        {"{\"prompt\":\"a\",\"temperature\":\"hot\"}", "temperature", false},
        {"{\"prompt\":\"a\",\"temperature\":-1}", "temperature", false},
        {"{\"prompt\":\"a\",\"top_p\":0}", "top_p", false},
        {"{\"prompt\":\"a\",\"top_p\":1.1}", "top_p", false},
        {"{\"prompt\":\"a\",\"seed\":\"x\"}", "seed", false},
        {"{\"prompt\":\"a\",\"seed\":18446744073709551616}",
         "\"seed\" is 18446744073709551616; it must be from -2^63 to 2^64 - 1", false},
        {"{\"prompt\":\"a\",\"seed\":1e400}", "must be a whole number, not a number", false},
        {"{\"prompt\":\"a\",\"temperature\":NaN}", "\"temperature\" is nan", false},
        {"{\"prompt\":\"a\",\"temperature\":1e400}", "\"temperature\" is inf", false},
        {"{\"prompt\":\"a\",\"max_tokens\":1000000000000000000000}", "max_tokens", false},
        {"{\"prompt\":\"a\",\"stop\":\"\"}", "stop", false},
        {"{\"prompt\":\"a\",\"stop\":[1]}", "stop", false},
        {"{\"prompt\":\"a\",\"logprobs\":33}", "logprobs", false},
        {"{\"prompt\":\"a\",\"n\":2}", "\"n\"", false},
        {"{\"prompt\":\"a\",\"ignore_end\":1}", "ignore_end", false},
        {"{\"url\":\"/v1/embeddings\",\"body\":{}}", "url", true},
        {"{\"url\":\"/v1/completions\",\"method\":\"GET\",\"body\":{\"prompt\":\"a\"}}", "method",
         true},
        {"{\"url\":\"/v1/completions\",\"body\":5}", "body", true},
        {"{\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"a\",\"stream\":true}}", "stream",
         true},
        {"{\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"a\",\"echo\":true}}", "echo", true},
        {"{\"url\":\"/v1/chat/completions\",\"body\":{\"prompt\":\"a\"}}", "\"prompt\"", true},
        {"{\"url\":\"/v1/chat/completions\",\"body\":{}}", "messages", true},
        {"{\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{}],\"logprobs\":2}}",
         "logprobs", true},
        {"{\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{}],\"tools\":[{}]}}", "tools",
         true},
    };
    struct sw_line_request a;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        json_decref(read_request(rows[i].line, rows[i].batch_form, &a, rows[i].word));
}

/* Members that change the answer, of the API and of other programs: refused by name in a body. */
static void refused_by_name(void)
{
    static const char *const rows[] = {"\"stop_token_ids\":[2]",
                                       "\"min_tokens\":5",
                                       "\"bad_words\":[\"a\"]",
                                       "\"guided_json\":{\"type\":\"object\"}",
                                       "\"guided_regex\":\"a+\"",
                                       "\"guided_choice\":[\"a\"]",
                                       "\"guided_grammar\":\"root\"",
                                       "\"structured_outputs\":{\"json\":{}}",
                                       "\"use_beam_search\":true",
                                       "\"length_penalty\":1.5",
                                       "\"early_stopping\":true",
                                       "\"skip_special_tokens\":false",
                                       "\"spaces_between_special_tokens\":false",
                                       "\"prompt_logprobs\":1",
                                       "\"continue_final_message\":true",
                                       "\"add_generation_prompt\":false",
                                       "\"add_special_tokens\":true",
                                       "\"chat_template\":\"x\"",
                                       "\"reasoning_effort\":\"low\"",
                                       "\"verbosity\":\"low\"",
                                       "\"documents\":[{}]",
                                       "\"tool_choice\":\"required\"",
                                       "\"tool_choice\":{\"type\":\"function\"}",
                                       "\"allowed_token_ids\":[1]",
                                       "\"truncate_prompt_tokens\":4",
                                       "\"include_stop_str_in_output\":true",
                                       "\"typical_p\":0.5",
                                       "\"no_repeat_ngram_size\":2",
                                       "\"logits_processors\":[\"x\"]",
                                       "\"modalities\":[\"audio\"]",
                                       "\"function_call\":{\"name\":\"f\"}",
                                       "\"web_search_options\":{}",
                                       "\"n\":2",
                                       "\"best_of\":2",
                                       "\"echo\":true",
                                       "\"stream\":true",
                                       "\"suffix\":\"s\"",
                                       "\"logit_bias\":{\"1x\":2}",
                                       "\"logit_bias\":{\"-1\":2}",
                                       "\"logit_bias\":{\"99999999999\":2}",
                                       "\"logit_bias\":{\"1\":101}",
                                       "\"logit_bias\":{\"1\":\"2\"}",
                                       "\"logit_bias\":[1]",
                                       "\"presence_penalty\":0.5",
                                       "\"frequency_penalty\":\"0\"",
                                       "\"response_format\":7",
                                       "\"tools\":[{}]",
                                       "\"audio\":{}",
                                       "\"temprature\":0.5",
                                       "\"max_new_tokens\":4"};
    struct sw_line_request a;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int chat = 0; chat < 2; chat++) {
            char line[256], name[64];
            snprintf(line, sizeof line, "{\"url\":\"/v1/%s\",\"body\":{%s,%s}}",
                     chat ? "chat/completions" : "completions",
                     chat ? "\"messages\":[{}]" : "\"prompt\":\"a\"", rows[i]);
            snprintf(name, sizeof name, "%.*s", (int)strcspn(rows[i], ":"), rows[i]);
            json_decref(read_request(line, true, &a, name));
            name[strlen(name) - 1] = '\0';
            CU_ASSERT_PTR_NOT_NULL_FATAL(a.wrong);
            json_t *root = json_loads(line, 0, NULL);
            CU_ASSERT_EQUAL(sw_line_request_read(
                                root, true, &(struct sw_line_request){.max_tokens = 1}, NULL, &a),
                            SW_EINPUT);
            CU_ASSERT_STRING_EQUAL(a.wrong, name + 1);
            json_decref(root);
        }
    CU_ASSERT_EQUAL(unknown.n, 0);
    json_decref(
        read_request("{\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"a\",\"messages\":[]}}",
                     true, &a, "\"messages\""));
    json_decref(read_request("{\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"a\","
                             "\"top_logprobs\":2}}",
                             true, &a, "\"top_logprobs\""));
    json_decref(read_request("{\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{}],"
                             "\"top_logprobs\":2}}",
                             true, &a, "\"logprobs\" is not true"));
}

/* What says nothing about the answer, or what happens anyway; null is as good as absent. */
static void passed_over(void)
{
    static const char body[] =
        "\"model\":\"m\",\"user\":\"u\",\"metadata\":{\"a\":\"b\"},\"store\":true,"
        "\"service_tier\":\"flex\",\"stream\":false,\"stream_options\":{\"include_usage\":true},"
        "\"safety_identifier\":\"s\",\"prompt_cache_key\":\"k\",\"prompt_cache_retention\":\"24h\","
        "\"n\":1,\"best_of\":1.0,\"echo\":false,\"logit_bias\":{},\"presence_penalty\":0,"
        "\"frequency_penalty\":0.0,\"suffix\":\"\",\"tools\":[],\"functions\":[],"
        "\"tool_choice\":\"none\",\"function_call\":\"auto\",\"parallel_tool_calls\":false,"
        "\"response_format\":{\"type\":\"text\"},\"modalities\":[\"text\"],\"audio\":null,"
        "\"reasoning_effort\":null,\"min_tokens\":0,\"stop_token_ids\":[],\"bad_words\":[],"
        "\"use_beam_search\":false,\"skip_special_tokens\":true,\"guided_json\":null,"
        "\"add_generation_prompt\":true,\"continue_final_message\":false,\"documents\":[],"
        "\"spaces_between_special_tokens\":true,\"length_penalty\":1,\"priority\":3,"
        "\"logprobs\":null,\"stop\":null,\"seed\":null,\"nobody_knows\":null";
    char line[2048];
    struct sw_line_request a;
    snprintf(line, sizeof line, "{\"url\":\"/v1/completions\",\"body\":{\"prompt\":\"a\",%s}}",
             body);
    json_decref(read_request(line, true, &a, NULL));
    snprintf(
        line, sizeof line,
        "{\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{}],\"top_logprobs\":0,%s}}",
        body);
    json_decref(read_request(line, true, &a, NULL));
    snprintf(line, sizeof line, "{\"prompt\":\"a\",%s}", body);
    json_decref(read_request(line, false, &a, NULL));
    CU_ASSERT_EQUAL(unknown.n, 0);
}

/* Plain lines may have columns of the user's own, which are counted; so is what others know. */
static void counted(void)
{
    static const struct {
        const char *name;
        int64_t lines;
    } expected[] = {{"label", 3}, {"min_tokens", 2}, {"reasoning_effort", 1}, {"temperature", 1}};
    struct sw_line_request a;
    json_decref(read_request("{\"prompt\":\"a\",\"label\":1,\"min_tokens\":5}", false, &a, NULL));
    json_decref(
        read_request("{\"prompt\":\"a\",\"label\":\"x\",\"min_tokens\":6}", false, &a, NULL));
    json_decref(
        read_request("{\"label\":0,\"min_tokens\":0,\"prompt\":\"a\",\"reasoning_effort\":\"low\"}",
                     false, &a, NULL));
    json_decref(read_request("{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"/v1/completions\","
                             "\"temperature\":1,\"body\":{\"prompt\":\"a\"}}",
                             true, &a, NULL));
    CU_ASSERT_EQUAL_FATAL(unknown.n, 4);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_STRING_EQUAL(unknown.names[i].name, expected[i].name);
        CU_ASSERT_EQUAL(unknown.names[i].lines, expected[i].lines);
    }
    for (int i = 0; i < 30; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%d", i);
        sw_unknown_note(&unknown, name);
    }
    CU_ASSERT(unknown.n == SW_UNKNOWN_NAMES && unknown.others == 14);
    sw_unknown_report(&unknown, "batch");
    CU_ASSERT(unknown.n == 0 && unknown.others == 0);
}

/* What is no file of lines, by its first bytes; NULL: it is one. */
static void kinds_of_input(void)
{
#define HEAD(text) text, sizeof text - 1
    static const struct {
        const char *head;
        size_t n;
        const char *word;
    } rows[] = {
        {HEAD("{\"prompt\":\"a\"}\n"), NULL},
        {HEAD(""), NULL},
        {HEAD("\n \n"), NULL},
        {HEAD("\xEF\xBB\xBF{\"prompt\":\"a\"}"), NULL},
        {HEAD("not JSON\n{\"prompt\":\"a\"}\n"), NULL},
        {HEAD("[1]\n{\"prompt\":\"a\"}\n"), NULL},
        {HEAD("{\"id\": \"cut\n"), NULL},
        {HEAD("{\"a\":1}\n\0\0\0\n"), NULL},
        {HEAD("{}\n{"), NULL},
        {HEAD("\xFF\xFE{\0\"\0"), "UTF-16 text, but"},
        {HEAD("\xFE\xFF\0{\0\""), "UTF-16 text, but"},
        {HEAD("{\0\"\0p\0"), "UTF-16 text without a byte order mark, but"},
        {HEAD("\0{\0\"\0p"), "UTF-16BE"},
        {HEAD("\xFF\xFE\0\0{\0\0\0"), "UTF-32"},
        {HEAD("[{\"prompt\":\"a\"},{\"prompt\":\"b\"}]"), "one JSON list"},
        {HEAD("[\n  {\n    \"prompt\":\"a\"\n  }\n]\n"), "one JSON list"},
        {HEAD("[]"), "one JSON list"},
        {HEAD("{\n  \"prompt\": \"a\"\n}\n"), "spans several lines"},
        {HEAD("{\"data\": [\n{\"prompt\": \"a\"}\n]}\n"), "spans several lines"},
        {HEAD("id,prompt\n1,\"a, b\"\n"), "(CSV)"},
        {HEAD("id\tprompt\n1\ta\n"), "(TSV)"},
        {HEAD("To be or not\nto be\n"), "looks like text"},
        {HEAD("\x1F\x8B\x08\0\0"), "gunzip"},
        {HEAD("PK\x03\x04zip"), "zip archive"},
        {HEAD("PAR1\x15"), "Parquet"},
        {HEAD("\x7F"
              "ELF\x02\x01\x01\0\0\n\0"),
         "binary"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const enum sw_status status = sw_input_kind_check("in", rows[i].head, rows[i].n, true);
        CU_ASSERT_EQUAL(status, rows[i].word ? SW_EINPUT : SW_OK);
        if (rows[i].word ? status == SW_OK || !strstr(sw_error_message(), rows[i].word)
                         : status != SW_OK)
            printf("    %s: %s\n", rows[i].head, sw_error_message());
        if (rows[i].word)
            CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), rows[i].word));
    }
    /* A first line that is longer than what is looked at. */
    CU_ASSERT_EQUAL(sw_input_kind_check("in", "{\"prompt\":\"aaa", 14, false), SW_OK);
    CU_ASSERT_EQUAL(sw_input_kind_check("in", "aaaaaaa", 7, false), SW_EINPUT);
}

/* What nobody looks at is not built, but checked; word NULL: it reads as `built`. */
static void bounded_lines(void)
{
    static const struct {
        const char *line, *built, *word;
    } rows[] = {
        {"{\"prompt\":\"a\",\"n\":1,\"mine\":{\"a\":[1,{}]},\"x\":[1],\"t\":\"long\",\"z\":null}",
         "{\"prompt\":\"a\",\"n\":1,\"mine\":true,\"x\":[],\"t\":\"\",\"z\":null}", NULL},
        {"{\"prompt\":\"a\",\"mine\":[NaN,-Infinity,1e999]}", "{\"prompt\":\"a\",\"mine\":[]}",
         NULL},
        {"{\"custom_id\":\"c\",\"body\":{\"prompt\":[\"a\"],\"metadata\":{\"b\":1},\"model\":\"m\"}"
         "}",
         "{\"custom_id\":\"\",\"body\":{\"prompt\":[\"a\"],\"metadata\":true,\"model\":\"m\"}}",
         NULL},
        {"{\"prompt\": [ 5 , 6]}", "{\"prompt\":[0]}", NULL},
        {"{\"mine\":{\"a\":nothing}}", NULL, "\"mine\""},
        {"{\"mine\":[1,]}", NULL, "\"mine\""},
        {"{\"mine\":01}", NULL, "\"mine\""},
        {"{\"n\":tru}", NULL, "\"n\": not JSON"},
        {"{\"mine\":1,\"mine\":2}", NULL, "duplicate"},
        {"{\"body\":{\"a\":1,\"a\":2}}", NULL, "duplicate"},
        {"{\"a\\u0000b\":1}", NULL, "NUL"},
        {"{\"a\":1} x", NULL, "not a JSON object"},
    };
    struct sw_line_json json;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const enum sw_status status =
            sw_line_json_read(rows[i].line, strlen(rows[i].line), sw_line_request_knows, &json);
        CU_ASSERT_EQUAL(status, rows[i].word ? SW_EINPUT : SW_OK);
        json_t *built = rows[i].built ? json_loads(rows[i].built, 0, NULL) : NULL;
        CU_ASSERT(built ? json_equal(json.root, built) : !json.root);
        if (rows[i].word ? !strstr(sw_error_message(), rows[i].word) : status != SW_OK)
            CU_FAIL(sw_error_message());
        if (i == 3)
            CU_ASSERT(json.ids.length == 8 && memcmp(json.ids.bytes, "[ 5 , 6]", 8) == 0);
        json_decref(built);
        json_decref(json.root);
    }
}

SW_UNIT_TESTS({"lines of any length", lines_of_any_length}, {"long lines", long_lines},
              {"SipHash", siphash}, {"keys", keys}, {"ids", ids}, {"error records", error_records},
              {"plain requests", plain_requests}, {"requests of the Batch API", batch_requests},
              {"long numbers", long_numbers}, {"refusals", refusals},
              {"refused by name", refused_by_name}, {"passed over", passed_over},
              {"counted", counted}, {"kinds of input", kinds_of_input},
              {"bounded lines", bounded_lines})

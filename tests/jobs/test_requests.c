/* What a line of input asks for: what is taken, refused by name, passed over, and counted. */
#include "base/json.h"
#include "jobs/request.h"
#include "unit.h"

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

SW_UNIT_TESTS({"plain requests", plain_requests}, {"requests of the Batch API", batch_requests},
              {"long numbers", long_numbers}, {"refusals", refusals},
              {"refused by name", refused_by_name}, {"passed over", passed_over},
              {"counted", counted})

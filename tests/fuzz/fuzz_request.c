/* Lines of batch: what reads as a request gets answers and error records that are JSON, whose id
 * is read back as the request's own. */
#include "base/json.h"
#include "jobs/answer.h"
#include "jobs/input_kind.h"
#include "jobs/line_json.h"
#include "jobs/record.h"
#include "jobs/request.h"

#include <stdlib.h>
#include <string.h>

/* The line is JSON, and a resumed job would know it by `key`. */
static void check(const struct sw_strbuf *line, const struct sw_strbuf *key, bool failed)
{
    struct sw_strbuf again = {0};
    struct sw_record record;
    json_t *root;
    if (sw_json_read(line->text, line->length, SW_JSON_LINE, &root) != SW_OK ||
        line->text[line->length - 1] != '\n' || memchr(line->text, '\n', line->length - 1) ||
        sw_record_scan(line->text, line->length - 1, &again, &record) != SW_OK || !record.has_id ||
        record.failed != failed || again.length != key->length ||
        memcmp(again.text, key->text, key->length) != 0)
        abort();
    json_decref(root);
    sw_strbuf_free(&again);
}

static void answer(const struct sw_line_request *request, const struct sw_strbuf *key)
{
    struct sw_strbuf line = {0};
    int32_t items[2] = {1, 2};
    char text[] = "t\n\"";
    struct sw_sampled sampled[2] = {{.id = 1, .n_top = 1, .top = {{1, -1}}}, {.id = 2}};
    const struct sw_completion completion = {.text = {.text = text, .length = 3},
                                             .ids = {.items = items, .count = 2},
                                             .sampled =
                                                 request->sampling.logprobs < 0 ? NULL : sampled,
                                             .n_prompt = 3,
                                             .options.logprobs = request->sampling.logprobs >= 0};
    const struct sw_answer a = {
        .request = request, .key = key, .model = "m", .completion = &completion};
    sw_answer_write(&a, &line);
    check(&line, key, false);
    sw_strbuf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sw_line_request defaults = {.max_tokens = 1, .sampling = sw_sampling_default()};
    struct sw_line_request request;
    struct sw_record record;
    struct sw_strbuf key = {0}, line = {0};
    enum sw_status status = sw_record_scan((const char *)data, size, &key, &record);
    if (status != SW_OK || !record.has_id)
        sw_record_line_key(7, &key);
    struct sw_line_json json = {0};
    if (status == SW_OK)
        status = sw_line_json_read((const char *)data, size, sw_line_request_knows, &json);
    if (status == SW_OK) {
        status = sw_line_request_read(json.root, record.batch_form, &defaults, NULL, &request);
        if (status == SW_OK)
            answer(&request, &key);
    }
    if (status != SW_OK) {
        sw_record_error(&key, record.batch_form, SW_EINPUT, sw_error_message(), NULL, &line);
        check(&line, &key, true);
    }
    (void)sw_input_kind_check("in", (const char *)data, size, size & 1);
    json_decref(json.root);
    sw_strbuf_free(&key);
    sw_strbuf_free(&line);
    return 0;
}

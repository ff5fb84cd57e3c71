/* Lines of a file of input or results: their bounds, ids, errors and kinds. */
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
              {"kinds of input", kinds_of_input}, {"bounded lines", bounded_lines})

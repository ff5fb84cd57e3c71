/* The safetensors header's rules, one by one, and the writer. */
#include "checkpoint/safetensors.h"
#include "helpers.h"

#include <errno.h>

/* A file of this header and `n_data` bytes of data, parsed. */
static enum sw_status parse_header(const char *json, size_t n_data, struct sw_tensors *out)
{
    int file;
    const size_t n = strlen(json), size = 8 + n + n_data;
    uint8_t *bytes = calloc(1, size);
    if (!bytes)
        abort();
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(n >> (8 * i));
    memcpy(bytes + 8, json, n);
    *out = (struct sw_tensors){0};
    CU_ASSERT_EQUAL(sw_tensors_add_file(out, "a/b.safetensors", size, &file), SW_OK);
    const enum sw_status status = sw_safetensors_parse(bytes, size, size, file, out);
    free(bytes);
    return status;
}

static void refuses(void)
{
    static const struct {
        const char *json;
        size_t n_data;
        const char *message;
    } rows[] = {
        {"", 0, "does not begin with '{'"},
        {" {}", 0, "does not begin with '{'"},
        {"{", 0, "not JSON"},
        {"{}x", 0, "not JSON"},
        {"{\"a\":1}", 0, "tensor 'a': no text \"dtype\""},
        {"{}", 1, "tensors end 0 bytes after the header, the file 1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, "duplicate"},
        {"{\"a\":{\"dtype\":\"U9\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "\"U9\" is not one"},
        {"{\"a\":{\"dtype\":\"other\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "is not one"},
        {"{\"a\":{\"dtype\":\"?\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "is not one"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
         "give 64 bits, its data_offsets 4 bytes"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "give 12 bits"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1, "dimension 0"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1, "dimension 0"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1, "no list \"shape\""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "overflows"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[9223372036854775807],\"data_offsets\":[0,0]}}", 0,
         "overflows"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
         "9 dimensions, at most 8"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, "[begin, end]"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "[begin, end]"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,\"1\"]}}", 1, "[begin, end]"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 1,
         "ends at byte 2 after the header, but the file has 1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "leave a gap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "tensors overlap"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_tensors tensors;
        const enum sw_status status = parse_header(rows[i].json, rows[i].n_data, &tensors);
        expect_failure(status, SW_EMODEL, rows[i].message);
        CU_ASSERT(strncmp(sw_error_message(), "a/b.safetensors: ", 17) == 0);
        sw_tensors_free(&tensors);
    }
}

static void accepts(void)
{
    struct sw_tensors t;
    CU_ASSERT_EQUAL(parse_header("{}", 0, &t), SW_OK);
    CU_ASSERT_EQUAL(t.count, 0);
    sw_tensors_free(&t);
    CU_ASSERT_EQUAL(parse_header("{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"z\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775807],"
                                 "\"data_offsets\":[3,3]},"
                                 "\"b\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[1,3]},"
                                 "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                 "\"q\":{\"dtype\":\"F4\",\"shape\":[2,2],\"data_offsets\":[3,5]}}"
                                 "   ",
                                 5, &t),
                    SW_OK);
    CU_ASSERT_EQUAL(t.count, 4);
    const struct sw_tensor *b = sw_tensors_find(&t, "b"), *q = sw_tensors_find(&t, "q");
    CU_ASSERT_FATAL(b && q);
    CU_ASSERT_EQUAL(b->rank, 0);
    CU_ASSERT_EQUAL(b->dtype, SW_F16);
    CU_ASSERT_EQUAL(b->bytes, 2);
    CU_ASSERT_EQUAL(b->offset, t.files[0].size - 5 + 1);
    CU_ASSERT_EQUAL(q->dtype, SW_OTHER);
    CU_ASSERT_EQUAL(q->bytes, 2);
    sw_tensors_free(&t);
}

static void refuses_lengths(void)
{
    static const struct {
        uint64_t n;
        const char *message;
    } rows[] = {{100000001, "at most 100000000"},
                {UINT64_MAX, "at most 100000000"},
                {9, "says its header has 9 bytes, but the file has 16"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_tensors t = {0};
        uint8_t bytes[16] = "        {}      ";
        int file;
        for (int k = 0; k < 8; k++)
            bytes[k] = (uint8_t)(rows[i].n >> (8 * k));
        CU_ASSERT_EQUAL(sw_tensors_add_file(&t, "f", sizeof bytes, &file), SW_OK);
        expect_failure(sw_safetensors_parse(bytes, sizeof bytes, sizeof bytes, file, &t), SW_EMODEL,
                       rows[i].message);
        sw_tensors_free(&t);
    }
}

/* Cut anywhere, the file is refused: no prefix of it is a whole file. */
static void refuses_truncated(void)
{
    static const char *const names[] = {FIXTURES "torch/expected.safetensors",
                                        FIXTURES "torch/expected_unaligned.safetensors"};
    for (size_t f = 0; f < 2; f++) {
        size_t n;
        char *bytes = get_file(names[f], &n);
        for (size_t cut = 0; cut <= n; cut++) {
            struct sw_tensors t = {0};
            int file;
            char *exact = malloc(cut + !cut);
            if (!exact)
                abort();
            memcpy(exact, bytes, cut);
            const struct sw_source source = sw_source_of_memory("cut", exact, cut);
            CU_ASSERT_EQUAL(sw_tensors_add_file(&t, "cut", cut, &file), SW_OK);
            CU_ASSERT_EQUAL(sw_safetensors_read(&source, file, &t), cut == n ? SW_OK : SW_EMODEL);
            sw_tensors_free(&t);
            free(exact);
        }
        free(bytes);
    }
}

static const struct sw_safetensors_spec specs[] = {
    {"embed \"\xc3\xa9\"", SW_F32, 2, {300, 1000}},
    {"half", SW_F16, 1, {3}},
    {"one", SW_U8, 0, {0}},
    {"none", SW_BF16, 2, {0, 7}},
    {"last", SW_I64, 1, {2}},
};

static void writes(void)
{
    char folder[64], path[128];
    struct sw_safetensors_writer *writer;
    struct sw_tensors t = {0};
    snprintf(path, sizeof path, "%s/out.safetensors", new_folder(folder));
    const size_t n = 300 * 1000 * 4 + 6 + 1 + 16;
    char *data = malloc(n);
    if (!data)
        abort();
    for (size_t i = 0; i < n; i++)
        data[i] = (char)(i * 31 % 251);
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open(path, specs, 5, &writer), SW_OK);
    CU_ASSERT_EQUAL(sw_safetensors_writer_write(writer, data, 10), SW_OK);
    CU_ASSERT_EQUAL(sw_safetensors_writer_write(writer, data + 10, n - 20), SW_OK);
    CU_ASSERT_EQUAL(access(path, F_OK), -1); /* not before it is whole */
    CU_ASSERT_EQUAL(sw_safetensors_writer_write(writer, data + n - 10, 10), SW_OK);
    CU_ASSERT_EQUAL(sw_safetensors_writer_close(writer), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(path, &t), SW_OK);
    CU_ASSERT_EQUAL(t.count, 5);
    CU_ASSERT_EQUAL(t.items[0].offset % 8, 0);
    size_t at = 0;
    for (size_t i = 0; i < t.count; i++) {
        CU_ASSERT_STRING_EQUAL(t.items[i].name, specs[i].name);
        char *back = read_tensor(&t, &t.items[i]);
        CU_ASSERT(back && memcmp(back, data + at, t.items[i].bytes) == 0);
        at += t.items[i].bytes;
        free(back);
    }
    sw_tensors_free(&t);
    free(data);
    remove_folder(folder);
}

static void writer_leaves_nothing_behind(void)
{
    char folder[64], path[128];
    struct sw_safetensors_writer *writer;
    snprintf(path, sizeof path, "%s/out.safetensors", new_folder(folder));
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open(path, specs + 1, 1, &writer), SW_OK);
    CU_ASSERT_EQUAL(sw_safetensors_writer_write(writer, "1234", 4), SW_OK);
    expect_failure(sw_safetensors_writer_close(writer), SW_EINPUT, "2 bytes of its tensors");
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open(path, specs + 1, 1, &writer), SW_OK);
    expect_failure(sw_safetensors_writer_write(writer, "12345678", 8), SW_EINPUT, "6 are left");
    CU_ASSERT_EQUAL(sw_safetensors_writer_close(writer), SW_EINPUT);
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open(path, specs + 1, 1, &writer), SW_OK);
    sw_safetensors_writer_abort(writer);
    CU_ASSERT_EQUAL(rmdir(folder), 0); /* empty */
}

static void writer_refuses(void)
{
    struct sw_safetensors_writer *writer;
    const struct sw_safetensors_spec twice[] = {{"a", SW_U8, 0, {0}}, {"a", SW_U8, 0, {0}}};
    const struct sw_safetensors_spec invalid = {"\xff", SW_U8, 0, {0}};
    const struct sw_safetensors_spec big = {"a", SW_F32, 2, {INT64_MAX, 2}};
    expect_failure(sw_safetensors_writer_open("/tmp/x", twice, 2, &writer), SW_EINPUT, "twice");
    expect_failure(sw_safetensors_writer_open("/tmp/x", &invalid, 1, &writer), SW_EINPUT, "UTF-8");
    expect_failure(sw_safetensors_writer_open("/tmp/x", &big, 1, &writer), SW_EINPUT, "overflow");
    expect_failure(sw_safetensors_writer_open("/nowhere/x", specs, 1, &writer), SW_EIO,
                   "/nowhere/x");
}

/* A device is written in place, and a full disk is said with its path. */
static void writer_meets_full_disk(void)
{
    struct sw_safetensors_writer *writer;
    const struct sw_safetensors_spec spec = {"a", SW_U8, 1, {3 << 20}};
    if (access("/dev/full", W_OK) != 0) {
        printf("    skipped: no /dev/full\n");
        return;
    }
    char *data = calloc(1, 3 << 20);
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open("/dev/full", &spec, 1, &writer), SW_OK);
    expect_failure(sw_safetensors_writer_write(writer, data, 3 << 20), SW_EIO, "/dev/full");
    expect_failure(sw_safetensors_writer_write(writer, data, 1), SW_EIO, "earlier write failed");
    CU_ASSERT_EQUAL(sw_safetensors_writer_close(writer), SW_EIO);
    CU_ASSERT_EQUAL_FATAL(sw_safetensors_writer_open("/dev/full", specs + 2, 1, &writer), SW_OK);
    CU_ASSERT_EQUAL(sw_safetensors_writer_write(writer, data, 1), SW_OK);
    expect_failure(sw_safetensors_writer_close(writer), SW_EIO, strerror(ENOSPC));
    CU_ASSERT_EQUAL(access("/dev/full", F_OK), 0);
    free(data);
}

static void real_file(void)
{
    const char *path = sw_unit_shared("safetensors-files/hadamards.safetensors");
    struct sw_tensors t = {0};
    if (!path)
        return;
    CU_ASSERT_EQUAL(sw_checkpoint_add_file(path, &t), SW_OK);
    CU_ASSERT(t.count > 0);
    sw_tensors_free(&t);
}

SW_UNIT_TESTS({"refuses a header that breaks a rule", refuses}, {"accepts odd ones", accepts},
              {"refuses header lengths", refuses_lengths},
              {"refuses a file cut anywhere", refuses_truncated}, {"writes", writes},
              {"writer leaves nothing behind", writer_leaves_nothing_behind},
              {"writer refuses", writer_refuses}, {"writer on a full disk", writer_meets_full_disk},
              {"reads a file of the library's own", real_file})

/* The torch forms against the values they were written from, and whole against damage. */
#include "checkpoint/torch.h"
#include "checkpoint/torch_objects.h"
#include "checkpoint/zip_stored.h"
#include "helpers.h"

static enum sw_status read_memory(const void *bytes, size_t n, struct sw_tensors *out)
{
    const struct sw_source source = sw_source_of_memory("memory.bin", bytes, n);
    int file;
    *out = (struct sw_tensors){0};
    CU_ASSERT_EQUAL(sw_tensors_add_file(out, "memory.bin", n, &file), SW_OK);
    if (sw_torch_is_legacy(bytes, n))
        return sw_torch_legacy_read(&source, file, out);
    return sw_torch_zip_read(&source, file, out);
}

static void values_equal(const char *const *names, size_t n, const char *expected)
{
    struct sw_tensors want = {0};
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(expected, &want), SW_OK);
    CU_ASSERT(want.count > 10);
    for (size_t i = 0; i < n; i++) {
        struct sw_tensors have = {0};
        const enum sw_status status = sw_checkpoint_add_file(names[i], &have);
        CU_ASSERT_EQUAL(status, SW_OK);
        if (status != SW_OK)
            printf("    %s\n", sw_error_message());
        CU_ASSERT_EQUAL(have.count, want.count);
        CU_ASSERT_EQUAL(count_equal(&want, &have), want.count);
        sw_tensors_free(&have);
    }
    sw_tensors_free(&want);
}

static void our_fixtures(void)
{
    static const char *const names[] = {
        FIXTURES "torch/mixed_zip.bin", FIXTURES "torch/mixed_zip4.bin",
        FIXTURES "torch/mixed_zip64.bin", FIXTURES "torch/mixed_legacy.bin",
        FIXTURES "torch/nested_zip.bin"};
    values_equal(names, 5, FIXTURES "torch/expected.safetensors");
    values_equal(names, 1, FIXTURES "torch/expected_unaligned.safetensors");
}

static void tied_and_strided(void)
{
    struct sw_tensors t = {0};
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(FIXTURES "torch/mixed_zip.bin", &t), SW_OK);
    const struct sw_tensor *plain = sw_tensors_find(&t, "plain"),
                           *tied = sw_tensors_find(&t, "tied"),
                           *turned = sw_tensors_find(&t, "transposed"),
                           *huge = sw_tensors_find(&t, "huge_stride");
    CU_ASSERT_FATAL(plain && tied && turned && huge);
    CU_ASSERT_EQUAL(plain->offset, tied->offset);
    CU_ASSERT_EQUAL(plain->offset, turned->offset);
    CU_ASSERT_EQUAL(turned->stride[0], 1);
    CU_ASSERT_EQUAL(turned->stride[1], 6);
    CU_ASSERT_FALSE(sw_tensor_is_contiguous(turned));
    CU_ASSERT_EQUAL(huge->stride[0], (int64_t)1 << 33); /* a LONG1 */
    CU_ASSERT(sw_tensor_is_contiguous(huge));
    sw_tensors_free(&t);
}

static void foreign_files(void)
{
    static const char *const files[] = {
        "torch-files/mixed_zip.bin", "torch-files/mixed_zip_protocol4.bin",
        "torch-files/mixed_legacy.bin", "torch-files/nested_zip.bin"};
    char expected[4096], name[4096];
    const char *path = sw_unit_shared("torch-files/expected.safetensors");
    if (!path)
        return;
    snprintf(expected, sizeof expected, "%s", path);
    struct sw_tensors want = {0};
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_add_file(expected, &want), SW_OK);
    for (size_t i = 0; i < 4; i++) {
        struct sw_tensors have = {0};
        snprintf(name, sizeof name, "%s", sw_unit_shared(files[i]));
        CU_ASSERT_EQUAL(sw_checkpoint_add_file(name, &have), SW_OK);
        CU_ASSERT(have.count > 0);
        CU_ASSERT_EQUAL(count_equal(&have, &want), have.count);
        printf("    %s: %zu of %zu\n", files[i], have.count, want.count);
        sw_tensors_free(&have);
    }
    sw_tensors_free(&want);
}

static void refuses_by_name(void)
{
    static const struct {
        const char *file, *message;
    } rows[] = {{"big_endian_zip.bin", "byte order is \"big\""},
                {"big_endian_legacy.bin", "byte order is big"},
                {"script_zip.bin", "TorchScript"},
                {"compressed_zip.bin", "method 8"},
                {"no_tensors_zip.bin", "holds no tensors"},
                {"outside_zip.bin", "tensor 'a': reaches byte 28 of its storage, which has 24"},
                {"stranger_zip.bin", "not a dict of tensors"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_tensors t = {0};
        char path[512];
        snprintf(path, sizeof path, FIXTURES "torch/%s", rows[i].file);
        expect_failure(sw_checkpoint_add_file(path, &t), SW_EMODEL, rows[i].message);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), rows[i].file));
        sw_tensors_free(&t);
    }
}

static const char *const whole[] = {FIXTURES "torch/mixed_zip.bin",
                                    FIXTURES "torch/mixed_zip64.bin",
                                    FIXTURES "torch/mixed_legacy.bin"};

static void refuses_truncated(void)
{
    for (size_t f = 0; f < 3; f++) {
        size_t n;
        char *bytes = get_file(whole[f], &n);
        for (size_t cut = 16; cut <= n; cut++) {
            struct sw_tensors t;
            char *exact = malloc(cut);
            if (!exact)
                abort();
            memcpy(exact, bytes, cut);
            CU_ASSERT_EQUAL(read_memory(exact, cut, &t), cut == n ? SW_OK : SW_EMODEL);
            sw_tensors_free(&t);
            free(exact);
        }
        free(bytes);
    }
}

/* Any byte wrong in three ways: refused or read, but never outside the file (ASan looks on). */
static void survives_damage(void)
{
    size_t refused = 0, read = 0;
    for (size_t f = 0; f < 3; f++) {
        size_t n;
        char *bytes = get_file(whole[f], &n);
        for (size_t i = 0; i < 3 * n; i++) {
            static const unsigned char masks[] = {0x01, 0x80, 0xff};
            struct sw_tensors t;
            char *damaged = malloc(n);
            if (!damaged)
                abort();
            memcpy(damaged, bytes, n);
            damaged[i / 3] = (char)((unsigned char)damaged[i / 3] ^ masks[i % 3]);
            if (read_memory(damaged, n, &t) == SW_OK)
                read++;
            else
                refused++;
            sw_tensors_free(&t);
            free(damaged);
        }
        free(bytes);
    }
    CU_ASSERT(refused > 1000);
    CU_ASSERT(read > 1000); /* values, padding and CRCs are not looked at */
}

static void pickle_refuses(void)
{
#define P(text) text, sizeof text - 1
    static const struct {
        const char *bytes;
        size_t n;
        const char *message;
    } rows[] = {
        {P(""), "ends before its STOP"},
        {P("\x80\x02"), "ends before its STOP"},
        {P("\x80\x06."), "protocol 6, 2 to 5"},
        {P("\x80\x02."), "empty stack"},
        {P("\x80\x02(."), "empty stack"},
        {P("\x80\x02K\x01R."), "empty stack"},
        {P("\x80\x02K\x01h\x00."), "recalls number 0"},
        {P("\x80\x02Nr\xff\xff\xff\xff."), "remembers a value under number 4294967295"},
        {P("\x80\x02t."), "needs a mark"},
        {P("\x80\x02X\xff\xff\xff\xffz."), "4294967295 bytes more are needed"},
        {P("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffz."), "bytes more are needed"},
        {P("\x80\x02\x8b\xff\xff\xff\xff."), "bytes more are needed"},
        {P("\x80\x02}(K\x01u."), "a key without a value"},
        {P("(S'x'\ni"), "opcode 0x53 at byte 1"},                    /* STRING of protocol 0 */
        {P("\x80\x02\x82\x01."), "opcode 0x82"},                     /* EXT1 */
        {P("\x80\x02(cos\nsystem\nX\x02\0\0\0lso."), "opcode 0x6f"}, /* OBJ */
        {P("\x80\x02(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
           "0X\x03\0\0\0cpuJ\xff\xff\xff\xfftQ."),
         "without a key or a size"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_pickle pickle;
        expect_failure(sw_pickle_parse(rows[i].bytes, rows[i].n, &pickle), SW_EMODEL,
                       rows[i].message);
        sw_pickle_free(&pickle);
    }
}

/* A call of anything that is not on the list is a value without meaning. */
static void pickle_runs_nothing(void)
{
    struct sw_pickle pickle;
    CU_ASSERT_EQUAL(sw_pickle_parse(P("\x80\x02"
                                      "cos\n_exit\nK\x63\x85R."),
                                    &pickle),
                    SW_OK);
    CU_ASSERT_EQUAL(pickle.top.kind, SW_PICKLE_OPAQUE);
    sw_pickle_free(&pickle);
}

static void pickle_numbers(void)
{
    static const struct {
        const char *bytes;
        size_t n;
        enum sw_pickle_kind kind;
        int64_t value;
    } rows[] = {
        {P("K\xff."), SW_PICKLE_INT, 255},
        {P("M\x01\x02."), SW_PICKLE_INT, 513},
        {P("J\xfe\xff\xff\xff."), SW_PICKLE_INT, -2},
        {P("\x8a\x00."), SW_PICKLE_INT, 0},
        {P("\x8a\x01\xff."), SW_PICKLE_INT, -1},
        {P("\x8a\x05\x00\x00\x00\x80\x00."), SW_PICKLE_INT, 2147483648},
        {P("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."), SW_PICKLE_INT, INT64_MAX},
        {P("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\x7f\x00."), SW_PICKLE_INT, INT64_MAX},
        {P("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00."), SW_PICKLE_OPAQUE, 0},
        {P("\x8b\x01\x00\x00\x00\x80."), SW_PICKLE_INT, -128},
        {P("\x88."), SW_PICKLE_BOOL, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sw_pickle pickle;
        CU_ASSERT_EQUAL(sw_pickle_parse(rows[i].bytes, rows[i].n, &pickle), SW_OK);
        CU_ASSERT_EQUAL(pickle.top.kind, rows[i].kind);
        if (rows[i].kind != SW_PICKLE_OPAQUE)
            CU_ASSERT_EQUAL(pickle.top.as.integer, rows[i].value);
        sw_pickle_free(&pickle);
    }
}

SW_UNIT_TESTS({"values of our fixtures", our_fixtures}, {"tied and strided", tied_and_strided},
              {"values of files by torch", foreign_files}, {"refuses by name", refuses_by_name},
              {"refuses a file cut anywhere", refuses_truncated},
              {"survives any wrong byte", survives_damage}, {"pickle refuses", pickle_refuses},
              {"pickle runs nothing", pickle_runs_nothing}, {"pickle numbers", pickle_numbers})

/* Prints of model files: what changes them, and how a difference is said. */
#include "base/file.h"
#include "probe/files.h"
#include "unit.h"

#include <unistd.h>

#define BIG (200 << 10)

static char folder[64];

static void put(const char *name, const void *bytes, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    CU_ASSERT_FATAL(file != NULL);
    CU_ASSERT_EQUAL_FATAL(fwrite(bytes, 1, n, file), n);
    CU_ASSERT_EQUAL_FATAL(fclose(file), 0);
}

/* A weight file with a header of 50000 bytes; `change`: a byte that is another one. */
static void put_weights(size_t n, size_t change)
{
    unsigned char *bytes = calloc(1, n);
    CU_ASSERT_FATAL(bytes != NULL);
    bytes[0] = 0x50;
    bytes[1] = 0xc3;
    if (change < n)
        bytes[change] ^= 1;
    put("w.safetensors", bytes, n);
    free(bytes);
}

static void take(struct sw_file_print **prints, int *n)
{
    struct sw_tensors tensors = {0};
    int file;
    char path[128];
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add_file(&tensors, path, BIG, &file), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_files_print(folder, &tensors, prints, n), SW_OK);
    sw_tensors_free(&tensors);
}

/* How the files are now differs from `before`; "" when they do not. */
static const char *difference(const struct sw_file_print *before, int n_before)
{
    static char how[256];
    struct sw_file_print *now;
    int n;
    take(&now, &n);
    if (!sw_files_differ(before, n_before, now, n, how, sizeof how))
        how[0] = 0;
    free(now);
    return how;
}

static void what_changes_a_print(void)
{
    /* in the header's start, middle and end; the first bytes of data, a sample, the last byte */
    static const size_t seen[] = {7, 30000, 50007, 50008, BIG - 1};
    struct sw_file_print *before;
    char text[64];
    int n;
    snprintf(folder, sizeof folder, "/tmp/sw-files-XXXXXX");
    CU_ASSERT_FATAL(mkdtemp(folder) != NULL);
    put("config.json", "{\"a\": 1}", 8);
    put_weights(BIG, BIG);
    take(&before, &n);
    CU_ASSERT_EQUAL(n, 2);
    CU_ASSERT_STRING_EQUAL(difference(before, n), "");
    for (size_t i = 1; i < sizeof seen / sizeof seen[0]; i++) {
        put_weights(BIG, seen[i]);
        CU_ASSERT_STRING_EQUAL(difference(before, n), "w.safetensors has other contents");
    }
    put_weights(BIG - 5, BIG);
    snprintf(text, sizeof text, "w.safetensors has %d bytes, not %d", BIG - 5, BIG);
    CU_ASSERT_STRING_EQUAL(difference(before, n), text);
    put_weights(BIG, BIG);
    put("config.json", "{\"a\": 2}", 8);
    CU_ASSERT_STRING_EQUAL(difference(before, n), "config.json has other contents");
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", folder);
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_STRING_EQUAL(difference(before, n), "config.json is not there");
    struct sw_file_print none = {.name = "config.json", .size = UINT64_MAX};
    CU_ASSERT(sw_files_differ(&none, 1, before, n, text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, "config.json is there");
    free(before);
}

static void small_and_odd_files(void)
{
    static const unsigned char huge[] = {255, 255, 255, 255, 255, 255, 255, 255, 1};
    struct sw_file_print *prints;
    int n;
    put("config.json", "", 0);
    put("w.safetensors", huge, sizeof huge); /* announces more than there is */
    take(&prints, &n);
    CU_ASSERT_EQUAL(n, 2);
    CU_ASSERT_EQUAL(prints[1].size, sizeof huge);
    free(prints);
    put("w.safetensors", huge, 3);
    take(&prints, &n);
    free(prints);
    char path[128];
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    rmdir(folder);
}

SW_UNIT_TESTS({"what changes a print", what_changes_a_print},
              {"small and odd files", small_and_odd_files})

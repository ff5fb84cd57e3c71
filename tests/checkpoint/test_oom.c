/*
 * Every allocation of the readers fails once: each failure is a status, nothing leaks (ASan looks
 * on), and the next try works. The linker sends our own calls to __wrap_… (tests/CMakeLists.txt);
 * jansson is given its allocator.
 */
#include "checkpoint/gguf.h"
#include "checkpoint/safetensors.h"
#include "failing.h"
#include "helpers.h"

#include <jansson.h>

/* Runs `work` with the first allocation failing, then the second, …, until it never comes to it. */
static void fail_each(const char *path, enum sw_status (*work)(const char *))
{
    long n = 0;
    for (;; n++) {
        failing_done = 0;
        failing_left = n;
        const enum sw_status status = work(path);
        failing_left = -1;
        if (failing_done == 0) {
            CU_ASSERT_EQUAL(status, SW_OK);
            break;
        }
        CU_ASSERT_NOT_EQUAL(status, SW_OK);
        if (status == SW_OK)
            printf("    %s: allocation %ld failed unseen\n", path, n);
    }
    printf("    %ld allocations\n", n);
    CU_ASSERT(n > 1); /* what a GGUF header takes is in one arena */
}

static enum sw_status open_file(const char *path)
{
    struct sw_tensors t = {0};
    const enum sw_status status = sw_checkpoint_add_file(path, &t);
    sw_tensors_free(&t);
    return status;
}

static enum sw_status open_folder(const char *path)
{
    struct sw_tensors t;
    const enum sw_status status = sw_checkpoint_open(path, &t);
    sw_tensors_free(&t);
    return status;
}

static enum sw_status open_gguf(const char *path)
{
    struct sw_source source;
    struct sw_gguf gguf;
    SW_TRY(sw_source_open(path, &source));
    const enum sw_status status = sw_gguf_read(&source, &gguf);
    if (status == SW_OK)
        sw_gguf_free(&gguf);
    sw_source_close(&source);
    return status;
}

static enum sw_status take(void *context, int64_t row0, int64_t n_rows, const void *data)
{
    (void)context;
    (void)row0;
    (void)n_rows;
    (void)data;
    return SW_OK;
}

static enum sw_status read_chunks(const char *path)
{
    struct sw_tensors t = {0};
    struct sw_reader *reader = NULL;
    enum sw_status status = sw_checkpoint_add_file(path, &t);
    if (status == SW_OK)
        status = sw_reader_open(&t, &reader);
    if (status == SW_OK)
        status =
            sw_reader_each_chunk(reader, sw_tensors_find(&t, "transposed"), 0, 6, 16, take, NULL);
    sw_reader_close(reader);
    sw_tensors_free(&t);
    return status;
}

static enum sw_status write_file(const char *path)
{
    const struct sw_safetensors_spec spec = {"a", SW_U8, 1, {4}};
    struct sw_safetensors_writer *writer;
    SW_TRY(sw_safetensors_writer_open(path, &spec, 1, &writer));
    (void)sw_safetensors_writer_write(writer, "1234", 4);
    SW_TRY(sw_safetensors_writer_close(writer));
    /* jansson may do without some memory it asked for; then the file must be right. */
    if (failing_done == 0)
        return SW_OK;
    struct sw_tensors t = {0};
    failing_left = -1;
    CU_ASSERT_EQUAL(sw_checkpoint_add_file(path, &t), SW_OK);
    const struct sw_tensor *a = sw_tensors_find(&t, "a");
    const bool right = a && a->rank == 1 && a->bytes == 4 && t.count == 1;
    CU_ASSERT(right);
    sw_tensors_free(&t);
    return right ? SW_ENOMEM : SW_OK;
}

static void reads(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    fail_each(FIXTURES "torch/mixed_zip.bin", open_file);
    fail_each(FIXTURES "torch/mixed_zip4.bin", open_file);
    fail_each(FIXTURES "torch/mixed_legacy.bin", open_file);
    fail_each(FIXTURES "torch/expected.safetensors", open_file);
    fail_each(FIXTURES "sharded", open_folder);
    fail_each(FIXTURES "torch/mixed_zip.bin", read_chunks);
    fail_each(SW_SOURCE_DIR "/tests/fuzz/corpus/gguf/mixed", open_gguf);
}

static void writes(void)
{
    char folder[64], path[128];
    snprintf(path, sizeof path, "%s/out.safetensors", new_folder(folder));
    fail_each(path, write_file);
    remove_folder(folder);
}

SW_UNIT_TESTS({"reads", reads}, {"writes", writes})

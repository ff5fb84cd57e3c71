/*
 * A line of JSON, as a quantization_config, then a safetensors file: whatever matrices are made of
 * it lie inside the file, and can be read in any pieces.
 */
#include "checkpoint/adapter.h"
#include "checkpoint/reader.h"
#include "checkpoint/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST_BYTES (1 << 20) /* of a matrix that is read */

/* Whole, and row by row: the same bytes, or the same refusal. */
static void read_both_ways(struct sw_reader *reader, const struct sw_tensor *t)
{
    const int64_t rows = sw_reader_row_count(t);
    const size_t row_bytes = (size_t)sw_reader_row_bytes(t);
    if (t->bytes > MOST_BYTES || rows > 4096)
        return;
    char *whole = malloc(t->bytes + 1), *row = malloc(row_bytes + 1);
    const enum sw_status status = sw_reader_rows(reader, t, 0, rows, whole);
    for (int64_t i = 0; i < rows; i++) {
        if (sw_reader_rows(reader, t, i, 1, row) != status)
            abort();
        if (status == SW_OK && memcmp(row, whole + (size_t)i * row_bytes, row_bytes) != 0)
            abort();
    }
    free(whole);
    free(row);
}

static void read_made(const struct sw_tensors *tensors)
{
    struct sw_reader *reader;
    if (sw_reader_open(tensors, &reader) != SW_OK)
        abort();
    for (size_t i = 0; i < tensors->count; i++) {
        const struct sw_made *made = sw_tensor_made(tensors, &tensors->items[i]);
        for (int k = 0; made && k < made->n_parts; k++)
            if (made->parts[k].row_bytes &&
                made->parts[k].row_bytes * (uint64_t)tensors->items[i].shape[0] >
                    made->parts[k].bytes)
                abort();
        if (made)
            read_both_ways(reader, &tensors->items[i]);
    }
    sw_reader_close(reader);
}

static void adapt(const json_t *config, const uint8_t *data, size_t size)
{
    const struct sw_adapter *adapter;
    struct sw_tensors tensors = {0};
    char path[64];
    int file;
    if (sw_adapter_of(config, &adapter) != SW_OK)
        return;
    const int fd = memfd_create("fuzz", 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
        sw_tensors_add_file(&tensors, path, size, &file) != SW_OK)
        abort();
    if (sw_safetensors_parse(data, size, size, file, &tensors) == SW_OK &&
        sw_adapter_apply(adapter, config, &tensors) == SW_OK)
        read_made(&tensors);
    sw_tensors_free(&tensors);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    json_t *config;
    if (!end ||
        sw_json_read((const char *)data, (size_t)(end - data), SW_JSON_MODEL, &config) != SW_OK)
        return 0;
    adapt(config, end + 1, size - (size_t)(end + 1 - data));
    json_decref(config);
    return 0;
}

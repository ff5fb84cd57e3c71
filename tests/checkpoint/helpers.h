/* A folder that goes away, whole files, and comparing two checkpoints value by value. */
#ifndef SW_TESTS_CHECKPOINT_HELPERS_H
#define SW_TESTS_CHECKPOINT_HELPERS_H

#include "checkpoint/checkpoint.h"
#include "checkpoint/reader.h"
#include "unit.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIXTURES SW_SOURCE_DIR "/tests/checkpoint/data/"

static inline int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void remove_folder(const char *path)
{
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* Fills `path` (64 bytes) with a new folder's. */
static inline const char *new_folder(char *path)
{
    snprintf(path, 64, "/tmp/spillway-checkpoint-XXXXXX");
    if (!mkdtemp(path))
        abort();
    return path;
}

static inline void put_file(const char *folder, const char *name, const void *bytes, size_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        abort();
}

static inline void put_text(const char *folder, const char *name, const char *text)
{
    put_file(folder, name, text, strlen(text));
}

/* The caller frees it. */
static inline char *get_file(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: not there\n", path);
        abort();
    }
    char *bytes = malloc(8 << 20);
    if (!bytes)
        abort();
    *n = fread(bytes, 1, 8 << 20, f);
    fclose(f);
    return bytes;
}

static inline void copy_file(const char *from, const char *folder, const char *name)
{
    size_t n;
    char *bytes = get_file(from, &n);
    put_file(folder, name, bytes, n);
    free(bytes);
}

/* The whole tensor in C order; the caller frees it. NULL after a failure, which is printed. */
static inline void *read_tensor(const struct sw_tensors *tensors, const struct sw_tensor *tensor)
{
    struct sw_reader *reader;
    void *data = malloc(tensor->bytes + 1);
    if (!data || sw_reader_open(tensors, &reader) != SW_OK)
        abort();
    if (sw_reader_rows(reader, tensor, 0, sw_reader_row_count(tensor), data) != SW_OK) {
        fprintf(stderr, "%s\n", sw_error_message());
        free(data);
        data = NULL;
    }
    sw_reader_close(reader);
    return data;
}

/* Number of tensors of `a` that are in `b` with the same dtype, shape and values. */
static inline size_t count_equal(const struct sw_tensors *a, const struct sw_tensors *b)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++) {
        const struct sw_tensor *x = &a->items[i], *y = sw_tensors_find(b, x->name);
        if (!y || x->dtype != y->dtype || x->rank != y->rank || x->bytes != y->bytes ||
            memcmp(x->shape, y->shape, (size_t)x->rank * sizeof x->shape[0]) != 0) {
            printf("    '%s' differs\n", x->name);
            continue;
        }
        void *p = read_tensor(a, x), *q = read_tensor(b, y);
        if (p && q && memcmp(p, q, x->bytes) == 0)
            n++;
        else
            printf("    the values of '%s' differ\n", x->name);
        free(p);
        free(q);
    }
    return n;
}

/* Bytes that this process has read so far; -1: not known. */
static inline long long bytes_read(void)
{
    long long n = -1;
    FILE *f = fopen("/proc/self/io", "r");
    if (!f || fscanf(f, "rchar: %lld", &n) != 1)
        n = -1;
    if (f)
        fclose(f);
    return n;
}

/* The status is `expected` and the message contains `part`; prints the message otherwise. */
static inline void expect_failure(enum sw_status status, enum sw_status expected, const char *part)
{
    CU_ASSERT_EQUAL(status, expected);
    const bool said = strstr(sw_error_message(), part) != NULL;
    CU_ASSERT(said);
    if (!said || status != expected)
        printf("    %s: %s\n    expected: %s\n", sw_status_name(status), sw_error_message(), part);
}

#endif

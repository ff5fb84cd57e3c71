/* Reading rows: contiguous, strided, chunked, and from files that change under the reader. */
#include "helpers.h"

/* One file of n f32: element i holds i. */
static void ramp_file(const char *folder, size_t n, struct sw_tensors *t)
{
    char path[128];
    int file;
    float *data = malloc(n * sizeof *data);
    if (!data)
        abort();
    for (size_t i = 0; i < n; i++)
        data[i] = (float)i;
    put_file(folder, "ramp", data, n * sizeof *data);
    free(data);
    *t = (struct sw_tensors){0};
    snprintf(path, sizeof path, "%s/ramp", folder);
    if (sw_tensors_add_file(t, path, n * sizeof *data, &file) != SW_OK)
        abort();
}

static void add(struct sw_tensors *t, const char *name, uint64_t offset, int rank,
                const int64_t *shape, const int64_t *stride)
{
    struct sw_tensor tensor = {.name = name, .dtype = SW_F32, .rank = rank, .offset = offset};
    memcpy(tensor.shape, shape, (size_t)rank * sizeof *shape);
    memcpy(tensor.stride, stride, (size_t)rank * sizeof *stride);
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add(t, &tensor), SW_OK);
}

/* Rows [row0, row0 + n) hold what offset and strides say. */
static bool rows_right(const struct sw_tensor *t, int64_t row0, int64_t n, const float *data)
{
    int64_t index[3] = {0}, shape[3] = {1, 1, 1}, stride[3] = {0};
    memcpy(shape, t->shape, (size_t)t->rank * sizeof *shape);
    memcpy(stride, t->stride, (size_t)t->rank * sizeof *stride);
    for (index[0] = row0; index[0] < row0 + n; index[0]++)
        for (index[1] = 0; index[1] < shape[1]; index[1]++)
            for (index[2] = 0; index[2] < shape[2]; index[2]++) {
                const int64_t at = (int64_t)t->offset / 4 + index[0] * stride[0] +
                                   index[1] * stride[1] + index[2] * stride[2];
                if (*data++ != (float)at)
                    return false;
            }
    return true;
}

static bool reads_right(struct sw_reader *r, const struct sw_tensor *t, int64_t row0, int64_t n)
{
    float *data = malloc((size_t)n * sw_reader_row_bytes(t) + 1);
    const bool right =
        data && sw_reader_rows(r, t, row0, n, data) == SW_OK && rows_right(t, row0, n, data);
    free(data);
    return right;
}

static void reads_strided(void)
{
    char folder[64];
    struct sw_tensors t;
    struct sw_reader *r;
    const size_t n = (size_t)6 << 20; /* 24 MiB: more than a gather reads at once */
    ramp_file(new_folder(folder), n, &t);
    add(&t, "all", 0, 2, (int64_t[]){2048, 3072}, (int64_t[]){3072, 1});
    add(&t, "transposed", 0, 2, (int64_t[]){3072, 2048}, (int64_t[]){1, 3072});
    add(&t, "sliced", 40, 2, (int64_t[]){2000, 1000}, (int64_t[]){3072, 1});
    add(&t, "far", 4, 2, (int64_t[]){6, 100}, (int64_t[]){1 << 20, 1});
    add(&t, "far turned", 4, 2, (int64_t[]){100, 6}, (int64_t[]){1, 1 << 20});
    add(&t, "wide rows", 8, 2, (int64_t[]){2, 3000000}, (int64_t[]){3000001, 1});
    add(&t, "every other", 0, 1, (int64_t[]){3 << 20}, (int64_t[]){2});
    add(&t, "column", 0, 2, (int64_t[]){2048, 1}, (int64_t[]){3072, 999999});
    add(&t, "repeated", 4, 3, (int64_t[]){4, 5, 6}, (int64_t[]){0, 7, 1});
    add(&t, "cube", 0, 3, (int64_t[]){64, 128, 96}, (int64_t[]){96, 64 * 96, 1});
    add(&t, "cube turned", 0, 3, (int64_t[]){96, 64, 128}, (int64_t[]){1, 128 * 96, 96});
    add(&t, "scalar", 12, 0, (int64_t[]){0}, (int64_t[]){0});
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
    for (size_t i = 0; i < t.count; i++) {
        const struct sw_tensor *x = &t.items[i];
        const int64_t rows = sw_reader_row_count(x);
        const bool right = reads_right(r, x, 0, rows) && reads_right(r, x, rows / 2, 1) &&
                           reads_right(r, x, rows / 3, rows - rows / 3) &&
                           reads_right(r, x, rows, 0);
        CU_ASSERT(right);
        if (!right)
            printf("    '%s' is wrong\n", x->name);
    }
    sw_reader_close(r);
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
    CU_ASSERT(reads_right(r, sw_tensors_find(&t, "all"), 10, 20));
    CU_ASSERT_EQUAL(sw_reader_bytes(r), 20 * 3072 * 4); /* nothing beside what was asked for */
    sw_reader_close(r);
    sw_tensors_free(&t);
    remove_folder(folder);
}

struct sum {
    int64_t next_row, calls, fail_at;
    const struct sw_tensor *tensor;
    bool right;
};

static enum sw_status take(void *context, int64_t row0, int64_t n_rows, const void *data)
{
    struct sum *s = context;
    s->right = s->right && row0 == s->next_row && rows_right(s->tensor, row0, n_rows, data);
    s->next_row = row0 + n_rows;
    if (++s->calls == s->fail_at)
        return sw_fail(SW_ENOFIT, "the sink is full");
    return SW_OK;
}

static void iterates_in_chunks(void)
{
    static const struct {
        int64_t row0, n;
        size_t chunk;
        int64_t calls;
    } rows[] = {{0, 100, 400, 100}, {0, 100, 1, 100},      {0, 100, 1200, 34},
                {5, 90, 36000, 1},  {5, 90, 35999, 2},     {99, 1, 4000, 1},
                {100, 0, 400, 0},   {0, 100, SIZE_MAX, 1}, {0, 3, 400, 3}};
    char folder[64];
    struct sw_tensors t;
    struct sw_reader *r;
    ramp_file(new_folder(folder), 10000, &t);
    add(&t, "x", 0, 2, (int64_t[]){100, 100}, (int64_t[]){1, 100});
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sum s = {.next_row = rows[i].row0, .tensor = t.items, .right = true};
        CU_ASSERT_EQUAL(
            sw_reader_each_chunk(r, t.items, rows[i].row0, rows[i].n, rows[i].chunk, take, &s),
            SW_OK);
        CU_ASSERT(s.right);
        CU_ASSERT_EQUAL(s.calls, rows[i].calls);
        CU_ASSERT_EQUAL(s.next_row, rows[i].row0 + rows[i].n);
    }
    for (int64_t at = 1; at < 5; at++) {
        struct sum s = {.tensor = t.items, .right = true, .fail_at = at};
        expect_failure(sw_reader_each_chunk(r, t.items, 0, 100, 400, take, &s), SW_ENOFIT, "full");
        CU_ASSERT_EQUAL(s.calls, at);
    }
    struct sum s = {.tensor = t.items, .right = true};
    expect_failure(sw_reader_each_chunk(r, t.items, 50, 51, 400, take, &s), SW_EINPUT, "51 rows");
    expect_failure(sw_reader_each_chunk(r, t.items, -1, 5, 400, take, &s), SW_EINPUT, "'x'");
    CU_ASSERT_EQUAL(s.calls, 0);
    sw_reader_close(r);
    sw_tensors_free(&t);
    remove_folder(folder);
}

static void says_what_changed(void)
{
    char folder[64], path[128];
    struct sw_tensors t;
    struct sw_reader *r;
    float data[100];
    ramp_file(new_folder(folder), 1000, &t);
    add(&t, "late", 400, 2, (int64_t[]){9, 100}, (int64_t[]){100, 1});
    snprintf(path, sizeof path, "%s/ramp", folder);
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
    expect_failure(sw_reader_rows(r, t.items, 9, 1, data), SW_EINPUT, "rows 9 to 10");
    expect_failure(sw_reader_rows(r, t.items, -1, 1, data), SW_EINPUT, "rows -1");
    expect_failure(sw_reader_rows(r, t.items, 0, INT64_MAX, data), SW_EINPUT, "it has 9");

    CU_ASSERT_EQUAL(sw_reader_rows(r, t.items, 8, 1, data), SW_OK);
    CU_ASSERT_EQUAL(truncate(path, 3900), 0); /* while it is open */
    expect_failure(sw_reader_rows(r, t.items, 8, 1, data), SW_EMODEL, "tensor 'late' at byte 400");
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), path));
    struct sum s = {.tensor = t.items, .right = true};
    expect_failure(sw_reader_each_chunk(r, t.items, 0, 9, 400, take, &s), SW_EMODEL, path);
    CU_ASSERT(s.right);
    sw_reader_close(r);

    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
    expect_failure(sw_reader_rows(r, t.items, 0, 1, data), SW_EMODEL,
                   "4000 bytes when its header was read, 3900 now");
    remove(path);
    expect_failure(sw_reader_rows(r, t.items, 0, 1, data), SW_EMODEL, "does not exist any more");
    sw_reader_close(r);
    sw_reader_close(NULL);
    sw_tensors_free(&t);
    remove_folder(folder);
}

/* More files than descriptors are kept for. */
static void reads_many_files(void)
{
    char folder[64], path[128], name[32];
    struct sw_tensors t = {0};
    struct sw_reader *r;
    new_folder(folder);
    for (int i = 0; i < 11; i++) {
        const float value = (float)i;
        int file;
        snprintf(name, sizeof name, "f%d", i);
        snprintf(path, sizeof path, "%s/%s", folder, name);
        put_file(folder, name, &value, sizeof value);
        CU_ASSERT_EQUAL(sw_tensors_add_file(&t, path, sizeof value, &file), SW_OK);
        const struct sw_tensor tensor = {
            .name = name, .dtype = SW_F32, .rank = 1, .shape = {1}, .stride = {1}, .file = file};
        CU_ASSERT_EQUAL(sw_tensors_add(&t, &tensor), SW_OK);
    }
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
    for (int k = 0; k < 33; k++) {
        float value = -1;
        CU_ASSERT_EQUAL(sw_reader_rows(r, &t.items[k * 7 % 11], 0, 1, &value), SW_OK);
        CU_ASSERT_EQUAL(value, (float)(k * 7 % 11));
    }
    CU_ASSERT_EQUAL(sw_reader_bytes(r), 33 * sizeof(float));
    sw_reader_close(r);
    sw_tensors_free(&t);
    remove_folder(folder);
}

SW_UNIT_TESTS({"reads strided tensors", reads_strided}, {"iterates in chunks", iterates_in_chunks},
              {"says what changed", says_what_changed}, {"reads many files", reads_many_files})

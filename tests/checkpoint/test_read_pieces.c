/*
 * Large tensors are read in pieces by several threads: several reads are under way, what comes is
 * right, and whichever read fails the message names the file. The linker sends pread to
 * __wrap_pread, and posix_fadvise to __wrap_posix_fadvise (tests/CMakeLists.txt).
 */
#include "helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <time.h>

ssize_t __real_pread(int fd, void *out, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at);
int __wrap_posix_fadvise(int fd, off_t at, off_t n, int advice);

static atomic_uint_fast64_t prefetched; /* bytes that the system was asked to fetch */

int __wrap_posix_fadvise(int fd, off_t at, off_t n, int advice)
{
    (void)fd;
    (void)at;
    if (advice == POSIX_FADV_WILLNEED)
        atomic_fetch_add(&prefetched, (uint64_t)n);
    return 0;
}

static atomic_int under_way, most_under_way, fails_from; /* bytes into the file; 0: none fails */
static atomic_bool is_slow;

ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at)
{
    const int now = atomic_fetch_add(&under_way, 1) + 1;
    int most = atomic_load(&most_under_way);
    while (now > most && !atomic_compare_exchange_weak(&most_under_way, &most, now))
        ;
    if (atomic_load(&is_slow))
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    const int from = atomic_load(&fails_from);
    const bool fails = from > 0 && at + (off_t)n > from;
    const ssize_t got = fails ? -1 : __real_pread(fd, out, n, at);
    atomic_fetch_sub(&under_way, 1);
    if (fails)
        errno = EIO;
    return got;
}

#define ROWS 1500
#define COLS 2048 /* 12 MB of f32, two tensors */
#define HALF ((uint64_t)ROWS * COLS * 4)

/* Two tensors of one file: element i of the file holds i. */
static void make(const char *folder, struct sw_tensors *t)
{
    char path[128];
    int file;
    float *data = malloc(2 * HALF);
    if (!data)
        abort();
    for (int i = 0; i < 2 * ROWS * COLS; i++)
        data[i] = (float)i;
    put_file(folder, "ramp", data, 2 * HALF);
    free(data);
    *t = (struct sw_tensors){0};
    snprintf(path, sizeof path, "%s/ramp", folder);
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add_file(t, path, 2 * HALF, &file), SW_OK);
    for (int i = 0; i < 2; i++) {
        const struct sw_tensor tensor = {.name = i ? "second" : "first",
                                         .dtype = SW_F32,
                                         .rank = 2,
                                         .shape = {ROWS, COLS},
                                         .stride = {COLS, 1},
                                         .offset = (uint64_t)i * HALF};
        CU_ASSERT_EQUAL_FATAL(sw_tensors_add(t, &tensor), SW_OK);
    }
}

struct sum {
    int64_t next_row;
    int first; /* element of the file that row 0 begins with */
    bool right;
};

static enum sw_status take(void *context, int64_t row0, int64_t n_rows, const void *data)
{
    struct sum *s = context;
    const float *values = data;
    s->right &= row0 == s->next_row;
    s->next_row = row0 + n_rows;
    for (int64_t i = 0; i < n_rows * COLS; i++)
        s->right &= values[i] == (float)(s->first + row0 * COLS + i);
    return SW_OK;
}

static enum sw_status read_second(struct sw_reader *r, const struct sw_tensors *t, struct sum *s)
{
    *s = (struct sum){.first = ROWS * COLS, .right = true};
    return sw_reader_each_chunk(r, sw_tensors_find(t, "second"), 0, ROWS, 5000000, take, s);
}

static void several_reads_are_under_way(void)
{
    char folder[64];
    struct sw_tensors t;
    struct sw_reader *r;
    struct sum s;
    make(new_folder(folder), &t);
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
    atomic_store(&is_slow, true);
    atomic_store(&most_under_way, 0);
    CU_ASSERT_EQUAL(read_second(r, &t, &s), SW_OK);
    atomic_store(&is_slow, false);
    CU_ASSERT(s.right && s.next_row == ROWS);
    CU_ASSERT_EQUAL(sw_reader_bytes(r), HALF);
    CU_ASSERT(atomic_load(&most_under_way) >= 3);
    sw_reader_close(r);
    sw_tensors_free(&t);
    remove_folder(folder);
}

/* Whichever read it is, on whichever thread; and the message names the first byte that is missing.
 */
static void a_failure_anywhere_names_the_file(void)
{
    char folder[64], path[128], what[64];
    struct sw_tensors t;
    struct sw_reader *r;
    struct sum s;
    make(new_folder(folder), &t);
    snprintf(path, sizeof path, "%s/ramp", folder);
    for (uint64_t from = HALF + 1; from < 2 * HALF; from += 777777) {
        CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
        atomic_store(&fails_from, (int)from);
        CU_ASSERT_EQUAL(read_second(r, &t, &s), SW_EIO);
        atomic_store(&fails_from, 0);
        CU_ASSERT(s.right);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), path));
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "tensor 'second'"));
        CU_ASSERT_EQUAL(read_second(r, &t, &s), SW_OK); /* and it goes on */
        sw_reader_close(r);
    }
    for (uint64_t size = 2 * HALF - 1; size > HALF; size -= 1111111) {
        CU_ASSERT_EQUAL(truncate(path, 2 * HALF), 0);
        CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
        float row[COLS];
        CU_ASSERT_EQUAL(sw_reader_rows(r, t.items, 0, 1, row), SW_OK);
        CU_ASSERT_EQUAL(truncate(path, (off_t)size), 0); /* while it is open */
        atomic_store(&is_slow, true);                    /* several pieces end too soon at once */
        CU_ASSERT_EQUAL(read_second(r, &t, &s), SW_EMODEL);
        atomic_store(&is_slow, false);
        snprintf(what, sizeof what, "ends at byte %llu", (unsigned long long)size);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), what));
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), path));
        sw_reader_close(r);
        CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK); /* and before it is opened again */
        CU_ASSERT_EQUAL(read_second(r, &t, &s), SW_EMODEL);
        CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "changed while it was in use"));
        sw_reader_close(r);
    }
    sw_tensors_free(&t);
    remove_folder(folder);
}

/* What was to be read next may be gone, or never be read: that is for its own turn. */
static void what_is_expected_need_not_come(void)
{
    char folder[64];
    struct sw_tensors t;
    struct sw_reader *r;
    struct sum s;
    int file;
    make(new_folder(folder), &t);
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add_file(&t, "/nowhere/at/all", 100, &file), SW_OK);
    const struct sw_tensor gone = {
        .name = "gone", .dtype = SW_F32, .rank = 1, .shape = {25}, .stride = {1}, .file = file};
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add(&t, &gone), SW_OK);
    const struct sw_tensor *next[] = {sw_tensors_find(&t, "gone"), sw_tensors_find(&t, "second"),
                                      sw_tensors_find(&t, "first"), sw_tensors_find(&t, "gone")};
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&t, &r), SW_OK);
    for (size_t n = 0; n <= 4; n++) {
        sw_reader_expect(r, next, n);
        atomic_store(&prefetched, 0);
        CU_ASSERT_EQUAL(read_second(r, &t, &s), SW_OK);
        CU_ASSERT(s.right && s.next_row == ROWS);
        CU_ASSERT_EQUAL(atomic_load(&prefetched), n >= 3 ? 2 * HALF : n == 2 ? HALF : 0);
    }
    sw_reader_expect(r, NULL, 0);
    CU_ASSERT_EQUAL(read_second(r, &t, &s), SW_OK);
    sw_reader_close(r);
    sw_tensors_free(&t);
    remove_folder(folder);
}

SW_UNIT_TESTS({"several reads are under way", several_reads_are_under_way},
              {"a failure anywhere names the file", a_failure_anywhere_names_the_file},
              {"what is expected need not come", what_is_expected_need_not_come})

/*
 * Lists of tensors, read by many threads past the page cache or through it: every row comes once
 * and is right, several reads are under way, and what a disk or a file system can refuse works or
 * fails with the file's name. The linker sends open, pread, mincore and madvise to __wrap_…
 * (tests.cmake).
 */
#include "helpers.h"

#include "base/huge_pages.h"
#include "checkpoint/adapter.h"
#include "checkpoint/direct_file.h"
#include "checkpoint/read_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

int __real_open(const char *path, int flags, ...);
ssize_t __real_pread(int fd, void *out, size_t n, off_t at);
int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at);
int __wrap_mincore(void *at, size_t n, unsigned char *pages);
int __real_madvise(void *at, size_t n, int advice);
int __wrap_madvise(void *at, size_t n, int advice);

/* How the disk and the file system behave. */
static struct {
    bool is_slow, is_cached, refuses_open, refuses_read, has_no_huge_pages;
    size_t most;      /* bytes of one read; 0: any */
    off_t fails_from; /* bytes into the file that give EIO; 0: none */
    off_t ends_at;    /* as if the file was cut there; 0: not */
} disk;
static atomic_int under_way, most_under_way, reads_past, reads_through;
static atomic_uintptr_t least_buffer; /* of all reads */
static atomic_size_t longest;         /* bytes that a read asked for */
/* As lists read a disk that gives more in large pieces. */
static bool is_large;

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    const int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    if (disk.refuses_open && flags & O_DIRECT) {
        errno = EINVAL;
        return -1;
    }
    return __real_open(path, flags, mode);
}

int __wrap_mincore(void *at, size_t n, unsigned char *pages)
{
    (void)at;
    memset(pages, disk.is_cached, (n + 4095) / 4096);
    return 0;
}

int __wrap_madvise(void *at, size_t n, int advice)
{
    if (disk.has_no_huge_pages && advice == MADV_HUGEPAGE) {
        errno = EINVAL;
        return -1;
    }
    return __real_madvise(at, n, advice);
}

ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at)
{
    const bool is_past = fcntl(fd, F_GETFL) & O_DIRECT;
    const int now = atomic_fetch_add(&under_way, 1) + 1;
    int most = atomic_load(&most_under_way);
    while (now > most && !atomic_compare_exchange_weak(&most_under_way, &most, now))
        ;
    atomic_fetch_add(is_past ? &reads_past : &reads_through, 1);
    uintptr_t least = atomic_load(&least_buffer);
    while ((uintptr_t)out < least &&
           !atomic_compare_exchange_weak(&least_buffer, &least, (uintptr_t)out))
        ;
    size_t length = atomic_load(&longest);
    while (n > length && !atomic_compare_exchange_weak(&longest, &length, n))
        ;
    if (disk.is_slow)
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    ssize_t got = -1;
    if (disk.most && n > disk.most)
        n = disk.most;
    if (disk.ends_at)
        n = at >= disk.ends_at ? 0 : at + (off_t)n > disk.ends_at ? (size_t)(disk.ends_at - at) : n;
    if (is_past && disk.refuses_read)
        errno = EINVAL;
    else if (disk.fails_from && at + (off_t)n > disk.fails_from)
        errno = EIO;
    else
        got = n ? __real_pread(fd, out, n, at) : 0;
    atomic_fetch_sub(&under_way, 1);
    return got;
}

/* Tensors of any sizes, one behind the other from an odd offset, so that neither their beginnings
 * nor the file's end are those of pages: f32 whose value says which element of the file it is. */
static const int64_t shapes[][2] = {{300, 1000}, {64, 4096}, {1, 5},
                                    {7, 16384},  {65, 31},   {513, 2048}};
#define TENSORS ((int)(sizeof shapes / sizeof shapes[0]))

struct folder {
    char name[64], path[80];
    struct sw_tensors tensors;
    struct sw_reader *reader;
    struct taking {
        const struct sw_tensor *tensor;
        int64_t first;    /* element of the file */
        atomic_int *seen; /* (rows) */
        atomic_bool is_wrong;
    } taking[TENSORS];
    uint64_t bytes;
    int pulses;
    bool has_direct; /* the file system can read past the page cache */
};

static enum sw_status take(void *context, int64_t row0, int64_t n_rows, const void *data)
{
    struct taking *t = context;
    const int64_t cols = t->tensor->shape[1];
    const float *values = data;
    for (int64_t i = 0; i < n_rows * cols; i++)
        if (values[i] != (float)(t->first + row0 * cols + i))
            t->is_wrong = true;
    for (int64_t i = 0; i < n_rows; i++)
        atomic_fetch_add(&t->seen[row0 + i], 1);
    return SW_OK;
}

static enum sw_status beat(void *context)
{
    ++*(int *)context;
    return SW_OK;
}

static void folder_make(struct folder *f)
{
    int64_t n = 3;
    int file;
    *f = (struct folder){0};
    for (int i = 0; i < TENSORS; i++)
        n += shapes[i][0] * shapes[i][1];
    float *data = malloc((size_t)n * sizeof *data);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    for (int64_t i = 0; i < n; i++)
        data[i] = (float)i;
    f->bytes = (uint64_t)n * sizeof *data;
    put_file(new_folder(f->name), "ramp", data, f->bytes);
    free(data);
    snprintf(f->path, sizeof f->path, "%s/ramp", f->name);
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add_file(&f->tensors, f->path, f->bytes, &file), SW_OK);
    const int fd = open(f->path, O_RDONLY | O_DIRECT);
    f->has_direct = fd >= 0;
    if (fd >= 0)
        close(fd);
    int64_t at = 3;
    for (int i = 0; i < TENSORS; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%d", i);
        const struct sw_tensor tensor = {.name = name,
                                         .dtype = SW_F32,
                                         .rank = 2,
                                         .shape = {shapes[i][0], shapes[i][1]},
                                         .stride = {shapes[i][1], 1},
                                         .offset = (uint64_t)at * sizeof *data};
        CU_ASSERT_EQUAL_FATAL(sw_tensors_add(&f->tensors, &tensor), SW_OK);
        f->taking[i].first = at;
        f->taking[i].seen = calloc((size_t)shapes[i][0], sizeof(atomic_int));
        at += shapes[i][0] * shapes[i][1];
    }
    for (int i = 0; i < TENSORS; i++)
        f->taking[i].tensor = &f->tensors.items[i];
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&f->tensors, &f->reader), SW_OK);
}

static void folder_remove(struct folder *f)
{
    sw_reader_close(f->reader);
    for (int i = 0; i < TENSORS; i++)
        free(f->taking[i].seen);
    sw_tensors_free(&f->tensors);
    remove_folder(f->name);
}

/* Reads all tensors, in the opposite order of the file's. */
static enum sw_status folder_read_by(struct folder *f, bool past_cache)
{
    struct sw_read_item items[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        struct taking *t = &f->taking[i];
        for (int64_t r = 0; r < shapes[i][0]; r++)
            t->seen[r] = 0;
        t->is_wrong = false;
        items[TENSORS - 1 - i] = (struct sw_read_item){t->tensor, take, t};
        CU_ASSERT(sw_read_list_takes(&f->tensors, t->tensor));
    }
    reads_past = reads_through = most_under_way = f->pulses = 0;
    least_buffer = UINTPTR_MAX;
    longest = 0;
    const struct sw_read_rates rates = {{1e9, is_large ? 2e9 : 1e9}, 4};
    sw_reader_crew(f->reader)->rates = rates;
    return sw_read_list_run(f->reader, items, TENSORS,
                            &(struct sw_read_list_options){2, past_cache, beat, &f->pulses});
}

static enum sw_status folder_read(struct folder *f)
{
    return folder_read_by(f, true);
}

static bool folder_is_right(const struct folder *f)
{
    for (int i = 0; i < TENSORS; i++)
        for (int64_t r = 0; r < shapes[i][0]; r++)
            if (f->taking[i].seen[r] != 1 || f->taking[i].is_wrong)
                return false;
    return true;
}

/* Buffers begin on huge pages. Parts of them for short pieces need not: the thread whose part is
 * the first may never come to read. */
static bool buffers_are_whole(void)
{
    return least_buffer % (is_large ? SW_HUGE_PAGE : SW_LIST_PIECE) == 0;
}

static void large_pieces_come_as_well(void)
{
    struct folder f;
    folder_make(&f);
    memset(&disk, 0, sizeof disk);
    disk.is_slow = is_large = true;
    for (int i = 0; i < 2; i++, is_large = false) {
        CU_ASSERT_EQUAL(folder_read(&f), SW_OK);
        CU_ASSERT(folder_is_right(&f));
        CU_ASSERT_EQUAL(longest > 3 * SW_LIST_PIECE, is_large);
        CU_ASSERT(longest <= SW_LIST_BYTES / 4);
        CU_ASSERT(most_under_way >= 2 && (!is_large || most_under_way <= 4));
        CU_ASSERT(buffers_are_whole());
    }
    is_large = true; /* through the cache there is no reason for it */
    CU_ASSERT_EQUAL(folder_read_by(&f, false), SW_OK);
    CU_ASSERT(folder_is_right(&f));
    CU_ASSERT(longest <= 3 * SW_LIST_PIECE);
    is_large = false;
    folder_remove(&f);
}

static void every_row_comes_once(void)
{
    struct folder f;
    folder_make(&f);
    for (int cached = 0; cached < 2; cached++) {
        memset(&disk, 0, sizeof disk);
        disk.is_cached = cached;
        disk.is_slow = true;
        is_large = false;
        CU_ASSERT_EQUAL(folder_read(&f), SW_OK);
        CU_ASSERT(folder_is_right(&f));
        CU_ASSERT(most_under_way >= 4);
        CU_ASSERT(f.pulses > 0);
        CU_ASSERT(buffers_are_whole());
        CU_ASSERT_EQUAL(reads_past == 0, cached == 1 || !f.has_direct);
        CU_ASSERT_EQUAL(reads_through == 0, cached == 0 && f.has_direct);
    }
    CU_ASSERT_EQUAL(sw_reader_bytes(f.reader), 2 * (f.bytes - 12));
    folder_remove(&f);
}

/* So that whoever reads the files next finds them in memory. */
static void page_cache_is_filled_unless_asked(void)
{
    struct folder f;
    folder_make(&f);
    memset(&disk, 0, sizeof disk);
    CU_ASSERT_EQUAL(folder_read_by(&f, false), SW_OK);
    CU_ASSERT(folder_is_right(&f));
    CU_ASSERT_EQUAL(reads_past, 0);
    CU_ASSERT(reads_through > 0);
    folder_remove(&f);
}

/* Reads that give less than was asked, as many bytes as pages have and others. */
static void short_reads_go_on(void)
{
    static const size_t most[] = {4096, 65536, 1000, 5000, 1};
    struct folder f;
    folder_make(&f);
    for (size_t i = 0; i < 4; i++)
        for (int which = 0; which < 4; which++) {
            memset(&disk, 0, sizeof disk);
            disk.is_cached = which & 1;
            is_large = which & 2;
            disk.most = most[i];
            CU_ASSERT_EQUAL(folder_read(&f), SW_OK);
            CU_ASSERT(folder_is_right(&f));
        }
    is_large = false;
    folder_remove(&f);
}

static void what_refuses_direct_reads_is_read_plainly(void)
{
    struct folder f;
    folder_make(&f);
    memset(&disk, 0, sizeof disk);
    disk.refuses_open = true;
    CU_ASSERT_EQUAL(folder_read(&f), SW_OK);
    CU_ASSERT(folder_is_right(&f));
    CU_ASSERT_EQUAL(reads_past, 0);
    disk.refuses_open = false;
    disk.refuses_read = true;
    CU_ASSERT_EQUAL(folder_read(&f), SW_OK);
    CU_ASSERT(folder_is_right(&f));
    CU_ASSERT(reads_past <= SW_LIST_THREADS); /* it is not tried again */
    folder_remove(&f);
}

static void failures_name_the_file(void)
{
    struct folder f;
    folder_make(&f);
    for (int which = 0; which < 4; which++)
        for (off_t from = 20000; from < (off_t)f.bytes; from += 1500001) {
            memset(&disk, 0, sizeof disk);
            disk.is_cached = which & 1;
            is_large = which & 2;
            disk.fails_from = from;
            CU_ASSERT_EQUAL(folder_read(&f), SW_EIO);
            CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), f.path));
            CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "tensor 't"));
            disk.fails_from = 0;
            disk.ends_at = from;
            CU_ASSERT_EQUAL(folder_read(&f), SW_EMODEL);
            CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), f.path));
            CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "truncated"));
            disk.ends_at = 0;
            CU_ASSERT_EQUAL(folder_read(&f), SW_OK); /* and it goes on */
            CU_ASSERT(folder_is_right(&f));
        }
    memset(&disk, 0, sizeof disk);
    is_large = false;
    CU_ASSERT_EQUAL(truncate(f.path, (off_t)f.bytes - 1), 0);
    CU_ASSERT_EQUAL(folder_read(&f), SW_EMODEL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "changed while it was in use"));
    CU_ASSERT_EQUAL(unlink(f.path), 0);
    CU_ASSERT_EQUAL(folder_read(&f), SW_EMODEL);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "does not exist any more"));
    put_file(f.name, "ramp", "", 0);
    folder_remove(&f);
}

static void what_has_no_huge_pages_is_read_as_well(void)
{
    struct folder f;
    folder_make(&f);
    memset(&disk, 0, sizeof disk);
    disk.has_no_huge_pages = true;
    CU_ASSERT_EQUAL(folder_read(&f), SW_OK);
    CU_ASSERT(folder_is_right(&f));
    folder_remove(&f);
}

/* Rows of the first part, each element plus the first one of the second part. */
static void sum_rows(const struct sw_made_rows *rows, void *out)
{
    const int64_t n = rows->n_rows * rows->tensor->shape[1];
    float first, value;
    memcpy(&first, rows->parts[1], sizeof first);
    for (int64_t i = 0; i < n; i++) {
        memcpy(&value, (const char *)rows->parts[0] + (size_t)i * sizeof value, sizeof value);
        ((float *)out)[i] = value + first;
    }
}

/* It would wait behind large reads, in each pass. */
static void what_rows_share_is_kept(void)
{
    static const struct sw_made_form form = {NULL, sum_rows};
    const int64_t rows = 3000, cols = 128;
    const struct sw_made made = {
        .form = &form,
        .n_parts = 2,
        .parts = {{0, 12, (uint64_t)(rows * cols) * sizeof(float), (uint64_t)cols * sizeof(float)},
                  {0, 12, 40, 0}}};
    struct folder f;
    folder_make(&f);
    CU_ASSERT_EQUAL_FATAL(sw_tensors_add_made(&f.tensors, "made", NULL, rows, cols, &made), SW_OK);
    struct taking t = {.tensor = sw_tensors_find(&f.tensors, "made"), .first = 6};
    t.seen = calloc((size_t)rows, sizeof(atomic_int));
    for (int large = 0; large < 2; large++) {
        struct sw_read_item item = {t.tensor, take, &t};
        const struct sw_read_rates rates = {{1e9, large ? 2e9 : 1e9}, 4};
        memset(&disk, 0, sizeof disk);
        sw_reader_crew(f.reader)->rates = rates;
        reads_past = reads_through = 0;
        CU_ASSERT_EQUAL(sw_read_list_run(f.reader, &item, 1,
                                         &(struct sw_read_list_options){2, true, NULL, NULL}),
                        SW_OK);
        CU_ASSERT_FALSE(t.is_wrong);
        for (int64_t r = 0; r < rows; r++)
            CU_ASSERT_EQUAL(t.seen[r], large + 1);
        if (f.has_direct) {
            CU_ASSERT_EQUAL(reads_through, 1);
            CU_ASSERT(reads_past > 0);
        }
    }
    free(t.seen);
    folder_remove(&f);
}

/* The tensor's own sink fails, or the caller gives up. */
static enum sw_status refuse(void *context, int64_t row0, int64_t n_rows, const void *data)
{
    (void)context, (void)row0, (void)n_rows, (void)data;
    return sw_fail(SW_EPEER, "enough");
}

static enum sw_status give_up(void *context)
{
    return refuse(context, 0, 0, NULL);
}

static void sinks_and_callers_can_end_it(void)
{
    struct folder f;
    folder_make(&f);
    memset(&disk, 0, sizeof disk);
    struct sw_read_item item = {f.taking[0].tensor, refuse, NULL};
    const struct sw_read_list_options patient = {2, true, NULL, NULL},
                                      impatient = {2, true, give_up, NULL};
    CU_ASSERT_EQUAL(sw_read_list_run(f.reader, &item, 1, &patient), SW_EPEER);
    CU_ASSERT_STRING_EQUAL(sw_error_message(), "enough");
    item = (struct sw_read_item){f.taking[0].tensor, take, &f.taking[0]};
    CU_ASSERT_EQUAL(sw_read_list_run(f.reader, &item, 1, &impatient), SW_EPEER);
    CU_ASSERT_EQUAL(sw_read_list_run(f.reader, NULL, 0, &patient), SW_OK);
    folder_remove(&f);
}

/* Others' rows are of several places, or too long. */
static void other_tensors_are_not_taken(void)
{
    struct sw_tensor t = {
        .dtype = SW_F32, .rank = 2, .shape = {4, 8}, .stride = {8, 1}, .bytes = 128};
    const struct sw_tensors none = {0};
    CU_ASSERT(sw_read_list_takes(&none, &t));
    t.stride[0] = 1, t.stride[1] = 4;
    CU_ASSERT_FALSE(sw_read_list_takes(&none, &t));
    t = (struct sw_tensor){
        .dtype = SW_F32, .rank = 2, .shape = {4, 100000}, .stride = {100000, 1}, .bytes = 1600000};
    CU_ASSERT_FALSE(sw_read_list_takes(&none, &t));
}

SW_UNIT_TESTS({"every row comes once", every_row_comes_once},
              {"large pieces come as well", large_pieces_come_as_well},
              {"page cache is filled unless asked", page_cache_is_filled_unless_asked},
              {"short reads go on", short_reads_go_on},
              {"what refuses direct reads is read plainly",
               what_refuses_direct_reads_is_read_plainly},
              {"what has no huge pages is read as well", what_has_no_huge_pages_is_read_as_well},
              {"what rows share is kept", what_rows_share_is_kept},
              {"failures name the file", failures_name_the_file},
              {"sinks and callers can end it", sinks_and_callers_can_end_it},
              {"other tensors are not taken", other_tensors_are_not_taken})

/* Owns the read that measures the disk of a model: as layers from disk are read, in each of the
 * shapes that these can have. */
#include "base/clock.h"
#include "base/file.h"
#include "base/huge_pages.h"
#include "base/pool.h"
#include "checkpoint/read_list.h"
#include "probe/measure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALIGNMENT 4096
#define WINDOW_S 0.1 /* between two looks at the rate */
#define SETTLED 0.03 /* by so much it may change over SETTLED_WINDOWS looks */
#define SETTLED_WINDOWS 4
#define SHORT_S 0.01          /* in less time there is room for the small pieces only */
#define SIZE_ENOUGH (1 << 20) /* bytes; a smaller file is too short to measure with */

static enum sw_status disk_file_size(const char *path, uint64_t *size)
{
    int fd;
    SW_TRY(sw_file_open(path, &fd, size));
    close(fd);
    return SW_OK;
}

/* Writes the path of the largest regular file of a directory into `out`; skips unreadable ones. */
static enum sw_status disk_largest_file(const char *path, char *out, size_t cap, uint64_t *largest)
{
    DIR *dir = opendir(path);
    if (!dir)
        return sw_file_fail(path, "listed", errno);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char name[4096];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (stat(name, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size > *largest &&
            strlen(name) < cap) {
            *largest = (uint64_t)st.st_size;
            snprintf(out, cap, "%s", name);
        }
    }
    closedir(dir);
    return SW_OK;
}

/* Opens the file to read without the page cache; else the kernel drops its pages first. */
static enum sw_status disk_open_uncached(const char *name, uint64_t from, uint64_t length, int *fd)
{
    SW_TRY(sw_file_open(name, fd, NULL));
    if (fcntl(*fd, F_SETFL, O_DIRECT) != 0)
        posix_fadvise(*fd, (off_t)from, (off_t)length, POSIX_FADV_DONTNEED);
    return SW_OK;
}

struct disk_reading {
    int fd;
    const char *name;
    struct sw_read_shape shape;
    uint64_t size;
    double begin, seconds;
    atomic_uint_fast64_t at; /* where the next piece begins */
    atomic_uint_fast64_t bytes;
    atomic_bool ended;
    double looked;                 /* by the caller: sw_clock of its last look */
    double rates[SETTLED_WINDOWS]; /* and what it saw, the last first */
    enum sw_status status[SW_LIST_THREADS];
    char *blocks; /* (SW_LIST_BYTES) */
    char *copies; /* (SW_LIST_THREADS, SW_LIST_PIECE) */
};

/* Whether the rate has hardly changed over the last looks. */
static bool disk_rate_settled(struct disk_reading *r, double now)
{
    double least = INFINITY, most = 0;
    memmove(r->rates + 1, r->rates, (SETTLED_WINDOWS - 1) * sizeof *r->rates);
    r->rates[0] = (double)atomic_load(&r->bytes) / (now - r->begin);
    r->looked = now;
    for (int i = 0; i < SETTLED_WINDOWS; i++) {
        least = fmin(least, r->rates[i]);
        most = fmax(most, r->rates[i]);
    }
    return most <= least * (1 + SETTLED);
}

/* Copies what was read: packing takes it from the thread's buffer as well, and a disk that a
 * hypervisor pretends gives less meanwhile. */
static void disk_copy(struct disk_reading *r, int64_t chunk, const char *block, size_t bytes)
{
    char *const copy = r->copies + (size_t)chunk * SW_LIST_PIECE;
    for (size_t at = 0; at < bytes; at += SW_LIST_PIECE)
        memcpy(copy, block + at, bytes - at < SW_LIST_PIECE ? bytes - at : SW_LIST_PIECE);
}

/* A sw_pool_fn: one thread's pieces, in the chunk's buffer. */
static void disk_read_pieces(void *ctx, int64_t chunk, int worker)
{
    struct disk_reading *r = ctx;
    (void)worker;
    while (chunk < r->shape.threads && !atomic_load(&r->ended)) {
        const uint64_t at = atomic_fetch_add(&r->at, r->shape.piece);
        char *const block = r->blocks + (size_t)chunk * r->shape.step;
        if (at >= r->size)
            break;
        ssize_t got;
        do
            got = pread(r->fd, block, r->shape.piece, (off_t)at);
        while (got < 0 && errno == EINTR);
        if (got < 0)
            r->status[chunk] = sw_file_fail(r->name, "read", errno);
        if (got <= 0)
            break;
        disk_copy(r, chunk, block, (size_t)got);
        atomic_fetch_add(&r->bytes, (uint64_t)got);
        const double now = sw_clock();
        if (now >= r->begin + r->seconds ||
            (chunk == 0 && now >= r->looked + WINDOW_S && disk_rate_settled(r, now)))
            atomic_store(&r->ended, true);
    }
}

/* Reads on with one shape. */
static enum sw_status disk_read_shape(struct disk_reading *r, struct sw_pool *pool, double *rate)
{
    enum sw_status status = SW_OK;
    atomic_store(&r->ended, false);
    atomic_store(&r->bytes, 0);
    memset(r->rates, 0, sizeof r->rates);
    r->begin = r->looked = sw_clock();
    sw_pool_run(pool, disk_read_pieces, r, SW_LIST_THREADS);
    const double took = sw_clock() - r->begin;
    *rate = took > 0 ? (double)atomic_load(&r->bytes) / took : 0;
    for (int i = 0; i < SW_LIST_THREADS; i++)
        status = status == SW_OK ? r->status[i] : status;
    return status;
}

/* The rate of the faster shape, as a list goes on with that; of a file that ends meanwhile, of
 * those that found some bytes. */
static enum sw_status disk_read(struct disk_reading *r, double *rate)
{
    const int shapes = r->seconds < SHORT_S ? 1 : SW_READ_SHAPES;
    struct sw_pool *pool = NULL;
    enum sw_status status = SW_OK;
    r->blocks = sw_huge_map(SW_LIST_BYTES);
    r->copies = sw_huge_map(SW_LIST_THREADS * SW_LIST_PIECE);
    if (!r->blocks || !r->copies)
        status = sw_fail(SW_ENOMEM, "no memory to read %s", r->name);
    if (status == SW_OK)
        status = sw_pool_create(SW_LIST_THREADS, NULL, 0, &pool);
    r->seconds /= shapes;
    for (int id = 0; id < shapes && status == SW_OK; id++) {
        double found = 0;
        r->shape = sw_read_shape((enum sw_read_shape_id)id, SW_LIST_THREADS);
        status = disk_read_shape(r, pool, &found);
        *rate = fmax(*rate, found);
    }
    sw_huge_unmap(r->blocks, SW_LIST_BYTES);
    sw_huge_unmap(r->copies, SW_LIST_THREADS * SW_LIST_PIECE);
    sw_pool_free(pool);
    return status;
}

enum sw_status sw_disk_rate(const char *path, int part, int parts, double seconds, double *rate)
{
    char name[4096];
    enum sw_file_kind kind;
    uint64_t size = 0;
    int fd;
    *rate = 0;
    snprintf(name, sizeof name, "%s", path);
    SW_TRY(sw_file_find(path, &kind));
    if (kind == SW_FILE_DIRECTORY)
        SW_TRY(disk_largest_file(path, name, sizeof name, &size));
    else
        SW_TRY(disk_file_size(path, &size));
    if (size < SIZE_ENOUGH)
        return sw_fail(SW_EINPUT,
                       "%s: holds no file of 1 MiB or more, too little to measure the disk with",
                       path);
    const uint64_t from = size / (uint64_t)parts * (uint64_t)part / ALIGNMENT * ALIGNMENT;
    SW_TRY(disk_open_uncached(name, from, size - from, &fd));
    struct disk_reading reading = {
        .fd = fd, .name = name, .size = size, .seconds = seconds, .at = from};
    const enum sw_status status = disk_read(&reading, rate);
    close(fd);
    return status;
}

/*
 * Owns reading of tensor data: a few open descriptors, contiguous ranges (in pieces by several
 * threads: read_pieces.c), prefetching by the system, and a gather for the strided tensors that
 * torch files may hold. Chunks are in read_ahead.c.
 */
#include "checkpoint/reader.h"

#include "base/clock.h"
#include "base/file.h"
#include "checkpoint/read_list.h"
#include "checkpoint/read_made.h"
#include "checkpoint/read_pieces.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Descriptors kept open; a stage's tensors lie in few shards, mostly one after the other. */
#define OPEN_FILES 4
/* Bytes that the system prefetches, and bytes of one request to it. */
#define AHEAD_BYTES ((uint64_t)32 << 20)
#define AHEAD_STEP ((uint64_t)4 << 20)
/* What a gather reads at once, and the gap between wanted bytes that is worth a new pread. */
#define GATHER_BYTES ((uint64_t)8 << 20)
#define GATHER_GAP ((uint64_t)256 << 10)

struct open_file {
    int file;      /* index into sw_tensors.files */
    int fd;        /* -1: free */
    uint64_t used; /* the reader's clock at its last use */
};

struct sw_reader {
    const struct sw_tensors *tensors;
    struct sw_tensor_file *files; /* (n_files) copies, for reads that do not end */
    int n_files;
    struct open_file open[OPEN_FILES];
    uint64_t clock; /* counts uses of descriptors */
    atomic_uint_fast64_t bytes;
    atomic_uint_fast64_t place; /* of the read that began last: file << PLACE_BITS | offset */
    atomic_int reading;         /* reads under way */
    atomic_bool given_up;
    struct sw_pieces pieces;
    struct sw_made_reader made; /* of the matrix that is made last */
    struct sw_read_crew crew;   /* of lists */
    /* The tensors that are read next, and how much of them was requested from the system. */
    struct {
        const struct sw_tensor *const *tensors; /* (n), borrowed */
        size_t n, at;
        int part;           /* of tensors[at], where it is made of several */
        uint64_t done;      /* bytes of that which were requested */
        uint64_t requested; /* bytes of all tensors that were requested */
        uint64_t before;    /* the reader's `bytes` when the list was set */
    } next;
    /* Kept from one tensor to the next: new pages cost as much as the reading. */
    struct {
        char *bytes;
        size_t capacity;
    } chunks[2];
};

static bool reader_copy_files(struct sw_reader *reader)
{
    const struct sw_tensors *t = reader->tensors;
    reader->files = calloc((size_t)t->n_files + 1, sizeof *reader->files);
    for (; reader->files && reader->n_files < t->n_files; reader->n_files++) {
        struct sw_tensor_file *file = &reader->files[reader->n_files];
        *file = (struct sw_tensor_file){strdup(t->files[reader->n_files].path),
                                        t->files[reader->n_files].size};
        if (!file->path)
            return false;
    }
    return reader->files != NULL;
}

const struct sw_tensor_file *sw_reader_file(const struct sw_reader *reader, int file)
{
    return &reader->files[file];
}

enum sw_status sw_reader_open(const struct sw_tensors *tensors, struct sw_reader **out)
{
    struct sw_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return sw_fail(SW_ENOMEM, "no memory for a reader of weight files");
    reader->tensors = tensors;
    for (int i = 0; i < OPEN_FILES; i++)
        reader->open[i].fd = -1;
    if (!reader_copy_files(reader)) {
        sw_reader_close(reader);
        return sw_fail(SW_ENOMEM, "no memory for the names of %d weight files", tensors->n_files);
    }
    *out = reader;
    return SW_OK;
}

void sw_reader_close(struct sw_reader *reader)
{
    if (!reader || sw_reader_is_given_up(reader))
        return;
    for (int i = 0; i < OPEN_FILES; i++)
        if (reader->open[i].fd >= 0)
            close(reader->open[i].fd);
    for (int i = 0; i < 2; i++)
        free(reader->chunks[i].bytes);
    sw_made_reader_free(&reader->made);
    sw_read_crew_free(&reader->crew);
    sw_pieces_free(&reader->pieces);
    for (int i = 0; i < reader->n_files; i++)
        free(reader->files[i].path);
    free(reader->files);
    free(reader);
}

char *sw_reader_chunk(struct sw_reader *reader, int which, size_t bytes)
{
    if (bytes > reader->chunks[which].capacity) {
        free(reader->chunks[which].bytes);
        reader->chunks[which].bytes = malloc(bytes);
        reader->chunks[which].capacity = reader->chunks[which].bytes ? bytes : 0;
    }
    return reader->chunks[which].bytes;
}

uint64_t sw_reader_bytes(const struct sw_reader *reader)
{
    return atomic_load_explicit(&reader->bytes, memory_order_relaxed);
}

void sw_reader_add_bytes(struct sw_reader *reader, uint64_t n)
{
    atomic_fetch_add_explicit(&reader->bytes, n, memory_order_relaxed);
}

/* ---- reads that do not end */

#define PLACE_BITS 48

bool sw_reader_is_given_up(const struct sw_reader *reader)
{
    return atomic_load(&reader->given_up);
}

bool sw_reader_is_reading(const struct sw_reader *reader)
{
    return atomic_load(&reader->reading) > 0;
}

/* Nobody waits for a thread whose reader was given up. */
static void reader_go_on(const struct sw_reader *reader)
{
    while (sw_reader_is_given_up(reader))
        pause();
}

void sw_reader_has_read(struct sw_reader *reader)
{
    atomic_fetch_sub(&reader->reading, 1);
    reader_go_on(reader);
}

void sw_reader_reads_at(struct sw_reader *reader, int file, uint64_t offset)
{
    reader_go_on(reader);
    atomic_store(&reader->place, (uint64_t)file << PLACE_BITS | offset);
    atomic_fetch_add(&reader->reading, 1);
}

enum sw_status sw_reader_wait(struct sw_reader *reader, struct sw_reader_wait *wait, double seconds)
{
    const double now = sw_clock();
    const uint64_t bytes = sw_reader_bytes(reader);
    if (wait->since <= 0 || bytes != wait->bytes)
        *wait = (struct sw_reader_wait){bytes, now};
    if (seconds <= 0 || now - wait->since <= seconds)
        return SW_OK;
    const uint64_t place = atomic_load(&reader->place);
    atomic_store(&reader->given_up, true);
    return sw_fail(SW_EIO,
                   "%s: nothing has come from byte %llu on for %.3g s; look at the disk or the "
                   "server that has it (dmesg), and run the command again",
                   reader->files[place >> PLACE_BITS].path,
                   (unsigned long long)(place & (((uint64_t)1 << PLACE_BITS) - 1)),
                   now - wait->since);
}

const struct sw_tensors *sw_reader_tensors(const struct sw_reader *reader)
{
    return reader->tensors;
}

struct sw_read_crew *sw_reader_crew(struct sw_reader *reader)
{
    return &reader->crew;
}

int64_t sw_reader_row_count(const struct sw_tensor *tensor)
{
    return tensor->rank == 0 ? 1 : tensor->shape[0];
}

uint64_t sw_reader_row_bytes(const struct sw_tensor *tensor)
{
    return tensor->bytes == 0 ? 0 : tensor->bytes / (uint64_t)sw_reader_row_count(tensor);
}

enum sw_status sw_reader_open_file(const struct sw_tensor_file *file, int *out)
{
    uint64_t size;
    int fd;
    SW_TRY(sw_file_open_optional(file->path, &fd, &size));
    if (fd < 0)
        return sw_fail(SW_EMODEL, "%s: does not exist any more; its header was read before",
                       file->path);
    if (size != file->size) {
        close(fd);
        return sw_fail(SW_EMODEL,
                       "%s: changed while it was in use: %llu bytes when its header was read, "
                       "%llu now; run the command again when the copy is complete",
                       file->path, (unsigned long long)file->size, (unsigned long long)size);
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *out = fd;
    return SW_OK;
}

/* The descriptor of a file, opened if need be in place of the one that was not used for longest. */
static enum sw_status reader_descriptor(struct sw_reader *reader, int file, int *fd)
{
    struct open_file *oldest = &reader->open[0];
    for (int i = 0; i < OPEN_FILES; i++) {
        struct open_file *entry = &reader->open[i];
        if (entry->fd >= 0 && entry->file == file) {
            entry->used = ++reader->clock;
            *fd = entry->fd;
            return SW_OK;
        }
        if (entry->used < oldest->used)
            oldest = entry;
    }
    int opened = -1;
    SW_TRY(sw_reader_open_file(&reader->files[file], &opened));
    if (oldest->fd >= 0)
        close(oldest->fd);
    *oldest = (struct open_file){file, opened, ++reader->clock};
    *fd = opened;
    return SW_OK;
}

void sw_reader_expect(struct sw_reader *reader, const struct sw_tensor *const *tensors, size_t n)
{
    reader->next.tensors = tensors;
    reader->next.n = n;
    reader->next.at = 0;
    reader->next.part = 0;
    reader->next.done = reader->next.requested = 0;
    reader->next.before = sw_reader_bytes(reader);
}

/* The range of the file that is requested now; past the last part of a tensor it is empty. */
static struct sw_made_part reader_next_range(const struct sw_reader *reader)
{
    const struct sw_tensor *tensor = reader->next.tensors[reader->next.at];
    const struct sw_made *made = sw_tensor_made(reader->tensors, tensor);
    if (made)
        return reader->next.part < made->n_parts ? made->parts[reader->next.part]
                                                 : (struct sw_made_part){0};
    return (struct sw_made_part){tensor->file, tensor->offset,
                                 reader->next.part == 0 ? tensor->bytes : 0, 0};
}

/* Requests more while less than AHEAD_BYTES are requested. A tensor that cannot be opened fails
 * later, when it is read. */
static void reader_prefetch(struct sw_reader *reader)
{
    const uint64_t read = sw_reader_bytes(reader) - reader->next.before;
    while (reader->next.at < reader->next.n && reader->next.requested < read + AHEAD_BYTES) {
        const struct sw_made_part range = reader_next_range(reader);
        const uint64_t left = range.bytes - reader->next.done;
        const uint64_t n = left < AHEAD_STEP ? left : AHEAD_STEP;
        int fd;
        if (n == 0 || reader_descriptor(reader, range.file, &fd) != SW_OK) {
            const bool is_last = range.bytes == 0;
            sw_error_clear();
            reader->next.requested += left;
            reader->next.done = 0;
            reader->next.part = is_last ? 0 : reader->next.part + 1;
            reader->next.at += is_last;
            continue;
        }
        (void)posix_fadvise(fd, (off_t)(range.offset + reader->next.done), (off_t)n,
                            POSIX_FADV_WILLNEED);
        reader->next.done += n;
        reader->next.requested += n;
    }
}

enum sw_status sw_reader_range(struct sw_reader *reader, int file, uint64_t offset, void *out,
                               uint64_t length)
{
    int fd;
    sw_reader_reads_at(reader, file, offset);
    reader_prefetch(reader);
    enum sw_status status = reader_descriptor(reader, file, &fd);
    if (status == SW_OK)
        status = sw_pieces_read(&reader->pieces, fd, reader->files[file].path, offset, out, length,
                                &reader->bytes);
    sw_reader_has_read(reader);
    return status;
}

/* One dimension of more than one element: strides in bytes in the file and in the buffer. */
struct axis {
    uint64_t size, from, to;
};

struct strided_gather {
    struct sw_reader *reader;
    int file;
    uint64_t element; /* bytes */
    int n_axes;
    struct axis axes[SW_MAX_RANK];  /* by descending stride in the file */
    uint64_t span[SW_MAX_RANK + 1]; /* [i]: bytes from first to last element of axes i.. */
    char *scratch;                  /* (GATHER_BYTES) */
};

/* Copies the elements of axes i.. from a piece of the file in memory to their places. */
static void scatter_axis(const struct strided_gather *g, int i, const char *from, char *to)
{
    if (i == g->n_axes) {
        memcpy(to, from, g->element);
        return;
    }
    const struct axis *a = &g->axes[i];
    if (i == g->n_axes - 1 && a->from == g->element && a->to == g->element) {
        memcpy(to, from, a->size * g->element);
        return;
    }
    for (uint64_t k = 0; k < a->size; k++)
        scatter_axis(g, i + 1, from + k * a->from, to + k * a->to);
}

/* Reads axes i.. beginning at `offset`: as many indices of axis i at once as pays. */
static enum sw_status gather_axis(const struct strided_gather *g, int i, uint64_t offset, char *to)
{
    if (g->span[i] <= GATHER_BYTES && (i == g->n_axes || g->axes[i].from < GATHER_GAP)) {
        SW_TRY(sw_reader_range(g->reader, g->file, offset, g->scratch, g->span[i]));
        scatter_axis(g, i, g->scratch, to);
        return SW_OK;
    }
    const struct axis *a = &g->axes[i];
    if (i == g->n_axes - 1 && a->from == g->element && a->to == g->element)
        return sw_reader_range(g->reader, g->file, offset, to, a->size * g->element);
    const uint64_t inner = g->span[i + 1];
    uint64_t group = 1;
    if (inner <= GATHER_BYTES && a->from < GATHER_GAP)
        group = a->from == 0 ? a->size : (GATHER_BYTES - inner) / a->from + 1;
    for (uint64_t k = 0; k < a->size; k += group) {
        const uint64_t n = group < a->size - k ? group : a->size - k;
        const uint64_t at = offset + k * a->from;
        if (group == 1) {
            SW_TRY(gather_axis(g, i + 1, at, to + k * a->to));
            continue;
        }
        SW_TRY(sw_reader_range(g->reader, g->file, at, g->scratch, (n - 1) * a->from + inner));
        for (uint64_t j = 0; j < n; j++)
            scatter_axis(g, i + 1, g->scratch + j * a->from, to + (k + j) * a->to);
    }
    return SW_OK;
}

/* The axes of `n_rows` rows of the tensor, outermost in the file first. */
static void plan_gather(struct strided_gather *g, const struct sw_tensor *tensor, int64_t n_rows)
{
    uint64_t to = g->element;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        const uint64_t size = (uint64_t)(i == 0 ? n_rows : tensor->shape[i]);
        if (size > 1) {
            const struct axis a = {size, (uint64_t)tensor->stride[i] * g->element, to};
            int at = g->n_axes++;
            for (; at > 0 && g->axes[at - 1].from < a.from; at--)
                g->axes[at] = g->axes[at - 1];
            g->axes[at] = a;
        }
        to *= size;
    }
    g->span[g->n_axes] = g->element;
    for (int i = g->n_axes - 1; i >= 0; i--)
        g->span[i] = (g->axes[i].size - 1) * g->axes[i].from + g->span[i + 1];
}

static enum sw_status reader_read_strided(struct sw_reader *reader, const struct sw_tensor *tensor,
                                          int64_t row0, int64_t n_rows, void *buffer)
{
    struct strided_gather g = {.reader = reader, .file = tensor->file};
    g.element = sw_dtype_info(tensor->dtype)->bits / 8;
    plan_gather(&g, tensor, n_rows);
    g.scratch = malloc(GATHER_BYTES);
    if (!g.scratch)
        return sw_fail(SW_ENOMEM, "no memory to gather a strided tensor");
    /* A dimension of one element may have any stride; its row is 0. */
    const uint64_t skip = row0 ? (uint64_t)row0 * (uint64_t)tensor->stride[0] * g.element : 0;
    const enum sw_status status = gather_axis(&g, 0, tensor->offset + skip, buffer);
    free(g.scratch);
    return status;
}

enum sw_status sw_reader_rows(struct sw_reader *reader, const struct sw_tensor *tensor,
                              int64_t row0, int64_t n_rows, void *buffer)
{
    const int64_t rows = sw_reader_row_count(tensor);
    if (row0 < 0 || n_rows < 0 || row0 > rows || n_rows > rows - row0)
        return sw_fail(SW_EINPUT, "tensor '%s': rows %lld to %lld were requested, it has %lld",
                       tensor->name, (long long)row0, (long long)(row0 + n_rows), (long long)rows);
    const uint64_t row_bytes = sw_reader_row_bytes(tensor);
    if (row_bytes == 0 || n_rows == 0)
        return SW_OK;
    enum sw_status status;
    if (tensor->made)
        status =
            sw_made_read(reader, sw_pieces_pool(&reader->pieces), &reader->made,
                         sw_tensor_made(reader->tensors, tensor), tensor, row0, n_rows, buffer);
    else if (sw_tensor_is_contiguous(tensor))
        status = sw_reader_range(reader, tensor->file, tensor->offset + (uint64_t)row0 * row_bytes,
                                 buffer, (uint64_t)n_rows * row_bytes);
    else
        status = reader_read_strided(reader, tensor, row0, n_rows, buffer);
    if (status != SW_OK)
        sw_error_context("tensor '%s' at byte %llu", tensor->name,
                         (unsigned long long)tensor->offset);
    return status;
}

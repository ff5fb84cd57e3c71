/* Owns the order in which a list of tensors is read, its threads, and the files open meanwhile. */
#include "checkpoint/read_list.h"

#include "base/clock.h"
#include "base/huge_pages.h"
#include "base/log.h"
#include "base/pool.h"
#include "checkpoint/adapter.h"
#include "checkpoint/direct_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_ROWS 64 /* a piece has whole groups of so many rows, which are packed together */
#define LIST_ROWS_LEAST 4
#define LIST_WHOLE ((uint64_t)256 << 10) /* most bytes of what all rows of a matrix are made of */
#define LIST_KEPT ((uint64_t)64 << 10)   /* most bytes of such a part for the page cache to keep */
#define LIST_ALIGN 64u

/* A file of the directory while it is read. */
struct list_file {
    struct sw_direct_file file;
    bool is_open;
    int64_t left; /* pieces; after the last the file is closed */
};

/* What is known of a made matrix while its pieces are read. */
struct list_made {
    pthread_mutex_t lock;
    /* Under the lock: */
    bool is_ready;
    int64_t left;               /* pieces; after the last the memory is freed */
    void *whole[SW_MADE_PARTS]; /* the parts that belong to all rows */
    void *state;                /* what the form prepared of them */
};

struct read_list {
    struct sw_reader *reader;
    const struct sw_tensors *tensors;
    const struct sw_read_list_options *options;
    const struct sw_read_item *items; /* (n) by file and offset */
    int64_t *first;                   /* (n + 1) the first piece of each item */
    struct list_made *made;           /* (n) of the items that are made */
    size_t n;
    struct sw_read_crew *crew;
    struct sw_read_shape shape;
    pthread_t caller;
    atomic_int_fast64_t next;  /* piece */
    atomic_uint_fast64_t past; /* bytes that were read past the page cache */
    pthread_mutex_t lock;
    /* Under the lock: */
    struct list_file *files; /* (tensors->n_files) */
    int64_t failed;          /* the first piece that failed; INT64_MAX: none */
    enum sw_status status;
    char message[SW_ERROR_MAX];
};

/* Bytes of a buffer that a row takes: as it was read and, if it is made of that, as it is made.
 * *parts: how many places in the file they come from. */
static size_t list_row_room(const struct sw_made *made, const struct sw_tensor *tensor, int *parts)
{
    size_t bytes = (size_t)sw_reader_row_bytes(tensor);
    *parts = 1;
    for (int i = 0; made && i < made->n_parts; i++) {
        bytes += made->parts[i].row_bytes;
        *parts += made->parts[i].row_bytes != 0;
    }
    return bytes;
}

/* Bytes that pieces' beginnings and ends may take besides. */
static size_t list_slack(int parts)
{
    return (size_t)parts * 3 * SW_DIRECT_ALIGN;
}

bool sw_read_list_takes(const struct sw_tensors *tensors, const struct sw_tensor *tensor)
{
    const struct sw_made *made = sw_tensor_made(tensors, tensor);
    uint64_t whole = 0;
    int parts;
    if (tensor->bytes == 0)
        return false;
    for (int i = 0; made && i < made->n_parts; i++)
        whole += made->parts[i].row_bytes ? 0 : made->parts[i].bytes;
    const size_t row = list_row_room(made, tensor, &parts);
    return (made ? whole <= LIST_WHOLE : sw_tensor_is_contiguous(tensor)) &&
           row * LIST_ROWS_LEAST + (made ? list_slack(parts) : 0) <= SW_LIST_PIECE;
}

/* Rows of a piece: whole groups where they fit into the shape's piece, one group where it fits into
 * the buffer, else less. */
static int64_t list_piece_rows(const struct read_list *l, const struct sw_tensor *tensor)
{
    const struct sw_made *made = sw_tensor_made(l->tensors, tensor);
    const size_t piece = l->shape.piece;
    int parts;
    const size_t row = list_row_room(made, tensor, &parts);
    const size_t room = l->shape.room - (made ? list_slack(parts) : 0);
    if (!made && row * LIST_ROWS <= piece)
        return (int64_t)(piece / (row * LIST_ROWS) * LIST_ROWS);
    if (made && row * LIST_ROWS <= room) {
        const size_t most = 2 * piece < room ? 2 * piece : room;
        return row * LIST_ROWS <= most ? (int64_t)(most / (row * LIST_ROWS) * LIST_ROWS)
                                       : LIST_ROWS;
    }
    int64_t rows = LIST_ROWS;
    while (rows > LIST_ROWS_LEAST && row * (size_t)rows > room)
        rows /= 2;
    return rows;
}

/* ---- files */

static enum sw_status list_file_take(struct read_list *l, int index, struct sw_direct_file **out)
{
    struct list_file *f = &l->files[index];
    enum sw_status status = SW_OK;
    pthread_mutex_lock(&l->lock);
    if (!f->is_open) {
        status = sw_direct_open(sw_reader_file(l->reader, index), l->options->past_cache, &f->file);
        f->is_open = status == SW_OK;
    }
    pthread_mutex_unlock(&l->lock);
    *out = &f->file;
    return status;
}

static void list_file_leave(struct read_list *l, int index)
{
    struct list_file *f = &l->files[index];
    pthread_mutex_lock(&l->lock);
    if (--f->left == 0 && f->is_open) {
        sw_direct_close(&f->file);
        f->is_open = false;
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- pieces */

static void list_fail(struct read_list *l, int64_t piece, enum sw_status status)
{
    pthread_mutex_lock(&l->lock);
    if (piece < l->failed) {
        l->failed = piece;
        l->status = status;
        snprintf(l->message, sizeof l->message, "%s", sw_error_message());
    }
    pthread_mutex_unlock(&l->lock);
    sw_error_clear();
}

static bool list_is_over(struct read_list *l, int64_t piece)
{
    pthread_mutex_lock(&l->lock);
    const bool is_over = piece > l->failed;
    pthread_mutex_unlock(&l->lock);
    return is_over;
}

static size_t list_item_of(const struct read_list *l, int64_t piece)
{
    size_t low = 0, high = l->n;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (l->first[middle] <= piece)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static enum sw_status list_read(struct read_list *l, int index, uint64_t offset, uint64_t length,
                                size_t element, void *buffer, const void **data)
{
    struct sw_direct_file *file;
    sw_reader_reads_at(l->reader, index, offset);
    enum sw_status status = list_file_take(l, index, &file);
    bool is_past = false;
    if (status == SW_OK)
        status = sw_direct_read(file, offset, (size_t)length, element, buffer, data, &is_past);
    sw_reader_has_read(l->reader);
    if (status == SW_OK)
        sw_reader_add_bytes(l->reader, length);
    if (is_past)
        atomic_fetch_add(&l->past, length);
    return status;
}

/* As list_read, of little that is read again in each pass: it would wait behind large reads. */
static enum sw_status list_read_kept(struct read_list *l, const struct sw_made_part *part,
                                     void *out)
{
    struct sw_direct_file *file;
    sw_reader_reads_at(l->reader, part->file, part->offset);
    enum sw_status status = list_file_take(l, part->file, &file);
    if (status == SW_OK)
        status = sw_direct_read_kept(file, part->offset, out, part->bytes);
    sw_reader_has_read(l->reader);
    if (status == SW_OK)
        sw_reader_add_bytes(l->reader, part->bytes);
    return status;
}

/* Reads what all rows are made of. */
static enum sw_status list_read_whole(struct read_list *l, struct list_made *m,
                                      const struct sw_made *made, const struct sw_tensor *t,
                                      void *buffer)
{
    const void *data;
    for (int i = 0; i < made->n_parts; i++) {
        const struct sw_made_part *part = &made->parts[i];
        if (part->row_bytes != 0)
            continue;
        if (!m->whole[i])
            m->whole[i] = malloc(part->bytes ? part->bytes : 1);
        if (!m->whole[i])
            return sw_fail(SW_ENOMEM, "no memory for %llu bytes of matrix '%s'",
                           (unsigned long long)part->bytes, t->name);
        if (part->bytes <= LIST_KEPT) {
            SW_TRY(list_read_kept(l, part, m->whole[i]));
            continue;
        }
        SW_TRY(list_read(l, part->file, part->offset, part->bytes, 1, buffer, &data));
        memcpy(m->whole[i], data, part->bytes);
    }
    const struct sw_made_rows rows = {t, made, (const void *const *)m->whole, NULL, 0, 0};
    return made->form->prepare ? made->form->prepare(&rows, &m->state) : SW_OK;
}

/* The first piece of a matrix makes it ready for all of them. */
static enum sw_status list_make_ready(struct read_list *l, struct list_made *m,
                                      const struct sw_made *made, const struct sw_tensor *t,
                                      void *buffer)
{
    enum sw_status status = SW_OK;
    pthread_mutex_lock(&m->lock);
    if (!m->is_ready)
        status = list_read_whole(l, m, made, t, buffer);
    m->is_ready = status == SW_OK;
    pthread_mutex_unlock(&m->lock);
    return status;
}

static char *list_align(char *at)
{
    return at + (LIST_ALIGN - (uintptr_t)at % LIST_ALIGN) % LIST_ALIGN;
}

/* Makes rows [row0, row0 + n) in the buffer. */
static enum sw_status list_make_rows(struct read_list *l, struct list_made *m,
                                     const struct sw_made *made, const struct sw_tensor *t,
                                     int64_t row0, int64_t n, char *buffer, const void **data)
{
    const void *parts[SW_MADE_PARTS] = {NULL};
    SW_TRY(list_make_ready(l, m, made, t, buffer));
    for (int i = 0; i < made->n_parts; i++) {
        const struct sw_made_part *part = &made->parts[i];
        parts[i] = m->whole[i];
        if (part->row_bytes == 0)
            continue;
        const uint64_t length = (uint64_t)n * part->row_bytes;
        SW_TRY(list_read(l, part->file, part->offset + (uint64_t)row0 * part->row_bytes, length, 1,
                         buffer, &parts[i]));
        buffer += sw_direct_room((size_t)length);
    }
    const struct sw_made_rows rows = {t, made, parts, m->state, row0, n};
    char *const out = list_align(buffer);
    made->form->make(&rows, out);
    *data = out;
    return SW_OK;
}

static enum sw_status list_read_piece(struct read_list *l, size_t at, int64_t index, void *buffer)
{
    const struct sw_read_item *item = &l->items[at];
    const struct sw_tensor *t = item->tensor;
    const struct sw_made *made = sw_tensor_made(l->tensors, t);
    const int64_t step = list_piece_rows(l, t), row0 = index * step;
    const int64_t left = sw_reader_row_count(t) - row0, n = left < step ? left : step;
    const uint64_t row_bytes = sw_reader_row_bytes(t);
    const void *data;
    const enum sw_status status =
        made ? list_make_rows(l, &l->made[at], made, t, row0, n, buffer, &data)
             : list_read(l, t->file, t->offset + (uint64_t)row0 * row_bytes,
                         (uint64_t)n * row_bytes, sizeof(double), buffer, &data);
    if (status != SW_OK) {
        sw_error_context("tensor '%s' at byte %llu", t->name, (unsigned long long)t->offset);
        return status;
    }
    return item->sink(item->context, row0, n, data);
}

static void list_made_forget(struct list_made *m)
{
    for (int k = 0; k < SW_MADE_PARTS; k++)
        free(m->whole[k]);
    free(m->state);
    m->state = NULL;
    memset(m->whole, 0, sizeof m->whole);
}

/* A piece of an item is over. */
static void list_leave(struct read_list *l, size_t at)
{
    const struct sw_tensor *t = l->items[at].tensor;
    const struct sw_made *made = sw_tensor_made(l->tensors, t);
    pthread_mutex_lock(&l->made[at].lock);
    if (--l->made[at].left == 0)
        list_made_forget(&l->made[at]);
    pthread_mutex_unlock(&l->made[at].lock);
    if (!made)
        list_file_leave(l, t->file);
    for (int i = 0; made && i < made->n_parts; i++)
        list_file_leave(l, made->parts[i].file);
}

static void list_work(void *ctx, int64_t chunk, int worker)
{
    struct read_list *l = ctx;
    const int64_t end = l->first[l->n];
    const bool is_caller = pthread_equal(pthread_self(), l->caller);
    (void)worker;
    if (chunk >= l->shape.threads)
        return;
    for (int64_t piece; (piece = atomic_fetch_add(&l->next, 1)) < end;) {
        const size_t at = list_item_of(l, piece);
        enum sw_status status = SW_OK;
        if (!list_is_over(l, piece))
            status = list_read_piece(l, at, piece - l->first[at],
                                     l->crew->buffers + (size_t)chunk * l->shape.step);
        if (status == SW_OK && is_caller && l->options->pulse)
            status = l->options->pulse(l->options->context);
        if (status != SW_OK)
            list_fail(l, piece, status);
        list_leave(l, at);
    }
}

/* ---- threads */

void sw_read_crew_free(struct sw_read_crew *crew)
{
    const double *rate = crew->rates.rate;
    if (crew->rates.readings > 1)
        sw_log(SW_LOG_DEBUG, "read past the page cache: %.2f GB/s in small pieces, %.2f in large",
               rate[SW_READ_SMALL] / 1e9, rate[SW_READ_LARGE] / 1e9);
    sw_pool_free(crew->pool);
    sw_huge_unmap(crew->buffers, SW_LIST_BYTES);
    *crew = (struct sw_read_crew){0};
}

static int list_threads(int wanted)
{
    const int n = wanted > SW_LIST_THREADS ? wanted : SW_LIST_THREADS;
    return n < SW_LIST_THREADS_MAX ? n : SW_LIST_THREADS_MAX;
}

static enum sw_status list_start_crew(struct sw_read_crew *crew, int wanted)
{
    if (crew->threads)
        return SW_OK;
    int threads = list_threads(wanted);
    if (sw_pool_create(threads, NULL, 0, &crew->pool) != SW_OK) {
        sw_error_clear();
        crew->pool = NULL;
        threads = 1;
    }
    crew->buffers = sw_huge_map(SW_LIST_BYTES);
    if (!crew->buffers) {
        sw_read_crew_free(crew);
        return sw_fail(SW_ENOMEM, "no memory for the buffers of %d threads that read", threads);
    }
    crew->threads = threads;
    return SW_OK;
}

/* ---- the list */

static int list_by_place(const void *a, const void *b)
{
    const struct sw_tensor *x = ((const struct sw_read_item *)a)->tensor;
    const struct sw_tensor *y = ((const struct sw_read_item *)b)->tensor;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static void list_count_pieces(struct read_list *l)
{
    l->first[0] = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct sw_tensor *t = l->items[i].tensor;
        const int64_t step = list_piece_rows(l, t);
        const int64_t pieces = (sw_reader_row_count(t) + step - 1) / step;
        l->first[i + 1] = l->first[i] + pieces;
        l->made[i].left = pieces;
        const struct sw_made *made = sw_tensor_made(l->tensors, t);
        if (!made)
            l->files[t->file].left += pieces;
        for (int k = 0; made && k < made->n_parts; k++)
            l->files[made->parts[k].file].left += pieces;
    }
}

static void list_free_made(struct read_list *l)
{
    for (size_t i = 0; l->made && i < l->n; i++) {
        list_made_forget(&l->made[i]);
        pthread_mutex_destroy(&l->made[i].lock);
    }
    free(l->made);
}

/* Reads the items of *l, which are sorted, with its shape. */
static enum sw_status list_run(struct read_list *l)
{
    const struct sw_read_list_options *options = l->options;
    enum sw_status status = SW_OK;
    l->first = malloc((l->n + 1) * sizeof *l->first);
    l->files = calloc((size_t)l->tensors->n_files, sizeof *l->files);
    l->made = calloc(l->n, sizeof *l->made);
    for (size_t i = 0; l->made && i < l->n; i++)
        pthread_mutex_init(&l->made[i].lock, NULL);
    if (!l->first || !l->files || !l->made) {
        status = sw_fail(SW_ENOMEM, "no memory for a list of %zu tensors", l->n);
        goto undo;
    }
    list_count_pieces(l);
    pthread_mutex_init(&l->lock, NULL);
    const int64_t pieces = l->first[l->n];
    /* A chunk for every thread, so that the caller has one, whose pulse is waited for. */
    sw_pool_run(l->crew->pool, list_work, l, pieces < l->shape.threads ? pieces : l->crew->threads);
    pthread_mutex_destroy(&l->lock);
    if (l->failed != INT64_MAX)
        status = sw_fail(l->status, "%s", l->message);
    else if (options->pulse)
        status = options->pulse(options->context);
undo:
    list_free_made(l);
    free(l->files);
    free(l->first);
    return status;
}

/* How many of the items have so many bytes. */
static size_t list_share(const struct sw_read_item *items, size_t n, uint64_t bytes)
{
    size_t share = 0;
    for (uint64_t sum = 0; share < n && sum < bytes; share++)
        sum += items[share].tensor->bytes;
    return share;
}

enum sw_status sw_read_list_run(struct sw_reader *reader, struct sw_read_item *items, size_t n,
                                const struct sw_read_list_options *options)
{
    struct sw_read_crew *crew = sw_reader_crew(reader);
    if (n == 0)
        return SW_OK;
    SW_TRY(list_start_crew(crew, options->threads));
    qsort(items, n, sizeof *items, list_by_place);
    for (size_t at = 0; at < n;) {
        uint64_t bytes = UINT64_MAX;
        const enum sw_read_shape_id id =
            options->past_cache ? sw_read_rates_next(&crew->rates, &bytes) : SW_READ_SMALL;
        struct read_list l = {.reader = reader,
                              .tensors = sw_reader_tensors(reader),
                              .options = options,
                              .items = items + at,
                              .n = list_share(items + at, n - at, bytes),
                              .crew = crew,
                              .shape = sw_read_shape(id, crew->threads),
                              .caller = pthread_self(),
                              .failed = INT64_MAX};
        const double start = sw_clock();
        SW_TRY(list_run(&l));
        sw_read_rates_saw(&crew->rates, id, atomic_load(&l.past), sw_clock() - start);
        at += l.n;
    }
    return SW_OK;
}

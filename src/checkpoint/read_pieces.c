/* Owns the threads that read one range together. */
#include "checkpoint/read_pieces.h"

#include "base/file.h"
#include "base/pool.h"

#include <pthread.h>
#include <string.h>

struct piece_range {
    int fd;
    const char *path;
    uint64_t offset, length;
    char *out;
    atomic_uint_fast64_t *bytes;
    pthread_mutex_t lock;
    /* Under the lock: the failure at the lowest offset. */
    int64_t failed; /* index of its piece; -1: none */
    enum sw_status status;
    char message[SW_ERROR_MAX];
};

static void record_failure(struct piece_range *r, int64_t piece, enum sw_status status)
{
    pthread_mutex_lock(&r->lock);
    if (r->failed < 0 || piece < r->failed) {
        r->failed = piece;
        r->status = status;
        strncpy(r->message, sw_error_message(), sizeof r->message - 1);
    }
    pthread_mutex_unlock(&r->lock);
}

static void read_piece(void *ctx, int64_t piece, int worker)
{
    struct piece_range *r = ctx;
    const uint64_t at = (uint64_t)piece * SW_READ_PIECE, left = r->length - at;
    const uint64_t n = left < SW_READ_PIECE ? left : SW_READ_PIECE;
    (void)worker;
    const enum sw_status status =
        sw_file_read_at(r->fd, r->path, r->offset + at, r->out + at, (size_t)n);
    if (status == SW_OK)
        atomic_fetch_add_explicit(r->bytes, n, memory_order_relaxed);
    else
        record_failure(r, piece, status);
}

struct sw_pool *sw_pieces_pool(struct sw_pieces *pieces)
{
    if (!pieces->tried && sw_pool_create(SW_READ_THREADS, NULL, 0, &pieces->pool) != SW_OK) {
        pieces->pool = NULL;
        sw_error_clear();
    }
    pieces->tried = 1;
    return pieces->pool;
}

enum sw_status sw_pieces_read(struct sw_pieces *pieces, int fd, const char *path, uint64_t offset,
                              void *out, uint64_t length, atomic_uint_fast64_t *bytes)
{
    const int64_t n = (int64_t)((length + SW_READ_PIECE - 1) / SW_READ_PIECE);
    struct piece_range r = {.fd = fd,
                            .path = path,
                            .offset = offset,
                            .length = length,
                            .out = out,
                            .bytes = bytes,
                            .failed = -1};
    pthread_mutex_init(&r.lock, NULL);
    sw_pool_run(n > 1 ? sw_pieces_pool(pieces) : NULL, read_piece, &r, n);
    pthread_mutex_destroy(&r.lock);
    return r.failed < 0 ? SW_OK : sw_fail(r.status, "%s", r.message);
}

void sw_pieces_free(struct sw_pieces *pieces)
{
    sw_pool_free(pieces->pool);
    *pieces = (struct sw_pieces){NULL, 0};
}

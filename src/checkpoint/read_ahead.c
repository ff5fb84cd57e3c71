/*
 * Owns reading a tensor in chunks while the caller works on the one before: two buffers and one
 * thread that lives as long as the call.
 */
#include "checkpoint/reader.h"

#include "base/thread_fail.h"
#include "base/thread_start.h"

#include <pthread.h>
#include <string.h>

struct read_ahead {
    struct sw_reader *reader;
    const struct sw_tensor *tensor;
    int64_t row0, n_rows, per_chunk;
    char *buffer[2];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock: */
    int64_t n_read, n_taken; /* chunks; n_read - n_taken buffers are full */
    bool stop;
    enum sw_status status; /* of the reading thread, with its message */
    char error[SW_ERROR_MAX];
};

static int64_t rows_of_chunk(const struct read_ahead *a, int64_t chunk)
{
    const int64_t left = a->n_rows - chunk * a->per_chunk;
    return left < a->per_chunk ? left : a->per_chunk;
}

static int64_t chunk_count(const struct read_ahead *a)
{
    return a->n_rows / a->per_chunk + (a->n_rows % a->per_chunk != 0);
}

static void *read_chunks(void *argument)
{
    struct read_ahead *a = argument;
    const int64_t n = chunk_count(a);
    for (int64_t chunk = 0; chunk < n; chunk++) {
        pthread_mutex_lock(&a->lock);
        while (!a->stop && chunk - a->n_taken >= 2)
            pthread_cond_wait(&a->changed, &a->lock);
        const bool stop = a->stop;
        pthread_mutex_unlock(&a->lock);
        if (stop)
            break;
        const enum sw_status status =
            sw_reader_rows(a->reader, a->tensor, a->row0 + chunk * a->per_chunk,
                           rows_of_chunk(a, chunk), a->buffer[chunk % 2]);
        pthread_mutex_lock(&a->lock);
        if (status == SW_OK) {
            a->n_read++;
        } else {
            a->status = status;
            strncpy(a->error, sw_error_message(), sizeof a->error - 1);
        }
        pthread_cond_signal(&a->changed);
        pthread_mutex_unlock(&a->lock);
        if (status != SW_OK)
            break;
    }
    return NULL;
}

static enum sw_status consume_chunks(struct read_ahead *a, sw_reader_sink *sink, void *context)
{
    const int64_t n = chunk_count(a);
    for (int64_t chunk = 0; chunk < n; chunk++) {
        pthread_mutex_lock(&a->lock);
        while (a->n_read <= chunk && a->status == SW_OK)
            pthread_cond_wait(&a->changed, &a->lock);
        const bool here = a->n_read > chunk;
        pthread_mutex_unlock(&a->lock);
        if (!here)
            return sw_fail(a->status, "%s", a->error);
        SW_TRY(sink(context, a->row0 + chunk * a->per_chunk, rows_of_chunk(a, chunk),
                    a->buffer[chunk % 2]));
        pthread_mutex_lock(&a->lock);
        a->n_taken++;
        pthread_cond_signal(&a->changed);
        pthread_mutex_unlock(&a->lock);
    }
    return SW_OK;
}

static enum sw_status read_and_consume(struct read_ahead *a, sw_reader_sink *sink, void *context)
{
    pthread_t thread;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    enum sw_status status;
    const int error = sw_thread_start(&thread, NULL, read_chunks, a);
    if (error != 0) {
        status = sw_thread_fail("the thread that reads weights", error, "");
        goto undo_lock;
    }
    status = consume_chunks(a, sink, context);
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    pthread_join(thread, NULL);
undo_lock:
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    return status;
}

enum sw_status sw_reader_each_chunk(struct sw_reader *reader, const struct sw_tensor *tensor,
                                    int64_t row0, int64_t n_rows, size_t chunk_bytes,
                                    sw_reader_sink *sink, void *context)
{
    const uint64_t row_bytes = sw_reader_row_bytes(tensor);
    SW_TRY(sw_reader_rows(reader, tensor, row0, 0, NULL));
    if (n_rows < 0 || n_rows > sw_reader_row_count(tensor) - row0)
        return sw_fail(SW_EINPUT,
                       "tensor '%s': %lld rows from row %lld were requested, it has %lld",
                       tensor->name, (long long)n_rows, (long long)row0,
                       (long long)sw_reader_row_count(tensor));
    if (row_bytes == 0 || n_rows == 0)
        return SW_OK;
    struct read_ahead a = {.reader = reader, .tensor = tensor, .row0 = row0, .n_rows = n_rows};
    a.per_chunk = (int64_t)(chunk_bytes / row_bytes);
    if (a.per_chunk < 1)
        a.per_chunk = 1;
    if (a.per_chunk > n_rows)
        a.per_chunk = n_rows;
    const int buffers = n_rows > a.per_chunk ? 2 : 1;
    const size_t bytes = (size_t)a.per_chunk * (size_t)row_bytes;
    enum sw_status status = SW_OK;
    for (int i = 0; i < buffers; i++) {
        a.buffer[i] = sw_reader_chunk(reader, i, bytes);
        if (!a.buffer[i])
            status = sw_fail(SW_ENOMEM, "no memory for a chunk of %zu bytes of tensor '%s'", bytes,
                             tensor->name);
    }
    if (status == SW_OK && buffers == 2) {
        status = read_and_consume(&a, sink, context);
    } else if (status == SW_OK) {
        status = sw_reader_rows(reader, tensor, row0, n_rows, a.buffer[0]);
        if (status == SW_OK)
            status = sink(context, row0, n_rows, a.buffer[0]);
    }
    return status;
}

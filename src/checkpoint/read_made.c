/* Owns the parts of a matrix in memory while its rows are made, by all threads of the reader. */
#include "checkpoint/read_made.h"

#include "base/pool.h"
#include "checkpoint/adapter.h"

#include <stdlib.h>

/* Elements of the rows that a thread makes at a time. */
#define SHARE_ELEMENTS 65536

static void made_forget(struct sw_made_reader *m)
{
    for (int i = 0; i < SW_MADE_PARTS; i++) {
        free(m->whole[i]);
        m->whole[i] = NULL;
    }
    free(m->state);
    m->state = NULL;
    m->of = NULL;
}

void sw_made_reader_free(struct sw_made_reader *m)
{
    made_forget(m);
    free(m->rows);
    *m = (struct sw_made_reader){0};
}

static enum sw_status made_read_whole(struct sw_reader *reader, struct sw_made_reader *m,
                                      const struct sw_made *made, const struct sw_tensor *tensor)
{
    for (int i = 0; i < made->n_parts; i++) {
        const struct sw_made_part *part = &made->parts[i];
        if (part->row_bytes != 0)
            continue;
        m->whole[i] = malloc(part->bytes ? part->bytes : 1);
        if (!m->whole[i])
            return sw_fail(SW_ENOMEM, "no memory for %llu bytes of matrix '%s'",
                           (unsigned long long)part->bytes, tensor->name);
        SW_TRY(sw_reader_range(reader, part->file, part->offset, m->whole[i], part->bytes));
    }
    const struct sw_made_rows rows = {tensor, made, (const void *const *)m->whole, NULL, 0, 0};
    return made->form->prepare ? made->form->prepare(&rows, &m->state) : SW_OK;
}

/* Makes this the matrix that is read. */
static enum sw_status made_begin(struct sw_reader *reader, struct sw_made_reader *m,
                                 const struct sw_made *made, const struct sw_tensor *tensor)
{
    if (m->of == made)
        return SW_OK;
    made_forget(m);
    const enum sw_status status = made_read_whole(reader, m, made, tensor);
    if (status == SW_OK)
        m->of = made;
    else
        made_forget(m);
    return status;
}

/* The bytes of a chunk's rows, part behind part; parts[i]: where those of part i are. */
static enum sw_status made_read_rows(struct sw_reader *reader, struct sw_made_reader *m,
                                     const struct sw_made *made, const struct sw_tensor *tensor,
                                     int64_t row0, int64_t n_rows, const void *parts[SW_MADE_PARTS])
{
    const uint64_t first = (uint64_t)row0, n = (uint64_t)n_rows;
    uint64_t bytes = 0, at = 0;
    for (int i = 0; i < made->n_parts; i++)
        bytes += n * made->parts[i].row_bytes;
    if (bytes > m->capacity) {
        free(m->rows);
        m->rows = malloc(bytes);
        m->capacity = m->rows ? bytes : 0;
        if (!m->rows)
            return sw_fail(SW_ENOMEM, "no memory for rows of matrix '%s'", tensor->name);
    }
    for (int i = 0; i < made->n_parts; i++) {
        const struct sw_made_part *part = &made->parts[i];
        parts[i] = m->whole[i];
        if (part->row_bytes == 0)
            continue;
        parts[i] = m->rows + at;
        SW_TRY(sw_reader_range(reader, part->file, part->offset + first * part->row_bytes,
                               m->rows + at, n * part->row_bytes));
        at += n * part->row_bytes;
    }
    return SW_OK;
}

/* Rows of a chunk, in shares. */
struct made_chunk {
    struct sw_made_rows rows; /* all of the chunk */
    int64_t share;            /* rows */
    uint64_t row_bytes;       /* of what is made */
    char *out;
};

static void made_share(void *ctx, int64_t chunk, int worker)
{
    const struct made_chunk *c = ctx;
    const int64_t first = chunk * c->share, left = c->rows.n_rows - first;
    const void *parts[SW_MADE_PARTS] = {NULL};
    struct sw_made_rows rows = c->rows;
    (void)worker;
    for (int i = 0; i < rows.made->n_parts; i++)
        parts[i] = (const char *)c->rows.parts[i] + (uint64_t)first * rows.made->parts[i].row_bytes;
    rows.parts = parts;
    rows.row0 += first;
    rows.n_rows = left < c->share ? left : c->share;
    rows.made->form->make(&rows, c->out + (uint64_t)first * c->row_bytes);
}

enum sw_status sw_made_read(struct sw_reader *reader, struct sw_pool *pool,
                            struct sw_made_reader *m, const struct sw_made *made,
                            const struct sw_tensor *tensor, int64_t row0, int64_t n_rows,
                            void *buffer)
{
    const void *parts[SW_MADE_PARTS] = {NULL};
    SW_TRY(made_begin(reader, m, made, tensor));
    SW_TRY(made_read_rows(reader, m, made, tensor, row0, n_rows, parts));
    const int64_t share = SHARE_ELEMENTS / tensor->shape[1];
    struct made_chunk chunk = {.rows = {tensor, made, parts, m->state, row0, n_rows},
                               .share = share > 0 ? share : 1,
                               .row_bytes = sw_reader_row_bytes(tensor),
                               .out = buffer};
    sw_pool_run(pool, made_share, &chunk, (n_rows + chunk.share - 1) / chunk.share);
    return SW_OK;
}

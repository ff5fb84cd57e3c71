/* Owns the rows of logits of a comparison on their way from the last stage. */
#include "cmd/logit_rows.h"

#include "base/cpu_info.h"
#include "base/pool.h"
#include "sample/sampler.h"

#include <stdlib.h>
#include <string.h>

#define GROUP 16 /* rows that are worked on at once */

struct sw_logit_rows {
    struct sw_session *s;
    const struct sw_text_windows *windows;
    struct sw_row_file *file;
    struct sw_comparison *comparison; /* NULL: rows are written */
    size_t vocab, row_bytes;
    uint64_t n_taken, n_done;                     /* rows of the whole text */
    int n;                                        /* rows in the group */
    float *logits;                                /* (GROUP, vocab) */
    char *base;                                   /* (GROUP, row_bytes) */
    struct sw_divergence results[GROUP];          /* of each row of the group */
    enum sw_status statuses[GROUP];               /* likewise */
    struct sw_divergence_buffers *buffers[GROUP]; /* one for each row of a group */
};

enum sw_status sw_logit_rows_open(struct sw_session *s, const struct sw_text_windows *windows,
                                  struct sw_row_file *file, struct sw_comparison *comparison,
                                  struct sw_logit_rows **out)
{
    struct sw_logit_rows *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return sw_fail(SW_ENOMEM, "no memory for rows of logits");
    r->s = s;
    r->windows = windows;
    r->file = file;
    r->comparison = comparison;
    r->vocab = (size_t)s->model->dims.vocab;
    r->row_bytes = sw_base_row_bytes(r->vocab);
    r->logits = malloc(GROUP * r->vocab * sizeof *r->logits);
    r->base = malloc(GROUP * r->row_bytes);
    enum sw_status status =
        r->logits && r->base ? SW_OK : sw_fail(SW_ENOMEM, "no memory for %d rows of logits", GROUP);
    for (int i = 0; i < GROUP && status == SW_OK; i++)
        status = sw_divergence_open(r->vocab, sw_cpu_isa(), &r->buffers[i]);
    if (status == SW_OK)
        *out = r;
    else
        sw_logit_rows_close(r);
    return status;
}

void sw_logit_rows_close(struct sw_logit_rows *r)
{
    if (!r)
        return;
    for (int i = 0; i < GROUP; i++)
        sw_divergence_close(r->buffers[i]);
    free(r->logits);
    free(r->base);
    free(r);
}

/* The id that follows a row of the text. */
static int32_t logit_rows_next(const struct sw_logit_rows *r, uint64_t row)
{
    const uint64_t scored = (uint64_t)sw_text_windows_scored(r->windows);
    const uint64_t window = row / scored, from = (uint64_t)sw_text_windows_from(r->windows);
    return r->windows->ids.items[window * (uint64_t)r->windows->size + from + row % scored];
}

static void logit_rows_work(void *context, int64_t row, int worker)
{
    struct sw_logit_rows *r = context;
    struct sw_base_row *base = (struct sw_base_row *)(void *)(r->base + (size_t)row * r->row_bytes);
    const float *logits = r->logits + (size_t)row * r->vocab;
    const int32_t next = logit_rows_next(r, r->n_done + (uint64_t)row);
    (void)worker;
    r->statuses[row] =
        r->comparison
            ? sw_divergence_of(r->buffers[row], base, logits, r->vocab, next, &r->results[row])
            : sw_base_row_make(r->buffers[row], logits, r->vocab, next, base);
}

/* Works on the rows of the group. */
static enum sw_status logit_rows_flush(struct sw_logit_rows *r)
{
    struct sw_pool *pool;
    SW_TRY(sw_session_pool(r->s, &pool));
    if (r->comparison)
        SW_TRY(sw_row_file_read(r->file, r->n_done, r->base, (uint64_t)r->n));
    sw_pool_run(pool, logit_rows_work, r, r->n);
    for (int i = 0; i < r->n; i++) {
        if (r->statuses[i] != SW_OK)
            return sw_logits_undefined();
        if (r->comparison)
            sw_comparison_add(r->comparison, &r->results[i]);
    }
    if (!r->comparison)
        SW_TRY(sw_row_file_write(r->file, r->n_done, r->base, (uint64_t)r->n));
    r->n_done += (uint64_t)r->n;
    r->n = 0;
    return SW_OK;
}

enum sw_status sw_logit_rows_take(void *context, const struct sw_span *span, const float *logits)
{
    struct sw_logit_rows *r = context;
    const uint64_t scored = (uint64_t)sw_text_windows_scored(r->windows);
    for (int64_t i = 0; i < span->n; i++, r->n_taken++) {
        const int64_t expected =
            sw_text_windows_from(r->windows) - 1 + (int64_t)(r->n_taken % scored);
        if (span->position + i != expected || r->n_taken >= scored * r->windows->n)
            return sw_fail(SW_EPEER,
                           "logits of position %lld came, expected %lld; start the same program on "
                           "every host",
                           (long long)(span->position + i), (long long)expected);
        memcpy(r->logits + (size_t)r->n * r->vocab, logits + (size_t)i * r->vocab,
               r->vocab * sizeof *logits);
        if (++r->n == GROUP)
            SW_TRY(logit_rows_flush(r));
    }
    return SW_OK;
}

enum sw_status sw_logit_rows_finish(void *context)
{
    struct sw_logit_rows *r = context;
    SW_TRY(logit_rows_flush(r));
    const uint64_t all = (uint64_t)sw_text_windows_scored(r->windows) * r->windows->n;
    return r->n_done == all ? SW_OK
                            : sw_fail(SW_EPEER,
                                      "logits of %llu tokens came, expected %llu; start the same "
                                      "program on every host",
                                      (unsigned long long)r->n_done, (unsigned long long)all);
}

/* Owns what the two threads of a request share. */
#include "serve/exchange.h"

#include <stdlib.h>
#include <string.h>

struct sw_exchange *sw_exchange_create(void)
{
    struct sw_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    if (pthread_mutex_init(&x->lock, NULL) != 0) {
        free(x);
        return NULL;
    }
    x->references = 1;
    return x;
}

struct sw_exchange *sw_exchange_keep(struct sw_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->references++;
    pthread_mutex_unlock(&x->lock);
    return x;
}

void sw_exchange_release(struct sw_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool last = --x->references == 0;
    pthread_mutex_unlock(&x->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&x->lock);
    sw_strbuf_free(&x->body);
    sw_strbuf_free(&x->out);
    free(x);
}

/* Lets the HTTP thread look at the connection again. Under the lock. */
static void exchange_resume(struct sw_exchange *x)
{
    if (x->is_suspended && x->connection) {
        x->is_suspended = false;
        x->resume(x->connection);
    }
}

void sw_exchange_reply(struct sw_exchange *x, int status, const char *type, struct sw_strbuf *body)
{
    pthread_mutex_lock(&x->lock);
    if (body->failed) {
        x->is_abandoned = true;
    } else {
        sw_strbuf_free(&x->out);
        x->out = *body;
        *body = (struct sw_strbuf){0};
    }
    x->status = status;
    x->type = type;
    x->is_finished = true;
    exchange_resume(x);
    pthread_mutex_unlock(&x->lock);
    sw_strbuf_free(body);
}

void sw_exchange_begin_stream(struct sw_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->status = 200;
    x->type = "text/event-stream";
    x->is_stream = true;
    exchange_resume(x);
    pthread_mutex_unlock(&x->lock);
}

void sw_exchange_write(struct sw_exchange *x, const char *bytes, size_t n)
{
    pthread_mutex_lock(&x->lock);
    if (!x->is_abandoned && x->connection) {
        if (x->taken > x->out.length / 2) { /* sent bytes make room */
            memmove(x->out.text, x->out.text + x->taken, x->out.length - x->taken);
            x->out.length -= x->taken;
            x->taken = 0;
        }
        sw_strbuf_append(&x->out, bytes, n);
        x->is_abandoned = x->out.failed;
        exchange_resume(x);
    }
    pthread_mutex_unlock(&x->lock);
}

void sw_exchange_finish(struct sw_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    x->is_finished = true;
    exchange_resume(x);
    pthread_mutex_unlock(&x->lock);
}

bool sw_exchange_is_abandoned(struct sw_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool is = x->is_abandoned;
    pthread_mutex_unlock(&x->lock);
    return is;
}

bool sw_exchange_is_begun(struct sw_exchange *x)
{
    pthread_mutex_lock(&x->lock);
    const bool is = x->status != 0;
    pthread_mutex_unlock(&x->lock);
    return is;
}

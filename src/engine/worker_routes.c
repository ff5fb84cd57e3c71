/* Owns the way of chosen experts to rank 0, and into its file. */
#include "engine/driver_impl.h"

#include <string.h>

static enum sw_status routes_take(void *context, int layer, const int32_t *chosen, int n_rows)
{
    struct sw_worker *w = context;
    const int32_t index = layer;
    const size_t bytes =
        (size_t)n_rows * (size_t)w->options.model->dims.n_experts_used * sizeof *chosen;
    SW_TRY(sw_wire_reserve(&w->routes, w->route_bytes + sizeof index + bytes));
    memcpy(w->routes.bytes + w->route_bytes, &index, sizeof index);
    memcpy(w->routes.bytes + w->route_bytes + sizeof index, chosen, bytes);
    w->route_bytes += sizeof index + bytes;
    return SW_OK;
}

void sw_worker_note_routes(struct sw_worker *w)
{
    w->route_bytes = 0;
    w->stage->route_hook = w->options.routes ? routes_take : NULL;
}

enum sw_status sw_worker_report_routes(struct sw_worker *w, int n_rows)
{
    const struct sw_routes_body body = {.step = w->recorder.times.batches, .n_rows = n_rows};
    struct sw_message m = {.kind = SW_MSG_ROUTES};
    if (w->route_bytes == 0)
        return SW_OK;
    if (w->sink.routes)
        return w->sink.routes(w->sink.driver, &body, (const int32_t *)(const void *)w->routes.bytes,
                              w->route_bytes / sizeof(int32_t));
    memcpy(m.body, &body, sizeof body);
    return sw_transport_send(w->options.transport, 0, &m, w->routes.bytes, w->route_bytes);
}

/* Whether a layer's part is what this model can have. */
static bool routes_are_valid(const struct sw_dims *d, const int32_t *part, size_t n)
{
    bool valid = part[0] >= 0 && part[0] < d->n_layers;
    for (size_t i = 1; i < n; i++)
        valid = valid && part[i] >= 0 && part[i] < d->n_experts;
    return valid;
}

enum sw_status sw_driver_take_routes(struct sw_driver *d, const struct sw_routes_body *body,
                                     const int32_t *data, size_t n)
{
    const struct sw_dims *dims = &d->worker->options.model->dims;
    const size_t part = 1 + (size_t)body->n_rows * (size_t)dims->n_experts_used;
    if (!d->routes)
        return SW_OK;
    for (size_t at = 0; at < n; at += part) {
        if (body->n_rows < 1 || body->n_rows > d->worker->limits.rows || n - at < part ||
            !routes_are_valid(dims, data + at, part))
            return sw_fail(SW_EPEER, "a rank sent routes that cannot be; start the same program "
                                     "everywhere");
        sw_routes_add(d->routes, body->step, data[at], data + at + 1, body->n_rows);
    }
    sw_routes_flush(d->routes);
    return SW_OK;
}

enum sw_status sw_driver_receive_routes(struct sw_driver *d, const struct sw_message *m)
{
    struct sw_routes_body body;
    memcpy(&body, m->body, sizeof body);
    return sw_driver_take_routes(d, &body, (const int32_t *)(const void *)d->in.bytes,
                                 m->bytes / sizeof(int32_t));
}

enum sw_status sw_driver_routes(struct sw_driver *d, const char *path)
{
    return sw_routes_open(path, d->worker->options.model, &d->routes);
}

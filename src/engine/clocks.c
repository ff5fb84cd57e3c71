/* Owns the ranks' reports of their times to rank 0, and the trace file there. */
#include "engine/driver_impl.h"

#include "base/clock.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>

enum sw_status sw_worker_start_recorder(struct sw_worker *w)
{
    SW_TRY(sw_recorder_start(&w->recorder));
    /* The sums contain the seconds of loading already. */
    if (w->load_end > 0)
        w->recorder.activities[w->recorder.n++] =
            (struct sw_activity){.start = w->load_start,
                                 .seconds = (float)(w->load_end - w->load_start),
                                 .kind = SW_ACTIVITY_LOAD};
    w->recorder.reported = 0; /* so that a report is due now */
    return sw_worker_report_times(w, false);
}

enum sw_status sw_worker_report_times(struct sw_worker *w, bool is_final)
{
    struct sw_recorder *r = &w->recorder;
    struct sw_transport *t = w->options.transport;
    const double now = sw_clock();
    if (!is_final && !sw_recorder_is_due(r, now))
        return SW_OK;
    r->reported = r->times.clock = now;
    r->times.is_final = is_final;
    const size_t n = (size_t)r->n;
    r->n = 0;
    if (w->sink.times) {
        w->sink.times(w->sink.driver, &r->times, r->activities, n);
        return SW_OK;
    }
    struct sw_message m = {.kind = SW_MSG_TIMES};
    memcpy(m.body, &r->times, sizeof r->times);
    return sw_transport_send(t, 0, &m, r->activities, n * sizeof *r->activities);
}

void sw_driver_take_times(struct sw_driver *d, const struct sw_times *times,
                          const struct sw_activity *activities, size_t n)
{
    d->times[0] = *times;
    if (d->timeline)
        sw_timeline_add(d->timeline, 0, 0, activities, n);
}

enum sw_status sw_driver_receive_times(struct sw_driver *d, const struct sw_message *m)
{
    const size_t n = m->bytes / sizeof(struct sw_activity);
    if (m->bytes % sizeof(struct sw_activity) != 0 || n > SW_ACTIVITIES_MAX)
        return sw_fail(SW_EPEER,
                       "rank %d sent %llu bytes of times; start the same program "
                       "everywhere",
                       m->source, (unsigned long long)m->bytes);
    memcpy(&d->times[m->source], m->body, sizeof *d->times);
    if (d->timeline)
        sw_timeline_add(d->timeline, m->source, d->clock_ahead[m->source],
                        (const struct sw_activity *)(const void *)d->in.bytes, n);
    return SW_OK;
}

static void name_lane(struct sw_driver *d, int rank)
{
    char name[SW_HOST_MAX + 32], text[SW_HOST_MAX + 96], layers[32];
    const struct sw_engine_slice *s = &d->worker->options.slices[rank];
    sw_transport_name(d->worker->options.transport, rank, name, sizeof name);
    snprintf(text, sizeof text, "%s, %s", name,
             sw_layers_format(s->first, s->count, layers, sizeof layers));
    sw_timeline_name(d->timeline, rank, text);
}

/* Starts recording on a rank. Its clock is compared with the middle of this round trip. */
static enum sw_status request_recording(struct sw_driver *d, int rank)
{
    struct sw_transport *t = d->worker->options.transport;
    struct sw_message m = {.kind = SW_MSG_RECORD};
    const double sent = sw_clock();
    SW_TRY(sw_transport_send(t, rank, &m, NULL, 0));
    SW_TRY(sw_transport_recv_head(t, rank, &m));
    if (m.kind != SW_MSG_TIMES)
        return sw_fail(SW_EPEER,
                       "rank %d answered with a message of kind %d; start the same program "
                       "everywhere",
                       rank, m.kind);
    SW_TRY(sw_wire_reserve(&d->in, m.bytes + 1));
    SW_TRY(sw_transport_recv_payload(t, &m, d->in.bytes));
    struct sw_times times;
    memcpy(&times, m.body, sizeof times);
    d->clock_ahead[rank] = times.clock - (sent + sw_clock()) / 2;
    return sw_driver_receive_times(d, &m);
}

enum sw_status sw_driver_record(struct sw_driver *d, const char *path)
{
    SW_TRY(sw_timeline_open(path, &d->timeline));
    for (int r = 0; r < d->worker->options.transport->size; r++)
        name_lane(d, r);
    SW_TRY(sw_worker_start_recorder(d->worker));
    for (int r = 1; r < d->worker->options.transport->size; r++)
        SW_TRY(request_recording(d, r));
    return SW_OK;
}

const struct sw_times *sw_driver_times(const struct sw_driver *d)
{
    return d->times;
}

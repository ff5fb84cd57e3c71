/* Owns the ranks' reports of their times to rank 0, and the trace file there. */
#include "engine/engine_impl.h"

#include "base/clock.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>

enum sw_status sw_engine_start_recorder(struct sw_engine *e)
{
    SW_TRY(sw_recorder_start(&e->recorder));
    /* The sums contain the seconds of loading already. */
    if (e->load_end > 0)
        e->recorder.activities[e->recorder.n++] =
            (struct sw_activity){.start = e->load_start,
                                 .seconds = (float)(e->load_end - e->load_start),
                                 .kind = SW_ACTIVITY_LOAD};
    e->recorder.reported = 0; /* so that a report is due now */
    return sw_engine_report_times(e, false);
}

enum sw_status sw_engine_report_times(struct sw_engine *e, bool is_final)
{
    struct sw_recorder *r = &e->recorder;
    struct sw_transport *t = e->options.transport;
    const double now = sw_clock();
    if (!is_final && !sw_recorder_is_due(r, now))
        return SW_OK;
    r->reported = r->times.clock = now;
    r->times.is_final = is_final;
    const size_t n = (size_t)r->n;
    r->n = 0;
    if (t->rank == 0) {
        if (e->timeline)
            sw_timeline_add(e->timeline, 0, 0, r->activities, n);
        e->times[0] = r->times;
        return SW_OK;
    }
    struct sw_message m = {.kind = SW_MSG_TIMES};
    memcpy(m.body, &r->times, sizeof r->times);
    return sw_transport_send(t, 0, &m, r->activities, n * sizeof *r->activities);
}

enum sw_status sw_engine_receive_times(struct sw_engine *e, const struct sw_message *m)
{
    const size_t n = m->bytes / sizeof(struct sw_activity);
    if (m->bytes % sizeof(struct sw_activity) != 0 || n > SW_ACTIVITIES_MAX)
        return sw_fail(SW_EPEER,
                       "rank %d sent %llu bytes of times; start the same program "
                       "everywhere",
                       m->source, (unsigned long long)m->bytes);
    memcpy(&e->times[m->source], m->body, sizeof *e->times);
    if (e->timeline)
        sw_timeline_add(e->timeline, m->source, e->clock_ahead[m->source],
                        (const struct sw_activity *)(const void *)e->in.bytes, n);
    return SW_OK;
}

static void name_lane(struct sw_engine *e, int rank)
{
    char name[SW_HOST_MAX + 32], text[SW_HOST_MAX + 96], layers[32];
    const struct sw_engine_slice *s = &e->options.slices[rank];
    sw_transport_name(e->options.transport, rank, name, sizeof name);
    snprintf(text, sizeof text, "%s, %s", name,
             sw_layers_format(s->first, s->count, layers, sizeof layers));
    sw_timeline_name(e->timeline, rank, text);
}

/* Starts recording on a rank. Its clock is compared with the middle of this round trip. */
static enum sw_status request_recording(struct sw_engine *e, int rank)
{
    struct sw_transport *t = e->options.transport;
    struct sw_message m = {.kind = SW_MSG_RECORD};
    const double sent = sw_clock();
    SW_TRY(sw_transport_send(t, rank, &m, NULL, 0));
    SW_TRY(sw_transport_recv_head(t, rank, &m));
    if (m.kind != SW_MSG_TIMES)
        return sw_fail(SW_EPEER,
                       "rank %d answered with a message of kind %d; start the same program "
                       "everywhere",
                       rank, m.kind);
    SW_TRY(sw_wire_reserve(&e->in, m.bytes + 1));
    SW_TRY(sw_transport_recv_payload(t, &m, e->in.bytes));
    struct sw_times times;
    memcpy(&times, m.body, sizeof times);
    e->clock_ahead[rank] = times.clock - (sent + sw_clock()) / 2;
    return sw_engine_receive_times(e, &m);
}

enum sw_status sw_engine_record(struct sw_engine *e, const char *path)
{
    SW_TRY(sw_timeline_open(path, &e->timeline));
    for (int r = 0; r < e->options.transport->size; r++)
        name_lane(e, r);
    SW_TRY(sw_engine_start_recorder(e));
    for (int r = 1; r < e->options.transport->size; r++)
        SW_TRY(request_recording(e, r));
    return SW_OK;
}

const struct sw_times *sw_engine_times(const struct sw_engine *e)
{
    return e->times;
}

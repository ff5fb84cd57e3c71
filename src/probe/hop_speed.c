/* Owns the round trips that measure latency and bandwidth between neighbouring ranks. */
#include "base/clock.h"
#include "probe/measure.h"

#include <stdlib.h>
#include <string.h>

#define SMALL 8192      /* bytes: a hidden state of one token */
#define LARGE (4 << 20) /* bytes: a prompt's chunk */
#define TRIPS_MAX 200
#define KIND_TRIP 1 /* another round trip follows */
#define KIND_LAST 2

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Measures round trips for `seconds`; *trip: their lower quartile, as a busy machine delays many.
 */
static enum sw_status hop_ping(struct sw_transport *t, int peer, char *data, size_t bytes,
                               double seconds, double *trip)
{
    double trips[TRIPS_MAX];
    int n = 0;
    const double begin = sw_clock();
    for (bool last = false; !last; n++) {
        const double before = sw_clock();
        last = n == TRIPS_MAX - 1 || (n > 0 && before - begin > seconds);
        struct sw_message message = {.kind = last ? KIND_LAST : KIND_TRIP};
        SW_TRY(sw_transport_send(t, peer, &message, data, bytes));
        SW_TRY(sw_transport_recv(t, peer, &message, data, bytes));
        trips[n] = sw_clock() - before;
    }
    /* The first round trip sets the connection up, and does not count. */
    qsort(trips + 1, (size_t)n - 1, sizeof *trips, by_size);
    *trip = trips[1 + (n - 1) / 4];
    return SW_OK;
}

static enum sw_status hop_echo(struct sw_transport *t, int peer, char *data, size_t bytes)
{
    for (;;) {
        struct sw_message message;
        SW_TRY(sw_transport_recv(t, peer, &message, data, bytes));
        const uint16_t kind = message.kind;
        SW_TRY(sw_transport_send(t, peer, &message, data, bytes));
        if (kind == KIND_LAST)
            return SW_OK;
    }
}

enum sw_status sw_hop_measure(struct sw_transport *t, double seconds, double *latency,
                              double *bandwidth)
{
    static const size_t sizes[2] = {SMALL, LARGE};
    enum sw_status status = SW_OK;
    double trip[2] = {0};
    *latency = 0;
    if (bandwidth)
        *bandwidth = 0;
    char *data = calloc(1, LARGE);
    if (!data)
        return sw_fail(SW_ENOMEM, "no memory to measure links with");
    const int n_sizes = bandwidth ? 2 : 1;
    for (int turn = 0; turn < 2 && status == SW_OK; turn++) {
        const bool pings = t->rank % 2 == turn && t->rank + 1 < t->size;
        const bool echoes = t->rank > 0 && (t->rank - 1) % 2 == turn;
        for (int i = 0; i < n_sizes && status == SW_OK; i++)
            if (pings)
                status = hop_ping(t, t->rank + 1, data, sizes[i], seconds / 4, &trip[i]);
            else if (echoes)
                status = hop_echo(t, t->rank - 1, data, sizes[i]);
    }
    free(data);
    SW_TRY(status);
    *latency = trip[0] / 2;
    if (bandwidth && trip[0] > 0) {
        const double more = (trip[1] - trip[0]) / 2;
        *bandwidth = (LARGE - SMALL) / (more > 1e-9 ? more : 1e-9);
    }
    return SW_OK;
}

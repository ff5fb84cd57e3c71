/*
 * Owns the end of a job: a rank reports how it ended, waits for the release by rank 0, and leaves
 * with the others, or alone when one is lost.
 */
#include "base/clock.h"
#include "transport/segments.h"
#include "transport/start.h"
#include "transport/transport_ops.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Waits for the release; the steps of the wait progress sends. */
static enum sw_release wait_for_release(struct sw_transport *t)
{
    struct sw_heartbeat *hb = t->state->heartbeat;
    struct sw_wait wait;
    enum sw_release release;
    sw_wait_begin(&wait);
    while ((release = sw_heartbeat_release(hb)) == SW_RELEASE_NOT_YET)
        if (sw_wait_step(t, &wait) != SW_OK) /* MPI itself fails */
            t->ops->sleep(t, 5e-3, NULL);
    return release;
}

/*
 * Exits without MPI_Finalize, which would wait for the lost rank. An exit makes mpirun end the
 * other ranks, in which it would hang while it has not noticed the loss itself (it may need its
 * keep-alive for that). So this waits for SW_LEAVE_S, or for the TERM of a mpirun that has noticed.
 */
static void leave_alone(const struct sw_transport *t, enum sw_status status)
{
    const double until = sw_clock() + SW_LEAVE_S;
    fflush(NULL);
    while (sw_clock() < until && !sw_stop_number(t))
        usleep(20000);
    sw_segments_close();
    _exit(sw_status_exit_code(status));
}

void sw_transport_raise(struct sw_transport *t, enum sw_status status)
{
    struct sw_verdict verdict = {.status = status, .rank = t->rank};
    char name[SW_HOST_MAX + 32] = "";
    if (t->size > 1)
        sw_transport_name(t, t->rank, name, sizeof name);
    snprintf(verdict.text, sizeof verdict.text, "%s%s%s", name, name[0] ? ": " : "",
             sw_error_message()[0] ? sw_error_message() : sw_status_text(status));
    sw_heartbeat_raise(t->state->heartbeat, &verdict);
}

enum sw_status sw_transport_finish(struct sw_transport *t, enum sw_status status)
{
    struct sw_heartbeat *hb = t->state->heartbeat;
    struct sw_verdict verdict;
    if (status != SW_OK)
        sw_transport_raise(t, status);
    t->state->ending = true;
    sw_heartbeat_end(hb);
    const enum sw_release release = wait_for_release(t);
    sw_heartbeat_verdict(hb, &verdict);
    if (release == SW_RELEASE_ALONE && t->state->process)
        leave_alone(t, verdict.status);
    if (verdict.status == SW_OK)
        sw_start_report(t->rank, SW_FACT_ENDED_WELL);
    t->ops->close(t);
    sw_transport_free(t);
    sw_error_clear();
    return verdict.status;
}

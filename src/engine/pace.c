/* Owns the number of micro-batches under way; see pace.h. */
#include "engine/pace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum sw_status sw_pace_open(struct sw_pace *p, int stages, int n_ranks)
{
    *p = (struct sw_pace){.stages = stages, .groups = stages, .n_ranks = n_ranks};
    p->then = calloc((size_t)n_ranks, sizeof *p->then);
    return p->then ? SW_OK : sw_fail(SW_ENOMEM, "no memory for the times of %d ranks", n_ranks);
}

void sw_pace_close(struct sw_pace *p)
{
    free(p->then);
    p->then = NULL;
}

static int limit(int groups, int least, int most)
{
    const int n = groups < most ? groups : most;
    return n > least ? n : least;
}

int sw_pace_next(int groups, int stages, int sequences, double busiest)
{
    const int most = sequences < SW_PACE_MOST * stages ? sequences : SW_PACE_MOST * stages;
    int next = groups;
    if (busiest > SW_PACE_HIGH)
        next -= (groups + 7) / 8;
    else if (busiest < 0.5)
        next *= 2;
    else if (busiest < SW_PACE_LOW) /* Little's law: under way = rate x time */
        next = (int)ceil(groups / busiest * SW_PACE_LOW);
    return limit(next, stages, most);
}

void sw_pace_look(struct sw_pace *p, int sequences, const struct sw_times *times)
{
    double busiest = 0;
    if (p->stages < 2)
        return;
    for (int r = 0; r < p->n_ranks; r++) {
        if (times[r].batches == 0)
            continue;
        if (times[r].clock - p->then[r].clock < SW_PACE_SECONDS)
            return;
        const double busy = sw_times_busy(&p->then[r], &times[r]);
        busiest = busy > busiest ? busy : busiest;
    }
    /* The first look only sets the marks: what was before is not one pace. */
    bool is_first = true;
    for (int r = 0; r < p->n_ranks; r++)
        is_first = is_first && p->then[r].clock <= 0;
    p->saturated = busiest > SW_PACE_HIGH ? p->saturated + 1 : 0;
    if (!is_first && (p->saturated == 0 || p->saturated % SW_PACE_PATIENCE == 0))
        p->groups = sw_pace_next(p->groups, p->stages, sequences, busiest);
    memcpy(p->then, times, (size_t)p->n_ranks * sizeof *times);
}

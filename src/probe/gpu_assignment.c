/*
 * Owns who drives which GPU: the ranks of a node, in order, each take the first that they see and
 * that no rank before them has. So it does not matter whether a launcher shows every rank all GPUs
 * of the node (mpirun, srun) or each its own (srun --gpus-per-task=1). One that is left over takes
 * none, or, if it is to share, the one that the fewest have.
 */
#include "probe/probe.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static int taken_by(const struct sw_probe *probe, const int *choice, int rank, const char *bus)
{
    for (int i = 0; i < rank; i++)
        if (probe->places[i].node == probe->places[rank].node && choice[i] >= 0 &&
            strncmp(probe->ranks[i].seen[choice[i]], bus, SW_GPU_BUS) == 0)
            return i;
    return -1;
}

/* Ranks before `end` on the node of `rank` that drive the GPU `bus`. */
static int drivers(const struct sw_probe *probe, const int *choice, int end, int rank,
                   const char *bus)
{
    int n = 0;
    for (int i = 0; i < end; i++)
        n += probe->places[i].node == probe->places[rank].node && choice[i] >= 0 &&
             strncmp(probe->ranks[i].seen[choice[i]], bus, SW_GPU_BUS) == 0;
    return n;
}

void sw_probe_assign_gpus(const struct sw_probe *probe, int *choice)
{
    for (int r = 0; r < probe->n_ranks; r++) {
        const struct sw_probe_rank *card = &probe->ranks[r];
        int fewest = card->shares ? INT_MAX : 1;
        choice[r] = -1;
        for (int k = 0; k < card->n_seen; k++) {
            const int n = drivers(probe, choice, r, r, card->seen[k]);
            if (n < fewest) {
                fewest = n;
                choice[r] = k;
            }
        }
    }
}

int sw_probe_sharers(const struct sw_probe *probe, const int *choice, int rank)
{
    return choice[rank] < 0 ? 0
                            : drivers(probe, choice, probe->n_ranks, rank,
                                      probe->ranks[rank].seen[choice[rank]]);
}

/*
 * A rank that sees GPUs and gets none is what was wanted where ranks outnumber GPUs that all of
 * them see (it computes on the CPU); where CUDA_VISIBLE_DEVICES showed it too few, it is a mistake.
 */
void sw_probe_assign_problems(const struct sw_probe *probe, const int *choice,
                              struct sw_strbuf *out)
{
    for (int r = 0; r < probe->n_ranks; r++) {
        const struct sw_probe_rank *card = &probe->ranks[r];
        if (choice[r] >= 0 || card->n_seen == 0 || !card->visible[0])
            continue;
        sw_strbuf_printf(
            out,
            "rank %d on %s sees only GPU %s (CUDA_VISIBLE_DEVICES=%s), which rank %d "
            "drives; let each rank see its own (srun --gpus-per-task=1) or all of them "
            "(unset CUDA_VISIBLE_DEVICES), or start fewer ranks there\n",
            r, probe->places[r].host, card->seen[0], card->visible,
            taken_by(probe, choice, r, card->seen[0]));
    }
}

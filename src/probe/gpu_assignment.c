/*
 * Owns the GPU assignment: each rank of a node, in order, takes the first GPU that it sees and that
 * no earlier rank has. So a launcher may show every rank all GPUs of the node (mpirun, srun) or
 * only its own (srun --gpus-per-task=1). A rank for which no GPU is left takes none, or, if it may
 * share, the GPU that the fewest ranks drive.
 */
#include "probe/probe.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The first rank before `rank` on its node that drives the GPU `bus`; -1: none. */
static int gpu_owner(const struct sw_probe *probe, const int *choice, int rank, const char *bus)
{
    for (int i = 0; i < rank; i++)
        if (probe->hosts[i].node == probe->hosts[rank].node && choice[i] >= 0 &&
            strncmp(probe->ranks[i].seen[choice[i]], bus, SW_GPU_BUS) == 0)
            return i;
    return -1;
}

/* Number of ranks before `end` on the node of `rank` that drive the GPU `bus`. */
static int gpu_drivers(const struct sw_probe *probe, const int *choice, int end, int rank,
                       const char *bus)
{
    int n = 0;
    for (int i = 0; i < end; i++)
        n += probe->hosts[i].node == probe->hosts[rank].node && choice[i] >= 0 &&
             strncmp(probe->ranks[i].seen[choice[i]], bus, SW_GPU_BUS) == 0;
    return n;
}

void sw_probe_assign_gpus(const struct sw_probe *probe, int *choice)
{
    for (int r = 0; r < probe->n_ranks; r++) {
        const struct sw_probe_rank *info = &probe->ranks[r];
        int fewest = info->shares ? INT_MAX : 1;
        choice[r] = -1;
        for (int k = 0; k < info->n_seen; k++) {
            const int n = gpu_drivers(probe, choice, r, r, info->seen[k]);
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
                            : gpu_drivers(probe, choice, probe->n_ranks, rank,
                                          probe->ranks[rank].seen[choice[rank]]);
}

/*
 * A rank that sees GPUs and gets none computes on the CPU. That is intended where ranks outnumber
 * GPUs that all of them see, and a mistake where CUDA_VISIBLE_DEVICES shows a rank too few.
 */
void sw_probe_assign_problems(const struct sw_probe *probe, const int *choice,
                              struct sw_strbuf *out)
{
    for (int r = 0; r < probe->n_ranks; r++) {
        const struct sw_probe_rank *info = &probe->ranks[r];
        if (choice[r] >= 0 || info->n_seen == 0 || !info->visible[0])
            continue;
        sw_strbuf_printf(
            out,
            "rank %d on %s sees only GPU %s (CUDA_VISIBLE_DEVICES=%s), which rank %d "
            "drives; let each rank see its own (srun --gpus-per-task=1) or all of them "
            "(unset CUDA_VISIBLE_DEVICES), or start fewer ranks there\n",
            r, probe->hosts[r].host, info->seen[0], info->visible,
            gpu_owner(probe, choice, r, info->seen[0]));
    }
}

/* Owns the backends of a rank: its cores, and its GPU where the plan uses it. */
#include "session/session_impl.h"

#include "base/cpu_info.h"
#include "base/strbuf.h"

#include <stdlib.h>

/* The best instruction set that all ranks have, or that of --isa: the bits must not depend on which
 * rank holds a layer. */
static enum sw_status session_choose_isa(const struct sw_session *s, enum sw_isa *isa)
{
    enum sw_isa wanted;
    SW_TRY(sw_isa_by_name(s->settings.isa, &wanted));
    *isa = sw_cpu_isa();
    for (int r = 0; r < s->probe.n_ranks; r++)
        if ((enum sw_isa)s->probe.ranks[r].isa < *isa)
            *isa = (enum sw_isa)s->probe.ranks[r].isa;
    if (s->settings.isa && wanted > *isa)
        return sw_fail(SW_EUSAGE, "--isa %s: the ranks' processors support %s at most",
                       s->settings.isa, sw_isa_name(*isa));
    if (s->settings.isa)
        *isa = wanted;
    return SW_OK;
}

/* Opens the CPU backend on this rank's share of the cores or, while stages take turns, on all cores
 * it may use. */
static enum sw_status session_open_cpu(struct sw_session *s, int64_t rows)
{
    const int rank = s->transport->rank, wanted = s->settings.threads;
    struct sw_strbuf list = {0};
    enum sw_isa isa;
    int *cores, n;
    SW_TRY(session_choose_isa(s, &isa));
    SW_TRY(sw_probe_cores(&s->probe, rank, wanted == 0, &cores, &n));
    if (wanted > n) {
        free(cores);
        SW_TRY(sw_probe_cores(&s->probe, rank, true, &cores, &n));
    }
    for (int i = 0; i < n; i++)
        sw_strbuf_printf(&list, i ? ",%d" : "%d", cores[i]);
    free(cores);
    const int threads = wanted ? wanted : sw_probe_threads(&s->probe, rank, true, n);
    const struct sw_cpu_options options = {.threads = threads,
                                           .cores = list.text,
                                           .isa = sw_isa_name(isa),
                                           .max_rows = rows,
                                           .max_cols = sw_model_max_cols(s->model)};
    const enum sw_status status = list.failed ? sw_fail(SW_ENOMEM, "no memory for a list of cores")
                                              : sw_backend_cpu_open(&options, &s->cpu);
    sw_strbuf_free(&list);
    return status;
}

/* *device: CUDA's number of the GPU assigned to this rank; -1: none. */
static enum sw_status session_find_device(const struct sw_session *s, int *device)
{
    int *choice = malloc((size_t)s->probe.n_ranks * sizeof *choice);
    if (!choice)
        return sw_fail(SW_ENOMEM, "no memory for %d ranks", s->probe.n_ranks);
    sw_probe_assign_gpus(&s->probe, choice);
    *device = choice[s->transport->rank];
    free(choice);
    return SW_OK;
}

/* Opens threads that prepare a GPU's weights, one per core of this rank's share: quantized and
 * random weights take many. They are not bound to cores, as they are for loading only. */
static enum sw_status session_open_pool(struct sw_session *s)
{
    int *cores, n;
    SW_TRY(sw_probe_cores(&s->probe, s->transport->rank, false, &cores, &n));
    free(cores);
    n = sw_probe_threads(&s->probe, s->transport->rank, false, n);
    return sw_pool_create(n, NULL, 0, &s->pool);
}

static enum sw_status session_open_gpu(struct sw_session *s, int64_t rows, uint64_t memory)
{
    const char *why;
    enum sw_status status = SW_OK;
    struct sw_gpu_options options = {.max_rows = rows,
                                     .max_cols = sw_model_max_cols(s->model),
                                     .max_out = sw_model_max_out(s->model, rows),
                                     .memory = memory,
                                     .one_block = true,
                                     .pool = s->pool};
    SW_TRY(session_find_device(s, &options.device));
    s->gpu_library = sw_gpu_library_load(&why, &status);
    SW_TRY(status);
    if (!s->gpu_library || options.device < 0)
        return sw_fail(SW_EDEVICE, "the plan uses a GPU of rank %d, but %s; see 'spillway probe'",
                       s->transport->rank, s->gpu_library ? "no GPU is assigned to it" : why);
    SW_TRY(s->gpu_library->open(&options, &s->gpu));
    s->gpu_workspace = s->gpu_library->workspace(&options);
    return SW_OK;
}

enum sw_status sw_session_backends(struct sw_session *s)
{
    const struct sw_engine_slice *slice = &s->slices[s->transport->rank];
    const struct sw_tiers *t = &slice->tiers;
    const int64_t rows =
        s->params.max_batch_tokens > SW_LOGIT_ROWS ? s->params.max_batch_tokens : SW_LOGIT_ROWS;
    const bool embed = slice->first == 0;
    const bool head = slice->first + slice->count == s->model->dims.n_layers;
    const bool computes = t->n_host > 0 || (t->n_disk > 0 && !t->disk_on_gpu) ||
                          (embed && !t->embed_on_gpu) || (head && !t->head_on_gpu);
    if (slice->count == 0)
        return SW_OK;
    if (computes || t->n_streamed > 0 || t->n_disk > 0) /* these lie in its memory */
        SW_TRY(session_open_cpu(s, computes ? rows : 1));
    if (slice->gpu_memory == 0)
        return SW_OK;
    SW_TRY(session_open_pool(s));
    return session_open_gpu(s, rows, slice->gpu_memory);
}

const char *sw_session_bus_id(const struct sw_session *s)
{
    const struct sw_probe_rank *rank = &s->probe.ranks[s->transport->rank];
    return rank->device >= 0 ? rank->seen[rank->device] : "";
}

enum sw_status sw_session_pool(struct sw_session *s, struct sw_pool **pool)
{
    if (!s->cpu && !s->pool)
        SW_TRY(session_open_pool(s));
    *pool = s->cpu ? sw_backend_cpu_pool(s->cpu) : s->pool;
    return SW_OK;
}

void sw_session_backends_close(struct sw_session *s)
{
    if (s->gpu)
        s->gpu->ops->close(s->gpu);
    if (s->cpu)
        s->cpu->ops->close(s->cpu);
    sw_pool_free(s->pool);
    s->gpu = s->cpu = NULL;
    s->pool = NULL;
}

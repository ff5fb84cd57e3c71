/*
 * A whole pipeline inside a test: `ranks` workers in threads of this process, joined by the self
 * transport, over a real checkpoint. job_run runs the prompt, keeps all logits, continues greedily.
 */
#ifndef SW_TESTS_ENGINE_JOB_H
#define SW_TESTS_ENGINE_JOB_H

#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/fit.h"
#include "checkpoint/open_model.h"
#include "checkpoint/reader.h"
#include "engine/generate.h"
#include "fake_gpu.h"
#include "model/model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    const char *dir;
    enum sw_format_id weights;
    bool as_stored;                 /* as of sw_footprint_params */
    uint8_t by_role[SW_ROLE_COUNT]; /* as of sw_footprint_params */
    enum sw_dtype kv;
    int ranks, threads, chunk, context;
    const char *isa;
    bool random;
    int slots; /* 0: one */
    /* (ranks); NULL: even ones, all on the CPU. Layers in no other tier are in host memory. */
    const struct sw_engine_slice *slices;
    bool gpus;                            /* every rank has a GPU and counts its memory */
    const struct sw_gpu_library *library; /* of these GPUs; NULL: fake ones */
    struct sw_pool *pool;                 /* converts weights, with one rank only; NULL: none */
    bool no_graphs;                       /* the GPUs capture no graphs */
    bool connect;                         /* links between GPUs, where the library has them */
    bool host_only;                       /* all links go through host memory */
    double silence_s, stall_s;            /* as the transport's; 0: a minute, the default */
    int fail_at;                          /* this allocation on the GPUs fails; 0: none */
    const volatile sig_atomic_t *stop;    /* as the transport's; may be NULL */
    const uint64_t *expert_uses;          /* as of struct sw_experts_options */
    bool routes, look_ahead;              /* as of struct sw_worker_options */
    /* Replaces what rank 0 does by default (prefill and decode); ends with sw_driver_stop. */
    enum sw_status (*drive)(struct job *job, struct sw_driver *driver);
    void *drive_context;
    const int32_t *ids; /* of an encoder-decoder the target, which begins with its start id */
    int n_ids, n_new;
    const int32_t *source; /* (n_source) of an encoder-decoder; greedy ids follow from it alone */
    int n_source;
    int target_chunk; /* ids of the target in a micro-batch; 0: chunk */
    /* Results. */
    float *logits;    /* (n_ids, vocab); the caller frees */
    int32_t *new_ids; /* (n_new); the caller frees */
    int vocab;
    char error[SW_ERROR_MAX];
    struct fake_report cpu_reports[16], gpu_reports[16]; /* of each rank, with `gpus` */
    char links[16][8];                  /* from each rank to the next, as rank 0 reports them */
    uint64_t gpu_bytes[16];             /* sw_worker_gpu_bytes of each rank */
    uint64_t replays[16];               /* of each rank's GPU */
    struct sw_expert_stats experts[16]; /* of each rank */
};

struct job_rank {
    struct job *job;
    struct sw_transport *transport;
    enum sw_status status;
};

struct job_sink {
    struct job *job;
    int n;
};

static inline enum sw_status job_logits(void *context, const struct sw_span *span,
                                        const float *data)
{
    struct job *job = context;
    if (span->position + span->n <= job->n_ids)
        memcpy(job->logits + span->position * job->vocab, data,
               (size_t)span->n * (size_t)job->vocab * sizeof *data);
    return SW_OK;
}

static inline enum sw_status job_token(void *context, const struct sw_sampled *token, bool *stop)
{
    struct job_sink *sink = context;
    (void)stop;
    sink->job->new_ids[sink->n++] = token->id;
    return SW_OK;
}

static inline enum sw_status job_drive(struct job *job, struct sw_driver *driver)
{
    const struct sw_driver_hooks hooks = {.logits = job_logits, .context = job};
    const struct sw_driver_hooks none = {0};
    const struct sw_sampling greedy = sw_sampling_default();
    struct job_sink sink = {job, 0};
    SW_TRY(sw_driver_hooks(driver, &hooks));
    SW_TRY(sw_driver_slot(driver, 0, &greedy));
    if (job->n_source > 0)
        SW_TRY(sw_encode_source(driver, job->source, job->n_source));
    SW_TRY(sw_prefill(driver, job->n_source, job->ids, job->n_ids,
                      job->target_chunk ? job->target_chunk : job->chunk));
    SW_TRY(sw_driver_hooks(driver, &none));
    struct sw_generate g = {.prompt = job->n_source > 0 ? job->source : job->ids,
                            .n_prompt = job->n_source > 0 ? job->n_source : job->n_ids,
                            .max_new = job->n_new,
                            .context = job->context,
                            .chunk = job->chunk,
                            .sampling = greedy,
                            .token = job_token,
                            .context_of_caller = &sink};
    if (job->n_new > 0)
        SW_TRY(sw_generate(driver, &g));
    return sw_driver_stop(driver);
}

static inline enum sw_status job_open(struct job *job, struct sw_model **model,
                                      struct sw_tensors *tensors, struct sw_reader **reader)
{
    SW_TRY(sw_open_model(job->dir, model));
    if (job->random)
        return SW_OK;
    SW_TRY(sw_open_tensors(job->dir, tensors));
    SW_TRY(sw_checkpoint_fit(*model, tensors));
    SW_TRY(sw_checkpoint_fit_values(*model, tensors));
    return sw_reader_open(tensors, reader);
}

/* What the threads of a reader that was given up may have in use: it stays, in sight of the leak
 * detector. */
struct job_in_use {
    struct sw_model *model;
    struct sw_tensors *tensors;
    struct sw_reader *reader;
    struct sw_backend *cpu, *gpu;
    struct job_in_use *before;
};

static inline void job_leave(const struct job_in_use *in_use)
{
    static _Atomic(struct job_in_use *) left;
    struct job_in_use *copy = malloc(sizeof *copy);
    *copy = *in_use;
    copy->before = atomic_exchange(&left, copy);
}

static inline enum sw_status job_rank_run(struct job *job, struct sw_transport *t)
{
    struct sw_model *model = NULL;
    struct sw_tensors *tensors = calloc(1, sizeof *tensors);
    struct sw_reader *reader = NULL;
    struct sw_backend *cpu = NULL, *gpu = NULL;
    struct sw_worker *worker = NULL;
    struct sw_driver *driver = NULL;
    struct sw_engine_slice slices[16] = {{0}};
    char bus_id[16];
    int cpu_index = 0, gpu_index = 0;
    snprintf(bus_id, sizeof bus_id, "%d", t->rank);
    enum sw_status status = job_open(job, &model, tensors, &reader);
    if (status != SW_OK)
        goto undo;
    const int layers = model->dims.n_layers;
    for (int r = 0, first = 0; r < job->ranks; r++) {
        const int count = layers / job->ranks + (r < layers % job->ranks);
        slices[r] =
            job->slices ? job->slices[r] : (struct sw_engine_slice){.first = first, .count = count};
        first += count;
        slices[r].tiers.n_host += slices[r].count - sw_tiers_layers(&slices[r].tiers);
    }
    const int rows = job->chunk > SW_LOGIT_ROWS ? job->chunk : SW_LOGIT_ROWS;
    const struct sw_cpu_options cpu_options = {.threads = job->threads,
                                               .isa = job->isa,
                                               .max_rows = rows,
                                               .max_cols = sw_model_max_cols(model)};
    status = sw_backend_cpu_open(&cpu_options, &cpu);
    if (status == SW_OK && job->gpus) {
        const struct sw_gpu_options gpu_options = {.device = t->rank,
                                                   .max_rows = rows,
                                                   .max_cols = sw_model_max_cols(model),
                                                   .max_out = sw_model_max_out(model, rows),
                                                   .memory = slices[t->rank].gpu_memory,
                                                   .no_graphs = job->no_graphs,
                                                   .pool = job->pool};
        cpu_index = fake_wrap(cpu, false, UINT64_MAX);
        if (gpu_options.memory > 0 && job->library)
            status = job->library->open(&gpu_options, &gpu);
        else if (gpu_options.memory > 0)
            status = fake_open(&gpu_options, job->threads, job->isa, &gpu, &gpu_index);
        if (gpu && !job->library)
            fake_of(gpu)->fail_at = job->fail_at;
    }
    if (status != SW_OK)
        goto undo;
    struct sw_loader loader = {
        .tensors = reader ? tensors : NULL, .reader = reader, .pool = job->pool};
    struct sw_worker_options options = {.model = model,
                                        .cpu = cpu,
                                        .gpu = gpu,
                                        .transport = t,
                                        .params = {.weights = job->weights,
                                                   .unquantized = SW_FORMAT_F16,
                                                   .as_stored = job->as_stored,
                                                   .kv = job->kv,
                                                   .context = job->context,
                                                   .slots = job->slots ? job->slots : 1,
                                                   .max_batch_tokens = job->chunk},
                                        .slices = slices,
                                        .vocab_limit = model->dims.vocab,
                                        .bus_id = bus_id,
                                        .host_only = job->host_only,
                                        .expert_uses = job->expert_uses,
                                        .look_ahead = job->look_ahead,
                                        .routes = job->routes};
    memcpy(options.params.by_role, job->by_role, sizeof job->by_role);
    status = sw_worker_open(&options, &loader, &worker);
    if (status == SW_OK && job->connect)
        status = sw_worker_connect(worker);
    if (status == SW_OK && t->rank == 0)
        status = sw_driver_open(worker, &driver);
    if (status != SW_OK)
        goto undo;
    for (int r = 0; r < job->ranks && t->rank == 0; r++)
        snprintf(job->links[r], sizeof job->links[r], "%s", sw_worker_link(worker, r));
    if (t->rank == 0) {
        job->vocab = model->dims.vocab;
        job->logits = calloc((size_t)job->n_ids * (size_t)job->vocab, sizeof *job->logits);
        job->new_ids = calloc((size_t)job->n_new + 1, sizeof *job->new_ids);
        status = job->drive ? job->drive(job, driver) : job_drive(job, driver);
    } else {
        status = sw_worker_run(worker);
    }
undo:
    if (status != SW_OK)
        snprintf(job->error, sizeof job->error, "%s", sw_error_message());
    struct fake_report *report = &job->gpu_reports[t->rank];
    if (worker)
        job->gpu_bytes[t->rank] = sw_worker_gpu_bytes(worker);
    if (worker)
        (void)sw_worker_experts(worker, &job->experts[t->rank]);
    if (gpu)
        job->replays[t->rank] = gpu->gpu->replays(gpu);
    if (gpu && job->library)
        report->peak = gpu->gpu->allocated(gpu); /* a stage frees nothing before its end */
    sw_driver_close(driver);
    sw_worker_close(worker);
    if (gpu && job->library)
        report->left = gpu->gpu->allocated(gpu);
    if (reader && sw_reader_is_given_up(reader)) {
        job_leave(&(struct job_in_use){model, tensors, reader, cpu, gpu, NULL});
        return status;
    }
    if (gpu)
        gpu->ops->close(gpu);
    if (gpu && !job->library)
        *report = fake_report_of[gpu_index];
    if (cpu)
        cpu->ops->close(cpu);
    if (cpu && job->gpus)
        job->cpu_reports[t->rank] = fake_report_of[cpu_index];
    sw_reader_close(reader);
    sw_tensors_free(tensors);
    free(tensors);
    sw_model_close(model);
    return status;
}

static inline void *job_thread(void *context)
{
    struct job_rank *rank = context;
    rank->status = job_rank_run(rank->job, rank->transport);
    sw_transport_finish(rank->transport, rank->status);
    return NULL;
}

/* SW_OK, or the first rank's failure with job->error filled. */
static inline enum sw_status job_run(struct job *job)
{
    struct sw_transport *transports[16];
    struct job_rank ranks[16];
    pthread_t threads[16];
    const struct sw_transport_options options = {.silence_s =
                                                     job->silence_s > 0 ? job->silence_s : 60,
                                                 .stall_s = job->stall_s,
                                                 .stop = job->stop};
    job->logits = NULL;
    job->new_ids = NULL;
    SW_TRY(sw_transport_open_self(job->ranks, &options, transports));
    for (int r = 0; r < job->ranks; r++) {
        ranks[r] = (struct job_rank){job, transports[r], SW_OK};
        if (pthread_create(&threads[r], NULL, job_thread, &ranks[r]) != 0)
            return SW_EDEVICE;
    }
    for (int r = 0; r < job->ranks; r++)
        pthread_join(threads[r], NULL);
    for (int r = 0; r < job->ranks; r++)
        SW_TRY(ranks[r].status);
    return SW_OK;
}

static inline void job_free(struct job *job)
{
    free(job->logits);
    free(job->new_ids);
}

/* Reads tensor `name` of a safetensors file as f32 or i64 into a new block; n: elements. */
static inline void *job_read(const char *path, const char *name, enum sw_dtype dtype, int64_t *n)
{
    struct sw_tensors tensors = {0};
    struct sw_reader *reader = NULL;
    void *data = NULL;
    if (sw_checkpoint_add_file(path, &tensors) == SW_OK &&
        sw_reader_open(&tensors, &reader) == SW_OK) {
        const struct sw_tensor *t = sw_tensors_find(&tensors, name);
        if (t && t->dtype == dtype) {
            *n = sw_tensor_elements(t);
            data = malloc(t->bytes + 1);
            if (data && sw_reader_rows(reader, t, 0, sw_reader_row_count(t), data) != SW_OK) {
                free(data);
                data = NULL;
            }
        }
    }
    sw_reader_close(reader);
    sw_tensors_free(&tensors);
    return data;
}

#endif

/*
 * Layers that stay on disk: any number of them, of any family and form of file, gives the bits of
 * layers in memory, on any ranks, threads and chunks, run by the CPU or a GPU; and a file that
 * fails, changes or vanishes while it is read layer by layer ends the run with its name. The linker
 * sends pread to
 * __wrap_pread (tests.cmake).
 */
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/read_watch.h"
#include "tiers.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_THREAD__ /* which is slow, and looks at threads, not at bits */
enum { EACH = 4 };
#else
enum { EACH = 1 };
#endif

ssize_t __real_pread(int fd, void *out, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at);

static atomic_int reads, fails_after; /* reads until EIO; 0: none fails */
static atomic_bool is_slow, hangs;    /* hangs: reads beyond fails_after never return */

/* What befalls the file, or the job, right before the 60th read. */
enum { REMOVES, TRUNCATES, STOPS, SPOILS };
struct spoiler {
    const char *path;
    int how;
    volatile sig_atomic_t stop;
};
#define SPOILED_READ 60
static _Atomic(struct spoiler *) spoiler; /* NULL: nothing */

static void spoil(struct spoiler *s)
{
    struct stat st;
    CU_ASSERT_EQUAL(stat(s->path, &st), 0);
    if (s->how == STOPS)
        __atomic_store_n(&s->stop, SIGTERM, __ATOMIC_RELAXED);
    else
        CU_ASSERT_EQUAL(s->how == REMOVES ? unlink(s->path) : truncate(s->path, st.st_size / 2), 0);
}

static atomic_int n_hanging; /* reads that have not gone on */

/* Those that hang go on, and nothing fails any more. */
static void heal(void)
{
    hangs = false;
    while (atomic_load(&n_hanging) > 0)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    fails_after = 0;
}

ssize_t __wrap_pread(int fd, void *out, size_t n, off_t at)
{
    const int now = atomic_fetch_add(&reads, 1) + 1, limit = atomic_load(&fails_after);
    struct spoiler *const spoils = now == SPOILED_READ ? atomic_load(&spoiler) : NULL;
    if (spoils)
        spoil(spoils);
    atomic_fetch_add(&n_hanging, 1);
    while (limit && now > limit && hangs)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    atomic_fetch_sub(&n_hanging, 1);
    if (limit && now > limit) {
        errno = EIO;
        return -1;
    }
    if (is_slow)
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    return __real_pread(fd, out, n, at);
}

static int layers_of(const char *dir)
{
    int layers;
    bool tied;
    properties(dir, &layers, &tied);
    return layers;
}

/* Runs with `disk` layers of each rank on disk; true: the bits of `first`. */
static bool same_from_disk(const struct job *first, int ranks, int layers, int disk, int chunk)
{
    struct job job = *first;
    struct sw_engine_slice slices[2] = {{0}};
    for (int r = 0, from = 0; r < ranks; r++) {
        slices[r].first = from;
        slices[r].count = layers / ranks + (r < layers % ranks);
        slices[r].tiers.n_disk = disk < slices[r].count ? disk : slices[r].count;
        from += slices[r].count;
    }
    job.ranks = ranks;
    job.chunk = chunk;
    job.slices = slices;
    const enum sw_status status = job_run(&job);
    bool same = status == SW_OK;
    if (!same)
        printf("    %s: %s\n", job.dir, job.error);
    same = same &&
           memcmp(job.logits, first->logits,
                  (size_t)job.n_ids * (size_t)job.vocab * sizeof(float)) == 0 &&
           memcmp(job.new_ids, first->new_ids, (size_t)job.n_new * sizeof *job.new_ids) == 0;
    if (!same)
        printf("    %s: %d ranks, %d of %d layers on disk, chunks of %d\n", job.dir, ranks, disk,
               layers, chunk);
    job_free(&job);
    return same;
}

static void as_in_memory(const char *dir, enum sw_format_id weights, bool as_stored)
{
    struct job first = job_of(dir, weights);
    const int layers = layers_of(dir);
    first.as_stored = as_stored;
    first.slices = NULL;
    first.gpus = false;
    CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
    for (int disk = 1; disk <= layers; disk++)
        for (int ranks = 1; ranks <= 2; ranks++)
            CU_ASSERT(same_from_disk(&first, ranks, layers, disk, disk % 2 ? 7 : 80));
    job_free(&first);
}

static void every_family(void)
{
    sw_log_setup(SW_LOG_WARN);
    static const char *const names[] = {"bloom",   "gpt2",    "gpt_neox", "gptj",  "llama31",
                                        "mistral", "mixtral", "opt",      "qwen2", "qwen3_moe"};
    char dir[4096];
    make_ids();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i += EACH) {
        path_of(names[i], dir, sizeof dir);
        as_in_memory(dir, SW_FORMAT_F32, false);
    }
}

/* Gemma 4: heads of two sizes, experts beside an MLP, rows with more aside. */
static void of_smaller_vocabularies(void)
{
    static const char *const names[] = {"gemma4", "gemma4_moe", "gemma4_e"};
    char dir[4096];
    make_ids();
    for (int i = 0; i < N_IDS; i++)
        ids[i] %= 131;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i += EACH) {
        path_of(names[i], dir, sizeof dir);
        as_in_memory(dir, SW_FORMAT_F32, false);
    }
}

/* Runs the tiers with the memory that the plan counts; true: the bits of `first`. */
static bool same_with_tiers(const struct job *first, int layers, const struct sw_tiers *tiers)
{
    struct sw_engine_slice slice = {.count = layers, .tiers = *tiers};
    struct job job = job_of(first->dir, first->weights);
    job.chunk = tiers->n_disk % 2 ? 7 : 80;
    const bool same =
        run(&job, &slice) &&
        memcmp(job.logits, first->logits, (size_t)N_IDS * (size_t)job.vocab * sizeof(float)) == 0;
    if (!same)
        printf("    %s: %d on the GPU, %d streamed, %d on disk for the %s, prompts from %d\n",
               first->dir, tiers->n_gpu, tiers->n_streamed, tiers->n_disk,
               tiers->disk_on_gpu ? "GPU" : "CPU", tiers->stream_rows);
    job_free(&job);
    return same;
}

/* Behind layers on a GPU, in host memory and streamed ones, run by the CPU or the GPU, with the
 * memory that the plan counts; with host layers streamed for prompts and not. */
static void beside_a_gpu(void)
{
    static const char *const names[] = {"llama31", "gpt2", "qwen3_moe_sparse_step"};
    char dir[4096];
    make_ids();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i += EACH) {
        path_of(names[i], dir, sizeof dir);
        struct job first = job_of(dir, SW_FORMAT_F32);
        const int layers = layers_of(dir);
        CU_ASSERT_EQUAL_FATAL(job_run(&first), SW_OK);
        for (int disk = 1; disk <= layers; disk++)
            for (int gpu = 0; gpu + disk <= layers; gpu++)
                for (int streamed = 0; streamed + gpu + disk <= layers; streamed++)
                    for (int way = 0; way < 4; way++) {
                        const struct sw_tiers tiers = {.n_gpu = gpu,
                                                       .n_streamed = streamed,
                                                       .n_disk = disk,
                                                       .disk_on_gpu = way & 1,
                                                       .stream_rows = way & 2 ? 9 : 0};
                        CU_ASSERT(same_with_tiers(&first, layers, &tiers));
                    }
        job_free(&first);
    }
}

static void every_weight_format(void)
{
    char dir[4096];
    make_ids();
    path_of("llama31", dir, sizeof dir);
    for (int i = 0; i < SW_FORMAT_COUNT; i += EACH)
        as_in_memory(dir, (enum sw_format_id)i, false);
}

static void every_published_form(void)
{
    static const char *const names[] = {"nf4",  "nf4_odd",    "fp4", "int8",    "fp8_tile",
                                        "gptq", "gptq_order", "awq", "ct_asym", "ct_int8"};
    char dir[4096];
    make_ids();
    for (int i = 0; i < N_IDS; i++)
        ids[i] %= 32; /* these models have few */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i += EACH) {
        snprintf(dir, sizeof dir, "%s/tests/models/quantized/%s", SW_SOURCE_DIR, names[i]);
        as_in_memory(dir, SW_FORMAT_F16, true);
    }
}

/* A copy of a model whose file a test may spoil. */
static void copy_model(const char *from, char *to, char *weights)
{
    char command[9000];
    snprintf(to, 64, "/tmp/spillway-disk-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(to));
    snprintf(command, sizeof command, "cp %s/* %s/", from, to);
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
    snprintf(weights, 128, "%s/model.safetensors", to);
}

static void remove_model(const char *dir)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* All layers are on disk, for the CPU or a GPU. */
static enum sw_status run_from_disk(struct job *job, const char *dir, bool gpu,
                                    const volatile sig_atomic_t *stop)
{
    const struct sw_engine_slice slice = {.count = layers_of(dir),
                                          .gpu_memory = gpu ? UINT64_MAX : 0,
                                          .tiers = {.n_disk = layers_of(dir), .disk_on_gpu = gpu}};
    *job = job_of(dir, SW_FORMAT_F32);
    job->gpus = gpu;
    job->slices = &slice;
    job->silence_s = 60;
    job->stall_s = hangs ? 1 : 0;
    job->stop = stop;
    const enum sw_status status = job_run(job);
    job->slices = NULL;
    job_free(job);
    if (gpu && !hangs)
        CU_ASSERT_EQUAL(job->gpu_reports[0].left + (uint64_t)job->gpu_reports[0].pins_left, 0);
    return status;
}

static void failing_reads_end_with_the_files_name(void)
{
    char from[4096], dir[64], weights[128];
    struct job job;
    make_ids();
    path_of("llama31", from, sizeof from);
    copy_model(from, dir, weights);
    for (int gpu = 0; gpu < 2; gpu++) {
        fails_after = 0;
        reads = 0;
        CU_ASSERT_EQUAL(run_from_disk(&job, dir, gpu, NULL), SW_OK);
        const int all = reads;
        CU_ASSERT(all > 40);
        for (int n = all / 3; n < all - 20; n += all / 7) {
            reads = 0;
            fails_after = n;
            CU_ASSERT_EQUAL(run_from_disk(&job, dir, gpu, NULL), SW_EIO);
            CU_ASSERT_PTR_NOT_NULL(strstr(job.error, weights));
            CU_ASSERT_PTR_NOT_NULL(strstr(job.error, "tensor '"));
        }
    }
    fails_after = 0;
    remove_model(dir);
}

/* The address sanitizer asks for it. Threads that hang are left to themselves with what they hold,
 * and how much of that it sees from its roots depends on the moment at which it looks. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:list_run\n";
}

/* Reads that never return: the run ends all the same, and says which file it is. What hangs is left
 * to itself with what it uses, and does no harm when it returns after all. */
static void a_disk_that_never_answers(void)
{
    char dir[4096], weights[4200];
    struct job job;
    make_ids();
    path_of("llama31", dir, sizeof dir);
    snprintf(weights, sizeof weights, "%s/model.safetensors: nothing has come from byte ", dir);
    for (int gpu = 0; gpu < 2; gpu++) {
        reads = 0;
        fails_after = 60;
        hangs = true;
        CU_ASSERT_EQUAL(run_from_disk(&job, dir, gpu, NULL), SW_EIO);
        CU_ASSERT_PTR_NOT_NULL(strstr(job.error, weights));
        heal();
    }
}

struct lost {
    atomic_bool is;
    char message[SW_ERROR_MAX];
};

static void lose(void *context, enum sw_status status)
{
    struct lost *lost = context;
    CU_ASSERT_EQUAL(status, SW_EIO);
    snprintf(lost->message, sizeof lost->message, "%s", sw_error_message());
    atomic_store(&lost->is, true);
}

/* Reads a model's tensors, as loading does in the main thread. */
static void *read_all(void *argument)
{
    struct sw_reader *reader = argument;
    const struct sw_tensors *tensors = sw_reader_tensors(reader);
    for (size_t i = 0; i < tensors->count; i++) {
        const struct sw_tensor *t = &tensors->items[i];
        void *rows = malloc(t->bytes + 1);
        if (!rows || sw_reader_rows(reader, t, 0, sw_reader_row_count(t), rows) != SW_OK)
            i = tensors->count;
        free(rows);
    }
    return NULL;
}

#define WATCH_S 4 /* this process may be stopped for a while, which is no loss */

/* While loading another thread watches: what comes, however slowly, is no loss, nor is a reader
 * that does not read; what never comes is told with file and offset. */
static void a_watch_over_reads(void)
{
    static struct sw_tensors tensors; /* the thread that hangs has it for good */
    static struct sw_reader *reader;
    char dir[4096], weights[4200];
    struct sw_read_watch *watch;
    struct lost lost = {false, ""};
    pthread_t thread;
    path_of("llama31", dir, sizeof dir);
    snprintf(weights, sizeof weights, "%s/model.safetensors: nothing has come from byte ", dir);
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_open(dir, &tensors), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&tensors, &reader), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_read_watch_start(reader, WATCH_S, lose, &lost, &watch), SW_OK);
    is_slow = true;
    read_all(reader);
    is_slow = false;
    nanosleep(&(struct timespec){.tv_sec = WATCH_S + 2}, NULL);
    CU_ASSERT(!lost.is);
    CU_ASSERT(!sw_reader_is_reading(reader));
    reads = 0;
    fails_after = 5;
    hangs = true;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, read_all, reader), 0);
    pthread_detach(thread);
    for (int i = 0; i < 3000 && !lost.is; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    CU_ASSERT_FATAL(lost.is);
    CU_ASSERT_PTR_NOT_NULL(strstr(lost.message, weights));
    sw_read_watch_stop(watch);
    heal();
}

static void what_ends_a_job_while_it_reads(void)
{
    char from[4096], dir[64], weights[128];
    make_ids();
    path_of("llama31", from, sizeof from);
    for (int i = 0; i < 2 * SPOILS; i++) {
        struct job job;
        copy_model(from, dir, weights);
        struct spoiler s = {weights, i / 2, 0};
        reads = 0;
        is_slow = true;
        spoiler = &s;
        CU_ASSERT_EQUAL(run_from_disk(&job, dir, i % 2, &s.stop),
                        s.how == STOPS ? SW_EINTERRUPTED : SW_EMODEL);
        spoiler = NULL;
        is_slow = false;
        if (s.how != STOPS)
            CU_ASSERT_PTR_NOT_NULL(strstr(job.error, weights));
        remove_model(dir);
    }
}

/* ---- the store of a GPU by itself */

/* Waits until nothing has been read for a while. */
static void wait_for_quiet(void)
{
    for (int before = -1; before != reads;) {
        before = reads;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
}

static bool same_weights(const struct sw_weights *a, const struct sw_weights *b)
{
    bool same = a->n_experts == b->n_experts;
    for (int i = 0; i < SW_W_COUNT && same; i++) {
        const struct sw_matrix *m = &a->matrix[i];
        same = !m->d_data == !b->matrix[i].d_data &&
               (!m->d_data || memcmp(m->d_data, b->matrix[i].d_data,
                                     sw_matrix_bytes(m->format, m->rows, m->cols)) == 0);
    }
    return same;
}

/* A model with its layers in the memory of a GPU, and on disk. */
struct rig {
    struct sw_model *model;
    struct sw_tensors tensors;
    struct sw_reader *reader;
    struct sw_backend *cpu, *gpu;
    int gpu_index;
    struct sw_pins pins;
    struct sw_loader loader;
    struct sw_store *memory, *disk;
};

static void rig_open_model(struct rig *r)
{
    char dir[4096];
    *r = (struct rig){0};
    path_of("qwen3_moe_sparse_step", dir, sizeof dir);
    CU_ASSERT_EQUAL_FATAL(sw_open_model(dir, &r->model), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_open_tensors(dir, &r->tensors), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_checkpoint_fit(r->model, &r->tensors), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_reader_open(&r->tensors, &r->reader), SW_OK);
    const int64_t cols = sw_model_max_cols(r->model);
    const struct sw_cpu_options cpu = {.threads = 1, .max_rows = 16, .max_cols = cols};
    const struct sw_gpu_options gpu = {.max_rows = 16, .max_cols = cols, .memory = UINT64_MAX};
    CU_ASSERT_EQUAL_FATAL(sw_backend_cpu_open(&cpu, &r->cpu), SW_OK);
    CU_ASSERT_EQUAL_FATAL(fake_open(&gpu, 1, NULL, &r->gpu, &r->gpu_index), SW_OK);
    r->pins.gpu = r->gpu;
    r->loader = (struct sw_loader){.model = r->model,
                                   .tensors = &r->tensors,
                                   .reader = r->reader,
                                   .params = {.weights = SW_FORMAT_F32,
                                              .unquantized = SW_FORMAT_F32,
                                              .kv = SW_F32,
                                              .context = 64,
                                              .slots = 1,
                                              .max_batch_tokens = 16}};
}

static void rig_open(struct rig *r)
{
    rig_open_model(r);
    const int layers = r->model->dims.n_layers;
    const struct sw_store_layers all = {0, layers};
    const struct sw_staging sizes = sw_staging_of(r->model, &r->loader.params);
    const struct sw_disk_options disk = {.cpu = r->cpu,
                                         .gpu = r->gpu,
                                         .pins = &r->pins,
                                         .loader = &r->loader,
                                         .count = layers,
                                         .layer_bytes = sizes.layer};
    const struct sw_streamed_options streamed = {.gpu = r->gpu,
                                                 .cpu = r->cpu,
                                                 .pins = &r->pins,
                                                 .layers = all,
                                                 .n_experts = r->model->dims.n_experts,
                                                 .n_buffers = SW_DISK_STREAM_BUFFERS,
                                                 .layer_bytes = sizes.layer,
                                                 .disk = &disk};
    CU_ASSERT_EQUAL_FATAL(sw_store_resident_open(r->gpu, &all, &r->memory), SW_OK);
    for (int i = 0; i < layers; i++)
        CU_ASSERT_EQUAL(r->memory->ops->load(r->memory, &r->loader, i), SW_OK);
    CU_ASSERT_EQUAL_FATAL(sw_store_streamed_open(&streamed, &r->disk), SW_OK);
}

static void rig_close(struct rig *r)
{
    const struct fake_report *report = &fake_report_of[r->gpu_index];
    r->disk->ops->close(r->disk);
    r->memory->ops->close(r->memory);
    r->gpu->ops->close(r->gpu);
    r->cpu->ops->close(r->cpu);
    CU_ASSERT_EQUAL(report->faults + report->pins_left, 0);
    CU_ASSERT_EQUAL(report->left, 0);
    sw_reader_close(r->reader);
    sw_tensors_free(&r->tensors);
    sw_model_close(r->model);
}

/* A layer that waits in host memory to be copied is not read over, however long the GPU takes. */
static void what_is_not_copied_stays(void)
{
    struct rig r;
    rig_open(&r);
    const int layers = r.model->dims.n_layers;
    CU_ASSERT_FATAL(layers > SW_DISK_BUFFERS);
    for (int pass = 0; pass < 2; pass++) {
        CU_ASSERT_EQUAL(begin_range(r.disk, 0, layers), SW_OK);
        for (int i = 0; i < layers; i++) {
            const struct sw_weights *want, *got;
            wait_for_quiet(); /* it is being fetched by now, but not yet copied */
            CU_ASSERT_EQUAL(r.memory->ops->acquire(r.memory, i, &want), SW_OK);
            CU_ASSERT_EQUAL(r.disk->ops->acquire(r.disk, i, &got), SW_OK);
            CU_ASSERT_TRUE(same_weights(want, got));
            wait_for_quiet(); /* the next one has been read */
            CU_ASSERT_EQUAL(r.disk->ops->release(r.disk, i), SW_OK);
        }
    }
    rig_close(&r);
}

/* The next layer is read while one is used, and the first one behind the last: only at the
 * beginning is a layer waited for. */
static void reading_goes_on_meanwhile(void)
{
    struct rig r;
    rig_open(&r);
    const int layers = r.model->dims.n_layers;
    for (int pass = 0; pass < 2; pass++) {
        CU_ASSERT_EQUAL(begin_range(r.disk, 0, layers), SW_OK);
        for (int i = 0; i < layers; i++) {
            const struct sw_weights *w;
            wait_for_quiet();
            const int before = reads;
            CU_ASSERT_EQUAL(r.disk->ops->acquire(r.disk, i, &w), SW_OK);
            wait_for_quiet(); /* its buffer in host memory is read into while it is used */
            CU_ASSERT(reads > before);
            CU_ASSERT_EQUAL(r.disk->ops->release(r.disk, i), SW_OK);
        }
    }
    rig_close(&r);
}

SW_UNIT_TESTS({"every family", every_family}, {"of smaller vocabularies", of_smaller_vocabularies},
              {"beside a GPU", beside_a_gpu}, {"every weight format", every_weight_format},
              {"every published form", every_published_form},
              {"failing reads end with the file's name", failing_reads_end_with_the_files_name},
              {"a disk that never answers", a_disk_that_never_answers},
              {"a watch over reads", a_watch_over_reads},
              {"what ends a job while it reads", what_ends_a_job_while_it_reads},
              {"what is not copied stays", what_is_not_copied_stays},
              {"reading goes on meanwhile", reading_goes_on_meanwhile})

/* Ranks as threads of one process: order, sizes, deadlines, the stop flag, the common end. */
#include "transport/transport.h"
#include "unit.h"

#include "transport/transport_ops.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define RANKS_MAX 8
#define SHORT_JOBS 100
#define PATIENCE 300 /* seconds of silence that are no loss, however busy the machine is */

/* What every rank of a job does; its outcome goes to sw_transport_finish. */
typedef enum sw_status role(struct sw_transport *t);

struct actor {
    pthread_t thread;
    struct sw_transport *t;
    role *act;
    enum sw_status status;
    bool silent; /* all was said by then */
};

static volatile sig_atomic_t stop;

static void *play(void *argument)
{
    struct actor *actor = argument;
    sw_error_clear();
    actor->status = sw_transport_finish(actor->t, actor->act(actor->t));
    actor->silent = *sw_error_message() == 0;
    return NULL;
}

/* Runs n ranks; stderr goes to `said` (cap bytes). Returns the exit code that all agree on, or -1.
 */
static int job(int n, role *act, double silence_s, char *said, size_t cap)
{
    struct actor actors[RANKS_MAX];
    struct sw_transport *ends[RANKS_MAX];
    const struct sw_transport_options options = {.silence_s = silence_s, .stop = &stop};
    CU_ASSERT_EQUAL_FATAL(sw_transport_open_self(n, &options, ends), SW_OK);
    FILE *file = tmpfile();
    const int saved = dup(STDERR_FILENO);
    CU_ASSERT_FATAL(file != NULL && dup2(fileno(file), STDERR_FILENO) >= 0);
    for (int i = 0; i < n; i++) {
        actors[i] = (struct actor){.t = ends[i], .act = act};
        pthread_create(&actors[i].thread, NULL, play, &actors[i]);
    }
    int code = -1;
    for (int i = 0; i < n; i++) {
        pthread_join(actors[i].thread, NULL);
        const int theirs = sw_status_exit_code(actors[i].status);
        code = i == 0 || code == theirs ? theirs : -1;
        CU_ASSERT(actors[i].silent);
    }
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    const size_t length = fread(said, 1, cap - 1, file);
    said[length] = 0;
    fclose(file);
    return code;
}

static int lines_in(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static enum sw_status counts(struct sw_transport *t)
{
    enum { N = 500 };
    struct sw_message m = {.kind = 3};
    if (t->rank == 0) {
        int next[RANKS_MAX] = {0};
        for (int i = 0; i < N * (t->size - 1); i++) {
            int number = -1;
            SW_TRY(sw_transport_recv(t, SW_ANY_RANK, &m, &number, sizeof number));
            if (number != next[m.source]++ || m.body[0] != (unsigned char)number)
                return sw_fail(SW_EINPUT, "rank %d: got %d", m.source, number);
        }
        return SW_OK;
    }
    for (int i = 0; i < N; i++) {
        m.body[0] = (unsigned char)i;
        SW_TRY(sw_transport_send(t, 0, &m, &i, sizeof i));
    }
    return SW_OK;
}

static void keeps_the_order_of_each_sender(void)
{
    char said[1000];
    CU_ASSERT_EQUAL(job(5, counts, PATIENCE, said, sizeof said), 0);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static enum sw_status sizes(struct sw_transport *t)
{
    static const size_t list[] = {0, 1, 4096, 65537, 100000000, 70u << 20};
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct sw_message m = {.kind = 1};
        char *data = malloc(list[i] + 1);
        if (!data)
            return sw_fail(SW_ENOMEM, "no memory");
        enum sw_status status;
        if (t->rank == 0) {
            memset(data, (int)i + 1, list[i]);
            status = sw_transport_send(t, 1, &m, data, list[i]);
        } else {
            status = sw_transport_recv_head(t, 0, &m);
            if (status == SW_OK && m.bytes != list[i])
                status = sw_fail(SW_EINPUT, "%llu bytes", (unsigned long long)m.bytes);
            if (status == SW_OK)
                status = sw_transport_recv_payload(t, &m, data);
            for (size_t k = 0; k < list[i] && status == SW_OK; k++)
                if (data[k] != (char)(i + 1))
                    status = sw_fail(SW_EINPUT, "byte %zu is wrong", k);
        }
        free(data);
        SW_TRY(status);
    }
    return SW_OK;
}

static void carries_every_size(void)
{
    char said[1000];
    CU_ASSERT_EQUAL(job(2, sizes, PATIENCE, said, sizeof said), 0);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static enum sw_status collectives(struct sw_transport *t)
{
    for (int root = 0; root < t->size; root++) {
        char mine[32];
        snprintf(mine, sizeof mine, "from %d", root);
        void *bytes = mine;
        size_t length = strlen(mine);
        SW_TRY(sw_transport_broadcast(t, root, &bytes, &length));
        const bool same = length == strlen(mine) && strcmp(bytes, mine) == 0;
        if (t->rank != root)
            free(bytes);
        if (!same)
            return sw_fail(SW_EINPUT, "broadcast from %d", root);
        SW_TRY(sw_transport_barrier(t));
    }
    char block[RANKS_MAX];
    memset(block, 'a' + t->rank, sizeof block);
    void *blocks[RANKS_MAX];
    size_t lengths[RANKS_MAX];
    SW_TRY(sw_transport_gather(t, block, (size_t)t->rank, blocks, lengths));
    enum sw_status status = SW_OK;
    for (int i = 0; i < t->size && t->rank == 0; i++) {
        memset(block, 'a' + i, sizeof block);
        if (lengths[i] != (size_t)i || memcmp(blocks[i], block, lengths[i]) != 0)
            status = sw_fail(SW_EINPUT, "gather of %d", i);
        free(blocks[i]);
    }
    return status;
}

/* Equal blocks reach everybody; a longer one is refused by everybody, and the rank is named. */
static enum sw_status allgathers(struct sw_transport *t)
{
    const int32_t mine[2] = {t->rank, -t->rank};
    void *all;
    SW_TRY(sw_transport_allgather(t, mine, sizeof mine, &all));
    const int32_t *values = all;
    enum sw_status status = SW_OK;
    for (int i = 0; i < t->size; i++)
        if (values[2 * i] != i || values[2 * i + 1] != -i)
            status = sw_fail(SW_EINPUT, "rank %d has %d of rank %d", t->rank, values[2 * i], i);
    free(all);
    return status;
}

static enum sw_status allgathers_unlike(struct sw_transport *t)
{
    const char mine[4] = "abc";
    void *all;
    const enum sw_status status = sw_transport_allgather(t, mine, t->rank == 1 ? 4 : 3, &all);
    if (status == SW_OK)
        free(all);
    return status;
}

static void gathers_to_all(void)
{
    char said[1000];
    for (int n = 1; n <= RANKS_MAX; n++) {
        CU_ASSERT_EQUAL(job(n, allgathers, PATIENCE, said, sizeof said), 0);
        CU_ASSERT_STRING_EQUAL(said, "");
    }
    CU_ASSERT_EQUAL(job(3, allgathers_unlike, PATIENCE, said, sizeof said), 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "rank 1"));
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "sent 4 bytes where rank 0 has 3"));
}

/* Links to others than the neighbours are made when something is sent there, so some are half made
 * when the job is over: their end is no loss of a rank. */
static enum sw_status greets_all_and_leaves(struct sw_transport *t)
{
    struct sw_message message = {.kind = 1};
    for (int peer = 0; peer < t->size; peer++)
        if (peer != t->rank)
            SW_TRY(sw_transport_send(t, peer, &message, NULL, 0));
    for (int peer = 0; peer < t->size; peer++)
        if (peer != t->rank)
            SW_TRY(sw_transport_recv(t, peer, &message, NULL, 0));
    return SW_OK;
}

static void short_jobs_end_well(void)
{
    char said[1000];
    for (int i = 0; i < SHORT_JOBS; i++) {
        CU_ASSERT_EQUAL(job(RANKS_MAX, greets_all_and_leaves, PATIENCE, said, sizeof said), 0);
        CU_ASSERT_STRING_EQUAL(said, "");
    }
}

static void gathers_and_broadcasts(void)
{
    char said[1000];
    for (int n = 1; n <= RANKS_MAX; n++) {
        CU_ASSERT_EQUAL(job(n, collectives, PATIENCE, said, sizeof said), 0);
        CU_ASSERT_STRING_EQUAL(said, "");
    }
}

static enum sw_status wait_for_ever(struct sw_transport *t)
{
    struct sw_message m;
    return sw_transport_recv(t, SW_ANY_RANK, &m, NULL, 0);
}

static enum sw_status one_fails(struct sw_transport *t)
{
    if (t->rank == 2)
        return sw_fail(SW_EMODEL, "shard 7 is cut short");
    return wait_for_ever(t);
}

static void says_a_failure_once(void)
{
    char said[1000];
    CU_ASSERT_EQUAL(job(5, one_fails, PATIENCE, said, sizeof said), 3);
    CU_ASSERT_EQUAL(lines_in(said), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "rank 2 on "));
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "shard 7 is cut short"));
}

static enum sw_status all_fail(struct sw_transport *t)
{
    (void)t;
    return sw_fail(SW_EUSAGE, "no such flag");
}

static void says_the_same_failure_of_all_once(void)
{
    char said[1000];
    CU_ASSERT_EQUAL(job(4, all_fail, PATIENCE, said, sizeof said), 2);
    CU_ASSERT_EQUAL(lines_in(said), 1);
}

static void pause_s(double seconds)
{
    const struct timespec ts = {(time_t)seconds, (long)((seconds - (int)seconds) * 1e9)};
    nanosleep(&ts, NULL);
}

/* Rank 1's main thread says nothing for several times the timeout; its heartbeat goes on. */
static enum sw_status one_is_busy(struct sw_transport *t)
{
    struct sw_message m = {.kind = 1};
    if (t->rank != 1)
        return sw_transport_recv(t, 1, &m, NULL, 0);
    pause_s(8);
    SW_TRY(sw_transport_send(t, 0, &m, NULL, 0));
    return sw_transport_send(t, 2, &m, NULL, 0);
}

static void a_busy_peer_is_not_lost(void)
{
    char said[1000];
    CU_ASSERT_EQUAL(job(3, one_is_busy, 3, said, sizeof said), 0);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static enum sw_status one_asks_to_stop(struct sw_transport *t)
{
    if (t->rank == 1) {
        pause_s(0.1);
        __atomic_store_n(&stop, 15, __ATOMIC_RELAXED);
    }
    return wait_for_ever(t);
}

static void a_stop_ends_every_wait(void)
{
    char said[1000];
    stop = 0;
    CU_ASSERT_EQUAL(job(3, one_asks_to_stop, PATIENCE, said, sizeof said), 75);
    stop = 0;
    CU_ASSERT_EQUAL(lines_in(said), 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "signal 15"));
}

static enum sw_status sends_too_much(struct sw_transport *t)
{
    char text[16] = "fifteen letters";
    struct sw_message m = {.kind = 1};
    if (t->rank == 0)
        return sw_transport_send(t, 1, &m, text, sizeof text);
    return sw_transport_recv(t, 0, &m, text, 4);
}

static void a_payload_too_large_is_refused(void)
{
    char said[1000];
    CU_ASSERT_EQUAL(job(2, sends_too_much, PATIENCE, said, sizeof said), 75);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "16 bytes where at most 4"));
}

/* Far more than may be under way; the receiver is slow. */
static enum sw_status floods(struct sw_transport *t)
{
    enum { BLOCK = 16 << 20, N = 12 };
    struct sw_message m = {.kind = 1};
    char *block = calloc(1, BLOCK);
    enum sw_status status = block ? SW_OK : sw_fail(SW_ENOMEM, "no memory");
    for (int i = 0; i < N && status == SW_OK; i++) {
        if (t->rank == 0) {
            status = sw_transport_send(t, 1, &m, block, BLOCK);
            uint64_t under_way = 0;
            if (status == SW_OK)
                status = t->ops->pending(t, 1, &under_way);
            if (under_way > 64u << 20)
                status = sw_fail(SW_EINPUT, "%llu under way", (unsigned long long)under_way);
        } else {
            pause_s(0.01);
            status = sw_transport_recv(t, 0, &m, block, BLOCK);
        }
    }
    free(block);
    return status;
}

static void what_is_under_way_is_bounded(void)
{
    char said[1000];
    CU_ASSERT_EQUAL(job(2, floods, PATIENCE, said, sizeof said), 0);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static enum sw_status talks_to_itself(struct sw_transport *t)
{
    struct sw_message m = {.kind = 9};
    int value = 42, got = 0;
    bool ready = true;
    SW_TRY(sw_transport_poll(t, SW_ANY_RANK, &ready));
    if (ready)
        return sw_fail(SW_EINPUT, "a message from nobody");
    SW_TRY(sw_transport_send(t, t->rank, &m, &value, sizeof value));
    SW_TRY(sw_transport_poll(t, t->rank, &ready));
    SW_TRY(sw_transport_recv(t, t->rank, &m, &got, sizeof got));
    if (!ready || got != 42)
        return sw_fail(SW_EINPUT, "%d", got);
    const enum sw_status status = wait_for_ever(t); /* nobody is left to send anything */
    return status == SW_EPEER ? SW_OK : sw_fail(SW_EINPUT, "waited for nobody");
}

static void one_rank_talks_to_itself(void)
{
    char said[1000];
    CU_ASSERT_EQUAL(job(1, talks_to_itself, 0.2, said, sizeof said), 0);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static void no_launcher_means_one_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",
                                        "SLURM_STEP_NUM_TASKS"};
    struct sw_transport *t = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    CU_ASSERT_EQUAL_FATAL(sw_transport_open(NULL, &t), SW_OK);
    CU_ASSERT_STRING_EQUAL(t->ops->name, "self");
    CU_ASSERT_EQUAL(t->size, 1);
    CU_ASSERT_EQUAL(t->n_nodes, 1);
    CU_ASSERT_EQUAL(sw_transport_finish(t, SW_OK), 0);
    setenv("SLURM_STEP_NUM_TASKS", "3",
           1); /* srun without PMIx: three jobs that think they are one */
    CU_ASSERT_EQUAL(sw_transport_open(NULL, &t), SW_EUSAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(sw_error_message(), "--mpi=pmix"));
    unsetenv("SLURM_STEP_NUM_TASKS");
}

SW_UNIT_TESTS({"keeps the order of each sender", keeps_the_order_of_each_sender},
              {"carries every size", carries_every_size},
              {"gathers and broadcasts", gathers_and_broadcasts},
              {"gathers to all", gathers_to_all}, {"short jobs end well", short_jobs_end_well},
              {"says a failure once", says_a_failure_once},
              {"says the same failure of all once", says_the_same_failure_of_all_once},
              {"a busy peer is not lost", a_busy_peer_is_not_lost},
              {"a stop ends every wait", a_stop_ends_every_wait},
              {"a payload too large is refused", a_payload_too_large_is_refused},
              {"what is under way is bounded", what_is_under_way_is_bounded},
              {"one rank talks to itself", one_rank_talks_to_itself},
              {"no launcher means one rank", no_launcher_means_one_rank})

/* Owns the checks before and while MPI starts, and the thread that ends a start that hangs. */
#include "transport/start.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread_start.h"
#include "base/timed_wait.h"
#include "transport/network.h"
#include "transport/transport.h"
#include "transport/verdict.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SHM_OF_A_RANK (6ull << 20) /* bytes; Open MPI 4.1 (vader): 4 MiB, and small things */
#define LISTED_RANKS 16            /* so many ranks print the networks of their hosts */
#define POLL_S 0.2                 /* between two checks of whether the start must end */

static int start_env_int(const char *variable, int otherwise)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

/* Ranks of the job, ranks on this host, and this one's number there; 0, 0, -1 without a launcher.
 */
struct launched {
    int ranks, here, local;
};

static struct launched launched(void)
{
    if (getenv("OMPI_COMM_WORLD_SIZE"))
        return (struct launched){start_env_int("OMPI_COMM_WORLD_SIZE", 0),
                                 start_env_int("OMPI_COMM_WORLD_LOCAL_SIZE", 0),
                                 start_env_int("OMPI_COMM_WORLD_LOCAL_RANK", -1)};
    const int ranks = start_env_int("SLURM_STEP_NUM_TASKS", 0);
    const int nodes = start_env_int("SLURM_STEP_NUM_NODES", 0);
    return (struct launched){ranks, nodes > 0 ? (ranks + nodes - 1) / nodes : 0,
                             start_env_int("SLURM_LOCALID", -1)};
}

static enum sw_status check_network(const struct sw_interface *interfaces, int n)
{
    char host[SW_HOST_MAX] = "this host";
    struct sw_strbuf text = {0};
    if (getenv("OMPI_MCA_btl_tcp_if_include"))
        return SW_OK; /* the user has chosen */
    for (int i = 0; i < n; i++)
        if (!sw_network_is_bridge(&interfaces[i]))
            return SW_OK;
    gethostname(host, sizeof host - 1);
    sw_network_describe(interfaces, n, &text);
    (void)sw_fail(SW_EDEVICE,
                  "%s has no network that the job's other hosts could reach (it has: %s); bring a "
                  "network up, or name the right one: OMPI_MCA_btl_tcp_if_include=NAME",
                  host, text.text ? text.text : "");
    sw_strbuf_free(&text);
    return SW_EDEVICE;
}

static enum sw_status check_shm(int ranks)
{
    struct statvfs shm;
    char host[SW_HOST_MAX] = "this host";
    if (statvfs("/dev/shm", &shm) != 0)
        return SW_OK; /* Open MPI has other places */
    const unsigned long long free_bytes = (unsigned long long)shm.f_bavail * shm.f_frsize;
    if (free_bytes >= SHM_OF_A_RANK * (unsigned long long)ranks)
        return SW_OK;
    gethostname(host, sizeof host - 1);
    return sw_fail(
        SW_EDEVICE,
        "%s has %.1f MiB free in /dev/shm, through which its %d ranks exchange messages; "
        "they need %llu MiB: make it larger (mount -o remount,size=1g /dev/shm; in a container "
        "--shm-size=1g), or remove what other jobs have left there",
        host, (double)free_bytes / (1 << 20), ranks,
        SHM_OF_A_RANK * (unsigned long long)ranks >> 20);
}

static const struct {
    const char *line, *file;
} start_facts[] = {[SW_FACT_STARTED] = {"has started", "started"},
                   [SW_FACT_MET] = {"has met the others", "met"},
                   [SW_FACT_ENDED_WELL] = {"has ended well", "well"}};

void sw_start_report(int rank, enum sw_start_fact fact)
{
    const char *how = getenv("SPILLWAY_SUPERVISED");
    char path[PATH_MAX];
    if (rank != 0 || !how)
        return;
    if (*how != '/') {
        fprintf(stderr, "spillway-mpirun: rank 0 %s\n", start_facts[fact].line);
        fflush(stderr);
    } else if (snprintf(path, sizeof path, "%s/%s", how, start_facts[fact].file) <
               (int)sizeof path) {
        const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd >= 0) /* else the folder is on another host, and the script is not informed */
            close(fd);
    }
}

enum sw_status sw_start_check(void)
{
    const struct launched l = launched();
    /* From here on the ranks limit the time of the start; before, the launcher does. */
    sw_start_report(sw_transport_launch_rank(), SW_FACT_STARTED);
    struct sw_interface interfaces[SW_INTERFACES_MAX];
    enum sw_status status = SW_OK;
    if (l.here > 0 && l.ranks > l.here)
        status = check_network(interfaces, sw_network_list(interfaces, SW_INTERFACES_MAX));
    if (status == SW_OK && l.here > 1)
        status = check_shm(l.here);
    if (status != SW_OK && l.local > 0) {
        sw_error_clear();
        sleep(1); /* the first exit ends the job: the rank that has a message must be first */
    }
    return status;
}

struct sw_start_watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    double seconds;
    const volatile sig_atomic_t *stop;
    bool over;
};

/* Writes rank 0's verdict to the status file, or prints it. */
static void start_publish(const struct sw_verdict *verdict)
{
    const char *folder = sw_verdict_folder(), *job = sw_verdict_job();
    if (!folder || !*job || !sw_verdict_write(folder, job, 0, verdict))
        sw_log(SW_LOG_ERROR, "%s", verdict->text);
}

static void start_report_timeout(const char *host, const char *networks, const char *network,
                                 double seconds)
{
    struct sw_verdict verdict = {.status = SW_EDEVICE, .rank = -1};
    snprintf(verdict.text, sizeof verdict.text,
             "the ranks have not reached each other in %.3g s: one is stopped or cut off, or they "
             "try the wrong network. Networks of %s, where rank 0 is: %s. Name one that joins all "
             "hosts, such as mpirun --mca btl_tcp_if_include %s (with srun: export "
             "OMPI_MCA_btl_tcp_if_include=%s), and see that no firewall closes its ports; "
             "--timeout N waits longer",
             seconds, host, networks, network, network);
    start_publish(&verdict);
}

static void start_report_networks(int rank, double seconds)
{
    struct sw_interface interfaces[SW_INTERFACES_MAX];
    struct sw_strbuf text = {0};
    char host[SW_HOST_MAX] = "?", network[32] = "NETWORK";
    const int n = sw_network_list(interfaces, SW_INTERFACES_MAX);
    gethostname(host, sizeof host - 1);
    sw_network_describe(interfaces, n, &text);
    for (int i = n - 1; i >= 0; i--)
        if (!sw_network_is_bridge(&interfaces[i]))
            sw_network_of(&interfaces[i], network, sizeof network);
    if (rank == 0)
        start_report_timeout(host, text.text, network, seconds);
    else if (rank < LISTED_RANKS)
        sw_log(SW_LOG_WARN, "networks of %s, where rank %d is: %s", host, rank, text.text);
    sw_strbuf_free(&text);
}

static void start_report_stop(int rank, int number)
{
    struct sw_verdict verdict = {.status = SW_EINTERRUPTED, .rank = -1};
    snprintf(
        verdict.text, sizeof verdict.text,
        "a stop was requested (signal %d) before the ranks had met; run the same command again "
        "to go on",
        number);
    if (rank == 0)
        start_publish(&verdict);
}

/* Sleeps for POLL_S, or until sw_start_watchdog_end. */
static void watchdog_sleep(struct sw_start_watchdog *w)
{
    (void)sw_timed_wait(&w->wake, &w->lock, POLL_S);
}

static void *watchdog_thread(void *context)
{
    struct sw_start_watchdog *w = context;
    const double began = sw_clock();
    double now = began, stop_at = 0; /* stop_at: when a stop was noticed */
    int number = 0;
    pthread_mutex_lock(&w->lock);
    while (!w->over && now - began < w->seconds && !(stop_at > 0 && now - stop_at > SW_STOP_S)) {
        watchdog_sleep(w);
        now = sw_clock();
        number = w->stop ? __atomic_load_n(w->stop, __ATOMIC_RELAXED) : 0;
        stop_at = number && stop_at == 0 ? now : stop_at;
    }
    const bool over = w->over;
    pthread_mutex_unlock(&w->lock);
    if (over)
        return NULL;
    const int rank = sw_transport_launch_rank();
    if (number)
        start_report_stop(rank, number);
    else
        start_report_networks(rank, w->seconds);
    fflush(NULL);
    sleep(rank == 0 ? 1 : 3); /* lines of other ranks come first, and rank 0's exit code counts */
    _exit(sw_status_exit_code(number ? SW_EINTERRUPTED : SW_EDEVICE));
}

struct sw_start_watchdog *sw_start_watchdog_begin(double seconds, const volatile sig_atomic_t *stop)
{
    struct sw_start_watchdog *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->seconds = seconds;
    w->stop = stop;
    pthread_mutex_init(&w->lock, NULL);
    sw_timed_wait_init(&w->wake);
    if (sw_thread_start(&w->thread, NULL, watchdog_thread, w) == 0)
        return w;
    free(w);
    return NULL;
}

void sw_start_watchdog_end(struct sw_start_watchdog *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->over = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    free(w);
}

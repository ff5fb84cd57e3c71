/*
 * Heartbeats of a few ranks in this process over real sockets. Between two ranks a relay may pause,
 * slow, cut or close what passes.
 */
#include "base/clock.h"
#include "transport/heartbeat_impl.h"
#include "unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#define RANKS 3
#define TIMEOUT_S 3.0 /* on a busy machine a thread may not run for a second or two */
#define STALL_S 3.0
/* For what must happen, however slowly; time in which this process is stopped does not count. */
#define PATIENCE_S 60.0

static void pause_s(double seconds)
{
    poll(NULL, 0, (int)(seconds * 1e3));
}

/* A relay takes connections at a port of its own and passes bytes on to another. */
enum mood { PASS, SLOW, HOLD, CLOSE };
struct relay {
    pthread_t thread;
    int listener;
    uint16_t port, to;
    atomic_int mood;
    atomic_bool over;
};

static int dial(uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool pass(int from, int to)
{
    char bytes[512];
    struct pollfd ready = {.fd = from, .events = POLLIN};
    if (poll(&ready, 1, 5) != 1)
        return true;
    const ssize_t n = recv(from, bytes, sizeof bytes, 0);
    return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static void *relay(void *argument)
{
    struct relay *r = argument;
    int near = -1, far = -1;
    while (!r->over) {
        const int mood = r->mood;
        struct pollfd caller = {.fd = r->listener, .events = POLLIN};
        if (near < 0 && poll(&caller, 1, 10) == 1) {
            near = accept(r->listener, NULL, NULL);
            far = dial(r->to);
        }
        if (mood == HOLD || near < 0 || far < 0) {
            pause_s(0.005);
            continue;
        }
        if (mood == SLOW)
            pause_s(0.25);
        if (mood == CLOSE || !pass(near, far) || !pass(far, near)) {
            close(near);
            close(far);
            near = far = -1;
            if (mood == CLOSE)
                break;
        }
    }
    if (near >= 0) {
        close(near);
        close(far);
    }
    return NULL;
}

/* Three ranks without a transport under them; what rank 2 sends to rank 1 passes the relay. */
struct job {
    struct sw_heartbeat *hearts[RANKS];
    struct sw_transport ranks[RANKS];
    struct sw_transport_state states[RANKS];
    struct sw_transport_rank hosts[RANKS];
    struct sw_rank_info infos[RANKS];
    struct relay relay;
    FILE *said; /* in place of stderr */
    int stderr_before;
};
static volatile sig_atomic_t stop;

static void begin(struct job *job, double stall_s)
{
    memset(job, 0, sizeof *job);
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    job->said = tmpfile();
    job->stderr_before = dup(STDERR_FILENO);
    CU_ASSERT_FATAL(job->said && dup2(fileno(job->said), STDERR_FILENO) >= 0);
    for (int i = 0; i < RANKS; i++) {
        snprintf(job->hosts[i].host, SW_HOST_MAX, "h%d", i + 1);
        CU_ASSERT_EQUAL_FATAL(sw_heartbeat_open(true, &job->infos[i], &job->hearts[i]), SW_OK);
    }
    job->relay.listener = sw_heart_socket_listen(true, &job->relay.port);
    CU_ASSERT_FATAL(job->relay.listener >= 0);
    job->relay.to = job->infos[1].address.port;
    fcntl(job->relay.listener, F_SETFL, 0);
    pthread_create(&job->relay.thread, NULL, relay, &job->relay);
    for (int i = 0; i < RANKS; i++) {
        job->states[i].heartbeat = job->hearts[i];
        job->ranks[i] = (struct sw_transport){.rank = i,
                                              .size = RANKS,
                                              .ranks = job->hosts,
                                              .state = &job->states[i],
                                              .options = {.silence_s = TIMEOUT_S,
                                                          .stall_s = stall_s,
                                                          .stop = &stop,
                                                          .safe = "all that was done is safe"}};
        struct sw_rank_info infos[RANKS];
        memcpy(infos, job->infos, sizeof infos);
        if (i == 2)
            infos[1].address.port = job->relay.port;
        CU_ASSERT_EQUAL_FATAL(sw_heartbeat_start(job->hearts[i], &job->ranks[i], infos), SW_OK);
    }
}

static void step_all(struct job *job, bool waiting)
{
    for (int i = 0; i < RANKS; i++)
        sw_heartbeat_step(job->hearts[i], waiting);
}

/* Lets time pass until rank `rank` knows a verdict; how long that took, or -1 after `limit` or
 * more.
 */
static double until_judged(struct job *job, int rank, double limit)
{
    const double start = sw_clock();
    for (int k = 0; k < limit / 0.01; k++) {
        step_all(job, true);
        if (sw_heartbeat_judged(job->hearts[rank]))
            return sw_clock() - start;
        pause_s(0.01);
    }
    return -1;
}

/* Of a rank, under its lock: how far it is with what a test waits for. */
typedef int (*progress)(const struct sw_heartbeat *hb);

static int links_open(const struct sw_heartbeat *hb)
{
    int n = 0;
    for (int i = 0; i < hb->n_links; i++)
        n += hb->links[i]->state == SW_SOCKET_OPEN;
    return n;
}

static int knows_that_it_is_printed(const struct sw_heartbeat *hb)
{
    return hb->printed;
}

/* Waits until `of` of every rank is `wanted`; false after PATIENCE_S. */
static bool until_each(struct job *job, progress of, int wanted)
{
    int ready = 0;
    for (int k = 0; ready < RANKS && k < PATIENCE_S / 0.01; k++, pause_s(0.01)) {
        ready = 0;
        for (int i = 0; i < RANKS; i++) {
            pthread_mutex_lock(&job->hearts[i]->lock);
            ready += of(job->hearts[i]) == wanted;
            pthread_mutex_unlock(&job->hearts[i]->lock);
        }
    }
    return ready == RANKS;
}

/* Waits until the rank may go. */
static enum sw_release release(struct sw_heartbeat *hb)
{
    for (int k = 0; k < PATIENCE_S / 0.01 && !sw_heartbeat_release(hb); k++)
        pause_s(0.01);
    return sw_heartbeat_release(hb);
}

static bool nobody_judged(const struct job *job)
{
    for (int i = 0; i < RANKS; i++)
        if (sw_heartbeat_judged(job->hearts[i]))
            return false;
    return true;
}

/* All ranks end; what was said on stderr goes into `text`. */
static void end(struct job *job, char *text, size_t cap)
{
    for (int i = 0; i < RANKS; i++)
        sw_heartbeat_close(job->hearts[i]);
    job->relay.over = true;
    pthread_join(job->relay.thread, NULL);
    close(job->relay.listener);
    dup2(job->stderr_before, STDERR_FILENO);
    close(job->stderr_before);
    rewind(job->said);
    text[fread(text, 1, cap - 1, job->said)] = 0;
    fclose(job->said);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void a_quiet_job_is_left_alone(void)
{
    struct job job;
    char said[4000];
    begin(&job, 60);
    CU_ASSERT(until_judged(&job, 0, 3 * TIMEOUT_S) < 0);
    CU_ASSERT(nobody_judged(&job));
    for (int i = 0; i < RANKS; i++)
        sw_heartbeat_end(job.hearts[i]);
    for (int i = 0; i < RANKS; i++) {
        CU_ASSERT_EQUAL(release(job.hearts[i]), SW_RELEASE_TOGETHER);
    }
    end(&job, said, sizeof said);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static void pauses_and_slowness_are_no_loss(void)
{
    struct job job;
    char said[4000];
    begin(&job, 60);
    for (int i = 0; i < 4; i++) {
        job.relay.mood = HOLD;
        CU_ASSERT(until_judged(&job, 1, 0.4 * TIMEOUT_S) < 0);
        job.relay.mood = PASS;
        CU_ASSERT(until_judged(&job, 1, 0.2 * TIMEOUT_S) < 0);
    }
    job.relay.mood = SLOW;
    CU_ASSERT(until_judged(&job, 1, 2 * TIMEOUT_S) < 0);
    CU_ASSERT(nobody_judged(&job));
    end(&job, said, sizeof said);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static void a_cut_is_noticed_and_reported_to_all(void)
{
    struct job job;
    struct sw_verdict verdict[RANKS];
    char said[4000];
    begin(&job, 60);
    sw_heartbeat_label(job.hearts[1], 2, "layers 8-11");
    sw_heartbeat_label(job.hearts[2], 1, "layers 4-7");
    CU_ASSERT(until_each(&job, links_open, RANKS - 1));
    job.relay.mood = HOLD;
    CU_ASSERT(until_judged(&job, 0, PATIENCE_S) > 0.5 * TIMEOUT_S);
    CU_ASSERT(until_each(&job, knows_that_it_is_printed, true));
    for (int i = 0; i < RANKS; i++) {
        sw_heartbeat_verdict(job.hearts[i], &verdict[i]);
        CU_ASSERT_EQUAL(verdict[i].status, SW_EPEER);
        CU_ASSERT_STRING_EQUAL(verdict[i].text, verdict[0].text);
    }
    const int lost = verdict[0].rank;
    CU_ASSERT(lost == 1 || lost == 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict[0].text, lost == 2 ? "rank 2 on h3 (layers 8-11)"
                                                             : "rank 1 on h2 (layers 4-7)"));
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict[0].text, "gave no sign of life"));
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict[0].text, "all that was done is safe"));
    end(&job, said, sizeof said);
    CU_ASSERT_EQUAL(count(said, "no sign of life"), 1);
}

static void a_closed_connection_is_noticed_at_once(void)
{
    struct job job;
    struct sw_verdict verdict;
    char said[4000];
    begin(&job, 60);
    CU_ASSERT(until_each(&job, links_open, RANKS - 1));
    job.relay.mood = CLOSE;
    CU_ASSERT(until_judged(&job, 0, PATIENCE_S) >= 0); /* by silence it would say something else */
    CU_ASSERT(until_each(&job, knows_that_it_is_printed, true));
    sw_heartbeat_verdict(job.hearts[0], &verdict);
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict.text, "is gone"));
    end(&job, said, sizeof said);
    CU_ASSERT_EQUAL(count(said, "is gone"), 1);
}

static void a_rank_that_cannot_be_reached_is_named(void)
{
    struct job job;
    struct sw_verdict verdict;
    char said[4000];
    begin(&job, 60);
    job.relay.mood = HOLD; /* the greeting does not get through */
    CU_ASSERT(until_judged(&job, 2, PATIENCE_S) > 0);
    CU_ASSERT(until_each(&job, knows_that_it_is_printed, true));
    sw_heartbeat_verdict(job.hearts[2], &verdict);
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict.text, "rank "));
    end(&job, said, sizeof said);
    CU_ASSERT_EQUAL(count(said, "spillway: "), 1);
}

/* Whoever is not of the job may connect and talk as he likes. */
static void strangers_do_no_harm(void)
{
    struct job job;
    char said[4000];
    static const char nonsense[] = "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    struct sw_heart_socket forged = {.fd = -1};
    const struct sw_frame hello = {.kind = SW_FRAME_HELLO, .rank = 2, .number = 12345, .nonce = 1};
    begin(&job, 60);
    for (int i = 0; i < 50; i++) {
        const int fd = dial(job.infos[1].address.port);
        CU_ASSERT(fd >= 0);
        if (i % 2)
            CU_ASSERT(send(fd, nonsense, sizeof nonsense, MSG_NOSIGNAL) > 0);
        if (i % 3 == 0) {
            sw_heart_socket_put(&forged, &hello, "no rank of this job");
            CU_ASSERT(send(fd, forged.out, forged.n_out, MSG_NOSIGNAL) > 0);
            forged.n_out = 0;
        }
        close(fd);
    }
    CU_ASSERT(until_judged(&job, 1, 1.5 * TIMEOUT_S) < 0);
    CU_ASSERT(nobody_judged(&job));
    end(&job, said, sizeof said);
    CU_ASSERT_STRING_EQUAL(said, "");
}

static void a_rank_that_gets_nothing_done_is_lost(void)
{
    struct job job;
    struct sw_verdict verdict;
    char said[4000];
    begin(&job, STALL_S);
    const double start = sw_clock();
    for (int k = 0; nobody_judged(&job) && k < PATIENCE_S / 0.02; k++) {
        sw_heartbeat_step(job.hearts[2], false); /* rank 0 may wait for its user; rank 1 not */
        pause_s(0.02);
    }
    CU_ASSERT(sw_clock() - start > 0.9 * STALL_S);
    CU_ASSERT(until_judged(&job, 0, PATIENCE_S) >= 0);
    sw_heartbeat_verdict(job.hearts[0], &verdict);
    CU_ASSERT_EQUAL(verdict.rank, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict.text, "rank 1 on h2 made no progress"));
    end(&job, said, sizeof said);
}

static void a_message_that_never_comes_is_noticed(void)
{
    struct job job;
    struct sw_verdict verdict;
    char said[4000];
    begin(&job, STALL_S);
    for (int i = 0; i < 3; i++)
        sw_heartbeat_sent(job.hearts[1], 2);
    sw_heartbeat_taken(job.hearts[2], 1);
    sw_heartbeat_taken(job.hearts[2], 1);
    CU_ASSERT(until_judged(&job, 2, PATIENCE_S) > 0.9 * STALL_S);
    sw_heartbeat_verdict(job.hearts[2], &verdict);
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict.text, "rank 1 on h2 is alive, but one of its messages"));
    end(&job, said, sizeof said);
    begin(&job, STALL_S); /* it comes late, while the receiver was busy */
    sw_heartbeat_sent(job.hearts[1], 2);
    for (const double start = sw_clock(); sw_clock() - start < 1.6 * STALL_S;) {
        step_all(&job, false);
        pause_s(0.02);
    }
    sw_heartbeat_taken(job.hearts[2], 1);
    CU_ASSERT(until_judged(&job, 2, 0.5) < 0);
    CU_ASSERT(nobody_judged(&job));
    end(&job, said, sizeof said);
}

static void a_stop_that_the_main_thread_misses(void)
{
    struct job job;
    struct sw_verdict verdict;
    char said[4000];
    begin(&job, 60);
    __atomic_store_n(&stop, 10, __ATOMIC_RELAXED);
    CU_ASSERT(until_judged(&job, 0, PATIENCE_S) > 1);
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    sw_heartbeat_verdict(job.hearts[0], &verdict);
    CU_ASSERT_EQUAL(verdict.status, SW_EINTERRUPTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict.text, "signal 10"));
    end(&job, said, sizeof said);
}

static void read_status(const char *folder, char *text, size_t cap)
{
    char path[256];
    snprintf(path, sizeof path, "%s/status.j1", folder);
    FILE *file = fopen(path, "r");
    text[0] = 0;
    if (!file)
        return;
    text[fread(text, 1, cap - 1, file)] = 0;
    fclose(file);
    unlink(path);
}

static void the_status_file_takes_the_place_of_the_message(void)
{
    char folder[] = "/tmp/spillway-test.XXXXXX", text[4000], said[4000];
    struct job job;
    struct sw_verdict verdict = {
        .status = SW_EMODEL, .rank = 1, .text = "rank 1 on h2: no weights"};
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    setenv("SPILLWAY_STATUS", folder, 1);
    setenv("SPILLWAY_JOB", "j1", 1);
    begin(&job, 60);
    sw_heartbeat_raise(job.hearts[1], &verdict);
    CU_ASSERT(until_judged(&job, 2, PATIENCE_S) >= 0);
    for (int i = 0; i < RANKS; i++)
        sw_heartbeat_end(job.hearts[i]);
    CU_ASSERT_EQUAL(release(job.hearts[2]), SW_RELEASE_TOGETHER);
    end(&job, said, sizeof said);
    read_status(folder, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "job j1\nexit 3\nstatus SW_EMODEL\nrank 1\n"
                                 "message rank 1 on h2: no weights\nend j1\n");
    CU_ASSERT_STRING_EQUAL(said, "");

    CU_ASSERT(sw_verdict_write(folder, "j1", 0, &verdict)); /* the first stays */
    verdict.rank = 2;
    CU_ASSERT(sw_verdict_write(folder, "j1", 2, &verdict));
    read_status(folder, text, sizeof text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "rank 1\n"));
    CU_ASSERT_EQUAL(rmdir(folder), 0); /* nothing else is left in it */

    begin(&job, 60); /* the folder is not there: the message is printed */
    sw_heartbeat_raise(job.hearts[1], &verdict);
    CU_ASSERT(until_judged(&job, 2, PATIENCE_S) >= 0);
    CU_ASSERT(until_each(&job, knows_that_it_is_printed, true));
    end(&job, said, sizeof said);
    CU_ASSERT_EQUAL(count(said, "no weights"), 1);
    unsetenv("SPILLWAY_STATUS");
    unsetenv("SPILLWAY_JOB");
}

static bool lists(const char *folder, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* Jobs that share a folder have a file each; what lies there under a name of ours is not followed.
 */
static void a_status_file_is_one_jobs_own(void)
{
    char folder[] = "/tmp/spillway-test.XXXXXX", aside[128], path[128], victim[128];
    const struct sw_verdict verdict = {.status = SW_EPEER, .rank = 1, .text = "lost"};
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    CU_ASSERT(sw_verdict_write(folder, "a", 0, &verdict));
    CU_ASSERT(sw_verdict_write(folder, "b", 0, &verdict));
    CU_ASSERT(lists(folder, "status.a") && lists(folder, "status.b") && !lists(folder, "status"));
    snprintf(victim, sizeof victim, "%s/victim", folder);
    snprintf(aside, sizeof aside, "%s/.status.c.0.%ld", folder, (long)getpid());
    CU_ASSERT_EQUAL(symlink(victim, aside), 0);
    CU_ASSERT_FALSE(sw_verdict_write(folder, "c", 0, &verdict));
    CU_ASSERT_FALSE(lists(folder, "victim"));
    unlink(aside);
    for (const char *name = "ab"; *name; name++) {
        snprintf(path, sizeof path, "%s/status.%c", folder, *name);
        unlink(path);
    }
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

/* Without a launcher that has named the job all ranks print, and write under one made-up name. */
static void a_job_without_a_launcher_has_a_name(void)
{
    char folder[] = "/tmp/spillway-test.XXXXXX", said[4096], path[300];
    const struct sw_verdict verdict = {
        .status = SW_EMODEL, .rank = 1, .text = "rank 1 on h2: no weights"};
    struct job job;
    int files = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    setenv("SPILLWAY_STATUS", folder, 1);
    setenv("SPILLWAY_JOB", "no/name", 1);
    begin(&job, 60);
    sw_heartbeat_raise(job.hearts[1], &verdict);
    CU_ASSERT(until_judged(&job, 2, PATIENCE_S) >= 0);
    CU_ASSERT(until_each(&job, knows_that_it_is_printed, true));
    end(&job, said, sizeof said);
    CU_ASSERT_EQUAL(count(said, "no weights"), 1);
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.') {
            files++;
            CU_ASSERT_EQUAL(strlen(e->d_name), strlen("status.") + 32);
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            unlink(path);
        }
    closedir(dir);
    CU_ASSERT_EQUAL(files, 1);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
    unsetenv("SPILLWAY_STATUS");
    unsetenv("SPILLWAY_JOB");
}

static struct sw_address address(const char *ip, int bits)
{
    return (struct sw_address){inet_addr(ip), htonl(UINT32_MAX << (32 - bits))};
}

static const char *way(const struct sw_rank_address *from, const struct sw_rank_address *to, int k)
{
    struct sockaddr_in sockaddr;
    return sw_rank_address_way(from, to, k, &sockaddr) ? inet_ntoa(sockaddr.sin_addr) : "none";
}

static void common_networks_come_first(void)
{
    struct sw_rank_address a = {.machine = 1, .n_addresses = 3},
                           b = {.machine = 2, .n_addresses = 3};
    a.addresses[0] = address("172.17.0.1", 16); /* a bridge that every host has */
    a.addresses[1] = address("192.168.7.1", 24);
    a.addresses[2] = address("10.0.0.1", 8);
    b.addresses[0] = address("172.17.0.1", 16);
    b.addresses[1] = address("203.0.113.9", 24);
    b.addresses[2] = address("10.0.0.2", 8);
    CU_ASSERT_STRING_EQUAL(way(&a, &b, 0), "10.0.0.2");
    CU_ASSERT_STRING_EQUAL(way(&a, &b, 1), "203.0.113.9");
    CU_ASSERT_STRING_EQUAL(way(&a, &b, 2), "none");
    b.machine = 1;
    CU_ASSERT_STRING_EQUAL(way(&a, &b, 0), "127.0.0.1");
    CU_ASSERT_STRING_EQUAL(way(&a, &b, 1), "none");
    const uint32_t ip = inet_addr("10.98.0.12");
    CU_ASSERT(sw_interface_listed(NULL, "eth0", ip) && sw_interface_listed("", "eth0", ip));
    CU_ASSERT(sw_interface_listed("ib0,eth0", "eth0", ip));
    CU_ASSERT(sw_interface_listed("ib0,10.98.0.0/24", "eth1", ip));
    CU_ASSERT(sw_interface_listed("0.0.0.0/0", "eth1", ip));
    CU_ASSERT_FALSE(sw_interface_listed("ib0,10.99.0.0/24", "eth0", ip));
    CU_ASSERT_FALSE(sw_interface_listed("eth", "eth0", ip));
    CU_ASSERT_FALSE(sw_interface_listed("10.98.0.0/99,/,,eth00", "eth0", ip));
}

SW_UNIT_TESTS({"a quiet job is left alone", a_quiet_job_is_left_alone},
              {"pauses and slowness are no loss", pauses_and_slowness_are_no_loss},
              {"a cut is noticed and reported to all", a_cut_is_noticed_and_reported_to_all},
              {"a closed connection is noticed at once", a_closed_connection_is_noticed_at_once},
              {"a rank that cannot be reached is named", a_rank_that_cannot_be_reached_is_named},
              {"strangers do no harm", strangers_do_no_harm},
              {"a rank that gets nothing done is lost", a_rank_that_gets_nothing_done_is_lost},
              {"a message that never comes is noticed", a_message_that_never_comes_is_noticed},
              {"a stop that the main thread misses", a_stop_that_the_main_thread_misses},
              {"the status file takes the place of the message",
               the_status_file_takes_the_place_of_the_message},
              {"a status file is one job's own", a_status_file_is_one_jobs_own},
              {"a job without a launcher has a name", a_job_without_a_launcher_has_a_name},
              {"common networks come first", common_networks_come_first})

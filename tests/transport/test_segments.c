/* What is left of dead jobs in a folder like /dev/shm, and what has to stay there. */
#include "transport/segments.h"
#include "unit.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

static char place[] = "/tmp/spillway-test.XXXXXX";

static const char *at(const char *name, const char *file)
{
    static char path[4][256];
    static int turn;
    char *out = path[turn++ % 4];
    snprintf(out, sizeof path[0], "%s/spillway-%lu-%s%s%s", place, (unsigned long)geteuid(), name,
             *file ? "/" : "", file);
    return out;
}

static int make(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* A job's folder with a segment in it. */
static void job(const char *name, bool with_lock)
{
    CU_ASSERT_EQUAL(mkdir(at(name, ""), 0700), 0);
    close(make(at(name, "vader_segment.h1.0.1.0")));
    if (with_lock)
        close(make(at(name, "lock")));
}

static bool there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void only_dead_jobs_are_removed(void)
{
    char others[256];
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(place));
    job("dead", true);
    job("alive", true);
    job("beginning", false);
    job("mine", true);
    const int lock = open(at("alive", "lock"), O_RDONLY | O_CLOEXEC);
    CU_ASSERT_EQUAL(flock(lock, LOCK_SH), 0);
    snprintf(others, sizeof others, "%s/spillway-%lu-x", place, (unsigned long)geteuid() + 1);
    CU_ASSERT_EQUAL(mkdir(others, 0700), 0);
    strcat(others, "/lock");
    close(make(others));
    sw_segments_sweep(place, at("mine", "") + sizeof place);
    CU_ASSERT_FALSE(there(at("dead", "")));
    CU_ASSERT(there(at("alive", "vader_segment.h1.0.1.0")));
    CU_ASSERT(there(at("beginning", "vader_segment.h1.0.1.0")));
    CU_ASSERT(there(at("mine", "vader_segment.h1.0.1.0")));
    CU_ASSERT(there(others));
    close(lock);
    sw_segments_sweep(place, "");
    CU_ASSERT_FALSE(there(at("alive", "")));
    CU_ASSERT_FALSE(there(at("mine", "")));
}

/* The lock goes last: without it nobody would dare to remove the rest, should this sweep be killed.
 */
static void locks_go_last(void)
{
    char events[4096] __attribute__((aligned(8))), last[64] = "";
    const int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int n = 0;
    job("order", true);
    close(make(at("order", "later")));
    CU_ASSERT_FATAL(inotify_add_watch(watch, at("order", ""), IN_DELETE) >= 0);
    sw_segments_sweep(place, "");
    const ssize_t got = read(watch, events, sizeof events);
    for (ssize_t i = 0; i < got;) {
        const struct inotify_event *e = (const void *)(events + i);
        if (e->mask & IN_DELETE) {
            snprintf(last, sizeof last, "%.60s", e->name);
            n++;
        }
        i += (ssize_t)(sizeof *e + e->len);
    }
    CU_ASSERT_EQUAL(n, 3);
    CU_ASSERT_STRING_EQUAL(last, "lock");
    close(watch);
}

/* Nothing in such a folder is waited for. */
static void fifos_are_not_waited_for(void)
{
    CU_ASSERT_EQUAL(mkdir(at("fifo", ""), 0700), 0);
    CU_ASSERT_EQUAL(mkfifo(at("fifo", "lock"), 0600), 0);
    alarm(100); /* ends the test should it wait */
    sw_segments_sweep(place, "");
    alarm(0);
}

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void sweeps_leave_no_descriptors(void)
{
    job("one", true);
    job("two", false);
    const int before = count_descriptors();
    sw_segments_sweep(place, "");
    CU_ASSERT_EQUAL(count_descriptors(), before);
}

/* Links and other users' folders under such a name lead nowhere. */
static void links_are_not_followed(void)
{
    char target[256], file[300];
    snprintf(target, sizeof target, "%s/target", place);
    snprintf(file, sizeof file, "%s/lock", target);
    CU_ASSERT_EQUAL(mkdir(target, 0700), 0);
    close(make(file));
    CU_ASSERT_EQUAL(symlink(target, at("link", "")), 0);
    CU_ASSERT_EQUAL(mkdir(at("linked-lock", ""), 0700), 0);
    CU_ASSERT_EQUAL(symlink(file, at("linked-lock", "lock")), 0);
    sw_segments_sweep(place, "");
    CU_ASSERT(there(file) && there(at("link", "")) && there(at("linked-lock", "lock")));
    if (geteuid() == 0) {
        job("foreign", true);
        CU_ASSERT_EQUAL(chown(at("foreign", ""), 1, 1), 0);
        sw_segments_sweep(place, "");
        CU_ASSERT(there(at("foreign", "lock")));
    }
    snprintf(file, sizeof file, "rm -rf %s", place);
    CU_ASSERT_EQUAL(system(file), 0);
}

SW_UNIT_TESTS({"only dead jobs are removed", only_dead_jobs_are_removed},
              {"locks go last", locks_go_last},
              {"FIFOs are not waited for", fifos_are_not_waited_for},
              {"sweeps leave no descriptors", sweeps_leave_no_descriptors},
              {"links are not followed", links_are_not_followed})

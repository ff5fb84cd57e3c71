/*
 * Tests of the simulated GPU run each in a process of its own: settings are read once, and a fault
 * ends the process. The parent never uses the GPU.
 */
#ifndef SIMGPU_TESTS_CHILD_H
#define SIMGPU_TESTS_CHILD_H

#include "unit.h"

#include <signal.h>
#include <simgpu.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child: ends it with a message when something is not as it must be. */
#define NEED(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #x);                                \
            _exit(9);                                                                              \
        }                                                                                          \
    } while (0)
#define NEED_CUDA(call) NEED((call) == cudaSuccess)

/* settings: "NAME=value NAME=value" */
static void child_settings(const char *settings)
{
    char copy[512], *rest = copy;
    snprintf(copy, sizeof copy, "%s", settings);
    for (char *one = strtok_r(copy, " ", &rest); one; one = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(one, '=');
        *equals = 0;
        setenv(one, equals + 1, 1);
    }
}

/* What body wrote to stderr, and how its process ended (as waitpid tells). */
static int child_run(void (*body)(void), const char *settings, char *text, size_t size)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -1;
    fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        child_settings(settings);
        body();
        exit(0);
    }
    close(ends[1]);
    size_t n = 0;
    char lost[512];
    for (ssize_t got = 1; got > 0; n += n + 1 < size && got > 0 ? (size_t)got : 0)
        got =
            n + 1 < size ? read(ends[0], text + n, size - 1 - n) : read(ends[0], lost, sizeof lost);
    text[n] = 0;
    close(ends[0]);
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static inline void expect_right(void (*body)(void), const char *settings)
{
    char text[8192];
    const int status = child_run(body, settings, text, sizeof text);
    if (status != 0)
        printf("    with %s: status %x: %s\n", settings, (unsigned)status, text);
    CU_ASSERT_EQUAL(status, 0);
}

/* It must end badly and say `message`, or `otherwise` (what a sanitizer calls it), if not NULL. */
static inline void expect_death(void (*body)(void), const char *settings, const char *message,
                                const char *otherwise)
{
    char text[8192];
    const int status = child_run(body, settings, text, sizeof text);
    const bool said = strstr(text, message) || (otherwise && strstr(text, otherwise));
    if (status == 0 || !said)
        printf("    with %s: status %x: %s\n    expected: %s\n", settings, (unsigned)status, text,
               message);
    CU_ASSERT_NOT_EQUAL(status, 0);
    CU_ASSERT(said);
}

/* Device memory with a copy of what is in host memory; n bytes back again. */
static inline void *to_device(const void *host, size_t bytes)
{
    void *p;
    NEED_CUDA(cudaMalloc(&p, bytes));
    if (host)
        NEED_CUDA(cudaMemcpy(p, host, bytes, cudaMemcpyHostToDevice));
    return p;
}
static inline void from_device(void *host, const void *device, size_t bytes)
{
    NEED_CUDA(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
}

#endif

/*
 * Owns waiting for the device. It never waits inside CUDA: a GPU that waits for another one
 * (nccl.c) may wait for ever, and this rank must send heartbeats meanwhile and notice when the job
 * fails.
 */
#include "gpu/cuda.h"

#include "base/clock.h"

#include <sys/prctl.h>
#include <time.h>

#define SPIN_S 100e-6 /* longer than the rest of most operations when the wait for them begins */
#define SLEEP_MIN_S 20e-6
#define SLEEP_MAX_S 1e-3
#define TIMER_SLACK_NS 1000ul
#define SLEEP_SHARE 64 /* a sleep is at most this fraction of the wait so far */

void sw_cuda_set_wait_hook(struct sw_backend *b, const struct sw_gpu_wait_hook *hook)
{
    sw_cuda_of(b)->wait_hook = hook ? *hook : (struct sw_gpu_wait_hook){0};
}

/* Timers of ordinary threads may be 50 us late, which is longer than most waits here. */
static void wait_sleep(double seconds)
{
    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

bool sw_cuda_idle(cudaStream_t stream, double seconds)
{
    const double began = sw_clock();
    while (cudaStreamQuery(stream) == cudaErrorNotReady) {
        if (sw_clock() - began > seconds)
            return false;
        wait_sleep(SLEEP_MAX_S);
    }
    return true;
}

static enum sw_status too_long(const struct sw_cuda *cuda, double seconds, const char *what)
{
    char label[96];
    sw_cuda_label(cuda, label, sizeof label);
    if (cuda->comm)
        return sw_fail(SW_EPEER,
                       "%s: %.3g s have passed without %s: another rank's GPU does not take part "
                       "(NCCL_DEBUG=INFO tells more); run it again, or with --transport mpi",
                       label, seconds, what);
    return sw_fail(SW_EDEVICE,
                   "%s: %.3g s have passed without %s; nvidia-smi and dmesg may show more", label,
                   seconds, what);
}

enum sw_status sw_cuda_pause(struct sw_cuda *cuda, double began, double seconds, const char *what)
{
    const double waited = sw_clock() - began;
    double sleep = waited / SLEEP_SHARE;
    if (waited < SPIN_S)
        return SW_OK;
    if (cuda->wait_hook.step)
        SW_TRY(cuda->wait_hook.step(cuda->wait_hook.context));
    SW_TRY(sw_cuda_links_check(cuda));
    if (waited > seconds)
        return too_long(cuda, seconds, what);
    sleep = sleep < SLEEP_MIN_S ? SLEEP_MIN_S : sleep > SLEEP_MAX_S ? SLEEP_MAX_S : sleep;
    wait_sleep(sleep);
    return SW_OK;
}

enum sw_status sw_cuda_wait_within(struct sw_cuda *cuda, cudaEvent_t event, double seconds)
{
    const double began = sw_clock();
    for (;;) {
        const cudaError_t error = event ? cudaEventQuery(event) : cudaStreamQuery(cuda->compute);
        if (error == cudaSuccess)
            return SW_OK;
        if (error != cudaErrorNotReady)
            CUDA_TRY(cuda, error);
        SW_TRY(sw_cuda_pause(cuda, began, seconds, "an end of what it was given"));
    }
}

enum sw_status sw_cuda_wait(struct sw_cuda *cuda, cudaEvent_t event)
{
    const double seconds = cuda->wait_hook.seconds > 0 ? cuda->wait_hook.seconds : SW_GPU_WAIT_S;
    SW_TRY(sw_cuda_check_capture(cuda, "a wait"));
    const enum sw_status status = sw_cuda_wait_within(cuda, event, seconds);
    if (status == SW_OK)
        return SW_OK;
    (void)sw_cuda_record(cuda, status);
    sw_cuda_links_abort(cuda); /* else the stream might never end */
    return sw_cuda_status(cuda);
}

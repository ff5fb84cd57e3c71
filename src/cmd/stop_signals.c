/* Owns the stop flag and the signals that set it. */
#include "cmd/call_session.h"

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal)
{
    stop_requested = signal;
}

const volatile sig_atomic_t *sw_stop_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};
    const struct sigaction action = {.sa_handler = request_stop};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction before;
        if (signals[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 &&
            before.sa_handler == SIG_IGN)
            continue; /* nohup */
        sigaction(signals[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    return &stop_requested;
}

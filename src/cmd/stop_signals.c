/* Owns the stop flag and the signals that set it. */
#include "cmd/call_session.h"

#include <time.h>
#include <unistd.h>

#define SAME_S 2 /* signals that come so close are one, which reached us in several ways */
#define LATE_S 5 /* after the grace */

static volatile sig_atomic_t stop_requested, stop_asked;
static unsigned grace; /* whole seconds */
static time_t asked_at;

static void request_stop(int signal)
{
    stop_requested = signal;
}

/* The first signal asks; only one that a user sends later insists. */
static void ask_to_stop(int signal)
{
    const time_t now = time(NULL);
    if (!stop_asked) {
        asked_at = now;
        stop_asked = signal;
        alarm(grace + LATE_S);
    } else if ((signal == SIGTERM || signal == SIGINT) && now - asked_at >= SAME_S) {
        stop_requested = signal;
    }
}

static void catch_signals(void (*handler)(int))
{
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};
    const struct sigaction action = {.sa_handler = handler};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction before;
        if (signals[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 &&
            before.sa_handler == SIG_IGN)
            continue; /* nohup */
        sigaction(signals[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

const volatile sig_atomic_t *sw_stop_catch(void)
{
    catch_signals(request_stop);
    return &stop_requested;
}

const volatile sig_atomic_t *sw_stop_catch_late(double grace_s, const volatile sig_atomic_t **asked)
{
    const struct sigaction late = {.sa_handler = request_stop};
    grace = grace_s < 1e6 ? (unsigned)grace_s + 1 : 1000000;
    sigaction(SIGALRM, &late, NULL);
    catch_signals(ask_to_stop);
    *asked = &stop_asked;
    return &stop_requested;
}

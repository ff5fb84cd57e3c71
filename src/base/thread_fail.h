/* What is said where a thread cannot be started. */
#ifndef SW_BASE_THREAD_FAIL_H
#define SW_BASE_THREAD_FAIL_H

#include "base/status.h"

/*
 * `what` ("thread 2 of 4", "the heartbeat's thread") cannot be started, by pthread_create's
 * `error`. `advice`: what else helps, after the limit that is in the way; "" where nothing does.
 * SW_EDEVICE.
 */
enum sw_status sw_thread_fail(const char *what, int error, const char *advice);

#endif

/* The message when a thread cannot be started. */
#ifndef SW_BASE_THREAD_FAIL_H
#define SW_BASE_THREAD_FAIL_H

#include "base/status.h"

/*
 * Fails with SW_EDEVICE: `what` ("thread 2 of 4", "the heartbeat's thread") cannot be started
 * because of pthread_create's `error`. `advice` is added after the advice on limits; may be "".
 */
enum sw_status sw_thread_fail(const char *what, int error, const char *advice);

#endif

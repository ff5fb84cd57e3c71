/* Owns sleeping on an int, by Linux's futex. */
#include "base/wake.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void sw_wake_set(int *wake)
{
    const int before = errno;
    __atomic_store_n(wake, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, wake, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    errno = before;
}

void sw_wake_sleep(const int *wake, double seconds)
{
    const time_t whole = (time_t)seconds;
    const struct timespec most = {whole, (long)((seconds - (double)whole) * 1e9)};
    syscall(SYS_futex, wake, FUTEX_WAIT_PRIVATE, 0, &most, NULL, 0);
}

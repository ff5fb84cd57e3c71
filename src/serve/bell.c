/* Owns the waking of a thread in poll, by an eventfd that is written once for many rings. */
#include "serve/bell.h"

#include <sys/eventfd.h>
#include <unistd.h>

int sw_bell_open(struct sw_bell *bell)
{
    bell->is_rung = 0;
    bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return bell->fd < 0 ? -1 : 0;
}

void sw_bell_ring(struct sw_bell *bell)
{
    if (!__atomic_exchange_n(&bell->is_rung, 1, __ATOMIC_ACQ_REL))
        (void)eventfd_write(bell->fd, 1);
}

void sw_bell_answer(struct sw_bell *bell)
{
    eventfd_t n;
    (void)eventfd_read(bell->fd, &n);
    (void)__atomic_exchange_n(&bell->is_rung, 0, __ATOMIC_ACQ_REL); /* later ones write again */
}

void sw_bell_close(struct sw_bell *bell)
{
    if (bell->fd >= 0)
        close(bell->fd);
    bell->fd = -1;
}

/* Owns a process handle (pidfd) for each peer on this machine, to see at once when one dies. */
#include "transport/local.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sw_local {
    int size;
    int *handles; /* (size) -1: elsewhere, or handles are not to be had */
};

struct sw_local_card sw_local_card(int first_on_node)
{
    struct sw_local_card card = {.pid = (int32_t)getpid(), .first_on_node = first_on_node};
    if (gethostname(card.host, sizeof card.host - 1) != 0)
        snprintf(card.host, sizeof card.host, "unknown");
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        const ssize_t n = read(fd, card.boot, sizeof card.boot - 1);
        card.boot[n > 0 ? n : 0] = 0;
        close(fd);
    }
    struct stat st;
    if (stat("/proc/self/ns/pid", &st) == 0)
        card.pid_space = (uint64_t)st.st_ino;
    return card;
}

static bool same_machine(const struct sw_local_card *a, const struct sw_local_card *b)
{
    return a->boot[0] && a->pid_space && a->pid_space == b->pid_space &&
           strncmp(a->boot, b->boot, sizeof a->boot) == 0;
}

struct sw_local *sw_local_new(const struct sw_local_card *cards, int rank, int size)
{
    struct sw_local *local = calloc(1, sizeof *local);
    int *handles = malloc(sizeof *handles * (size_t)size);
    if (!local || !handles) {
        free(local);
        free(handles);
        return NULL;
    }
    local->size = size;
    local->handles = handles;
    for (int i = 0; i < size; i++) {
        handles[i] = -1;
        if (i != rank && same_machine(&cards[i], &cards[rank]))
            handles[i] = (int)syscall(SYS_pidfd_open, cards[i].pid, 0);
    }
    return local;
}

bool sw_local_gone(const struct sw_local *local, int rank)
{
    struct pollfd handle = {.fd = local->handles[rank], .events = POLLIN};
    return handle.fd >= 0 && poll(&handle, 1, 0) == 1;
}

void sw_local_free(struct sw_local *local)
{
    if (!local)
        return;
    for (int i = 0; i < local->size; i++)
        if (local->handles[i] >= 0)
            close(local->handles[i]);
    free(local->handles);
    free(local);
}

/*
 * Owns the test of the networks between hosts: the first rank of every host listens, and the others
 * try each of its addresses. Open MPI may choose a network that exists but connects no hosts.
 */
#include "base/clock.h"
#include "probe/probe.h"

#include "transport/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_S 0.5 /* for all connections together */
#define HOSTS_MAX 64  /* more are not tested: every host connects to every other */

/* What each rank sends to all; plain bytes. */
struct probe_endpoint {
    int32_t port; /* 0: the rank does not listen (it is not the first of its host, or no socket) */
    int32_t n;    /* number of interfaces */
    struct sw_interface interfaces[SW_INTERFACES_MAX]; /* (n) */
};

static int connectivity_listen(int32_t *port)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t length = sizeof any;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *port = 0;
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, HOSTS_MAX * 4) == 0 &&
        getsockname(fd, (struct sockaddr *)&any, &length) == 0)
        *port = ntohs(any.sin_port);
    return fd;
}

/* Begins to connect, and returns the socket; -1: no socket, or refused at once. */
static int connectivity_connect(uint32_t address, int port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = address};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 &&
        errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool connectivity_opened(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

/* Sets reached (size, SW_INTERFACES_MAX) to 1 where this rank connected to that address of a rank.
 */
static enum sw_status connectivity_try(const struct sw_transport *t,
                                       const struct probe_endpoint *endpoints, char *reached)
{
    const size_t most = (size_t)t->size * SW_INTERFACES_MAX;
    struct pollfd *tries = malloc(most * sizeof *tries);
    size_t *which = malloc(most * sizeof *which), n = 0, open = 0;
    if (!tries || !which) {
        free(tries);
        free(which);
        return sw_fail(SW_ENOMEM, "no memory to try %d ranks' networks", t->size);
    }
    for (int r = 0; r < t->size; r++)
        for (int i = 0; endpoints[r].port && r != t->rank && i < endpoints[r].n; i++) {
            const int fd =
                connectivity_connect(endpoints[r].interfaces[i].address, endpoints[r].port);
            if (fd < 0)
                continue;
            which[n] = (size_t)r * SW_INTERFACES_MAX + (size_t)i;
            tries[n++] = (struct pollfd){.fd = fd, .events = POLLOUT};
        }
    const double until = sw_clock() + CONNECT_S;
    for (open = n; open > 0 && sw_clock() < until;) {
        poll(tries, n, 20);
        for (size_t i = 0; i < n; i++)
            if (tries[i].fd >= 0 && tries[i].revents) {
                reached[which[i]] = connectivity_opened(tries[i].fd);
                close(tries[i].fd);
                tries[i].fd = -1;
                open--;
            }
    }
    for (size_t i = 0; i < n; i++)
        if (tries[i].fd >= 0)
            close(tries[i].fd);
    free(tries);
    free(which);
    return SW_OK;
}

/* A network of rank 0's host that every other host reaches, for advice; "" when there is none. */
static void connectivity_common_network(const struct sw_transport *t,
                                        const struct probe_endpoint *endpoints, const char *reached,
                                        char *out, size_t cap)
{
    *out = 0;
    for (int i = 0; i < endpoints[0].n && !*out; i++) {
        bool all = true;
        for (int from = 1; from < t->size; from++)
            all =
                all && (!endpoints[from].port ||
                        reached[((size_t)from * (size_t)t->size) * SW_INTERFACES_MAX + (size_t)i]);
        if (all)
            sw_network_of(&endpoints[0].interfaces[i], out, cap);
    }
}

static void connectivity_report(const struct sw_transport *t,
                                const struct probe_endpoint *endpoints, const char *reached,
                                struct sw_strbuf *out)
{
    char good[32];
    connectivity_common_network(t, endpoints, reached, good, sizeof good);
    for (int r = 0; r < t->size; r++)
        for (int i = 0; endpoints[r].port && i < endpoints[r].n; i++) {
            struct sw_strbuf from = {0}, what = {0};
            for (int k = 0; k < t->size; k++)
                if (k != r && endpoints[k].port &&
                    !reached[((size_t)k * (size_t)t->size + (size_t)r) * SW_INTERFACES_MAX +
                             (size_t)i])
                    sw_strbuf_printf(&from, "%s%s", from.length ? ", " : "", t->ranks[k].host);
            sw_network_describe(&endpoints[r].interfaces[i], 1, &what);
            if (from.length)
                sw_strbuf_printf(out,
                                 "%s: its network %s is not reached from %s; Open MPI may try it",
                                 t->ranks[r].host, what.text ? what.text : "", from.text);
            if (from.length && good[0])
                sw_strbuf_printf(
                    out, ": keep to one that joins all, mpirun --mca btl_tcp_if_include %s", good);
            sw_strbuf_puts(out, from.length ? "\n" : "");
            sw_strbuf_free(&from);
            sw_strbuf_free(&what);
        }
}

static bool first_on_node(const struct sw_transport *t)
{
    for (int i = 0; i < t->rank; i++)
        if (t->ranks[i].node == t->ranks[t->rank].node)
            return false;
    return true;
}

enum sw_status sw_probe_connectivity(struct sw_transport *t, struct sw_strbuf *out)
{
    struct probe_endpoint mine = {0};
    void *endpoints = NULL, *all = NULL;
    const size_t bytes = (size_t)t->size * SW_INTERFACES_MAX;
    if (t->n_nodes < 2 || t->n_nodes > HOSTS_MAX || getenv("OMPI_MCA_btl_tcp_if_include"))
        return SW_OK;
    int fd = -1;
    if (first_on_node(t)) {
        fd = connectivity_listen(&mine.port);
        mine.n = sw_network_list(mine.interfaces, SW_INTERFACES_MAX);
    }
    char *reached = calloc(1, bytes);
    enum sw_status status = reached ? sw_transport_allgather(t, &mine, sizeof mine, &endpoints)
                                    : sw_fail(SW_ENOMEM, "no memory for %d ranks", t->size);
    if (status == SW_OK && mine.port)
        status = connectivity_try(t, endpoints, reached);
    if (status == SW_OK)
        status = sw_transport_allgather(t, reached, bytes,
                                        &all); /* no rank closes its socket before all have tried */
    if (fd >= 0)
        close(fd);
    if (status == SW_OK)
        connectivity_report(t, endpoints, all, out);
    free(endpoints);
    free(all);
    free(reached);
    return status;
}

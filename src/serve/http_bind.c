/* Owns the port that is served. */
#include "serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool bind_is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static int bind_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return 0;
    return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)(void *)&a)->sin_port
                                        : ((struct sockaddr_in6 *)(void *)&a)->sin6_port);
}

enum sw_status sw_http_bind(const char *address, int *port, bool *loopback, int *out)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    const char *numeric = strcmp(address, "localhost") == 0 ? "127.0.0.1" : address;
    struct addrinfo *found = NULL;
    char service[16];
    const int yes = 1;
    *out = -1;
    snprintf(service, sizeof service, "%d", *port);
    if (getaddrinfo(numeric, service, &hints, &found) != 0)
        return sw_fail(SW_EUSAGE,
                       "--listen '%.200s': expected an address of this host, like 127.0.0.1, "
                       "0.0.0.0 or ::1",
                       address);
    *loopback = bind_is_loopback(found->ai_addr);
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0;
    if (ok && found->ai_family == AF_INET6)
        ok = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) == 0;
    ok = ok && bind(fd, found->ai_addr, found->ai_addrlen) == 0;
    const int error = errno;
    freeaddrinfo(found);
    if (ok) {
        *port = bind_port(fd);
        *out = fd;
        return SW_OK;
    }
    if (fd >= 0)
        close(fd);
    return sw_fail(SW_EUSAGE, "port %d of %.200s cannot be served: %s%s", *port, address,
                   strerror(error), error == EADDRINUSE ? "; choose another --port" : "");
}

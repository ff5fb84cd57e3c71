/* Owns the choice of network addresses: those of this host, and the order in which peers try them.
 */
#include "transport/address.h"
#include "transport/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool address_in_network(const char *text, uint32_t ip)
{
    char network[INET_ADDRSTRLEN];
    struct in_addr address;
    const char *slash = strchr(text, '/');
    const size_t length = slash ? (size_t)(slash - text) : strlen(text);
    const int bits = slash ? atoi(slash + 1) : 32;
    if (length >= sizeof network || bits < 0 || bits > 32)
        return false;
    memcpy(network, text, length);
    network[length] = 0;
    if (inet_pton(AF_INET, network, &address) != 1)
        return false;
    const uint32_t mask = bits ? htonl(UINT32_MAX << (32 - bits)) : 0;
    return ((ip ^ address.s_addr) & mask) == 0;
}

bool sw_interface_listed(const char *list, const char *name, uint32_t ip)
{
    char entry[64];
    if (!list || !*list)
        return true;
    for (const char *at = list; *at;) {
        const size_t length = strcspn(at, ",");
        if (length < sizeof entry) {
            memcpy(entry, at, length);
            entry[length] = 0;
            if (strcmp(entry, name) == 0 || address_in_network(entry, ip))
                return true;
        }
        at += length + (at[length] == ',');
    }
    return false;
}

uint64_t sw_rank_address_machine(void)
{
    char text[64];
    struct stat st;
    const int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0 || stat("/proc/self/ns/net", &st) != 0)
        return 0;
    uint64_t hash = 14695981039346656037u ^ (uint64_t)st.st_ino; /* FNV-1a */
    for (ssize_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

void sw_rank_address_here(uint16_t port, struct sw_rank_address *out)
{
    const char *list = getenv("OMPI_MCA_btl_tcp_if_include");
    struct sw_interface interfaces[SW_INTERFACES_MAX];
    const int n = sw_network_list(interfaces, SW_INTERFACES_MAX);
    memset(out, 0, sizeof *out);
    out->machine = sw_rank_address_machine();
    out->port = port;
    if (!list)
        list = getenv("OMPI_MCA_oob_tcp_if_include");
    for (int i = 0; i < n && out->n_addresses < SW_ADDRESSES_MAX; i++) {
        const struct sw_interface *own = &interfaces[i];
        if (list ? sw_interface_listed(list, own->name, own->address) : !sw_network_is_bridge(own))
            out->addresses[out->n_addresses++] = (struct sw_address){own->address, own->mask};
    }
}

/*
 * How likely `to` is reachable. 2: on a network of this host; 1: perhaps routed; 0: this host's own
 * address (a bridge that is alike on all hosts).
 */
static int address_rating(const struct sw_rank_address *from, const struct sw_address *to)
{
    int rating = 1;
    for (int i = 0; i < from->n_addresses; i++) {
        const struct sw_address *own = &from->addresses[i];
        if (own->ip == to->ip)
            return 0;
        if (own->mask == to->mask && ((own->ip ^ to->ip) & to->mask) == 0)
            rating = 2;
    }
    return rating;
}

bool sw_rank_address_way(const struct sw_rank_address *from, const struct sw_rank_address *to,
                         int k, struct sockaddr_in *out)
{
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(to->port)};
    if (from->machine && from->machine == to->machine) {
        out->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return k == 0;
    }
    for (int rating = 2; rating > 0; rating--)
        for (int i = 0; i < to->n_addresses && i < SW_ADDRESSES_MAX; i++)
            if (address_rating(from, &to->addresses[i]) == rating && k-- == 0) {
                out->sin_addr.s_addr = to->addresses[i].ip;
                return true;
            }
    return false;
}

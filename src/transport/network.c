/* Owns the list of this host's network interfaces, and their names in messages. */
#include "transport/network.h"

#include "transport/address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sw_network_list(struct sw_interface *out, int cap)
{
    struct ifaddrs *all = NULL;
    int n = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *i = all; i && n < cap; i = i->ifa_next) {
        struct sockaddr_in address, mask;
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !i->ifa_netmask ||
            !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
            continue;
        memcpy(&address, i->ifa_addr, sizeof address);
        memcpy(&mask, i->ifa_netmask, sizeof mask);
        out[n] =
            (struct sw_interface){.address = address.sin_addr.s_addr, .mask = mask.sin_addr.s_addr};
        snprintf(out[n++].name, sizeof out->name, "%.15s", i->ifa_name);
    }
    freeifaddrs(all);
    return n;
}

bool sw_network_is_bridge(const struct sw_interface *interface)
{
    static const char *const starts[] = {"docker", "virbr",  "veth", "lxcbr",
                                         "lxdbr",  "podman", "cni"};
    const char *name = interface->name;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return strncmp(name, "br-", 3) == 0 &&
           strspn(name + 3, "0123456789abcdef") == 12; /* Docker's */
}

static const char *with_bits(uint32_t address, uint32_t mask, char *out, size_t cap)
{
    const struct in_addr in = {address};
    char text[INET_ADDRSTRLEN] = "?";
    inet_ntop(AF_INET, &in, text, sizeof text);
    snprintf(out, cap, "%s/%d", text, __builtin_popcount(mask));
    return out;
}

const char *sw_network_of(const struct sw_interface *interface, char *out, size_t cap)
{
    return with_bits(interface->address & interface->mask, interface->mask, out, cap);
}

void sw_network_describe(const struct sw_interface *interfaces, int n, struct sw_strbuf *out)
{
    char text[32];
    if (n == 0)
        sw_strbuf_puts(out, "none but loopback");
    for (int i = 0; i < n; i++)
        sw_strbuf_printf(out, "%s%s %s%s", i ? ", " : "", interfaces[i].name,
                         with_bits(interfaces[i].address, interfaces[i].mask, text, sizeof text),
                         sw_network_is_bridge(&interfaces[i]) ? " (a bridge of this host's own)"
                                                              : "");
}

void sw_network_for_nccl(char *out, size_t cap)
{
    const char *given = getenv("NCCL_SOCKET_IFNAME");
    const char *list = getenv("OMPI_MCA_btl_tcp_if_include");
    struct sw_interface interfaces[SW_INTERFACES_MAX];
    char exact[256] = "=";
    size_t used = 1;
    snprintf(out, cap, "%s", given ? given : "");
    if (given || !list || !*list)
        return;
    const int n = sw_network_list(interfaces, SW_INTERFACES_MAX);
    for (int i = 0; i < n; i++)
        if (sw_interface_listed(list, interfaces[i].name, interfaces[i].address))
            used += (size_t)snprintf(exact + used, sizeof exact - used, "%s%s", used > 1 ? "," : "",
                                     interfaces[i].name);
    if (used == 1)
        return;
    setenv("NCCL_SOCKET_IFNAME", exact, 1); /* "=": NCCL compares whole names */
    snprintf(out, cap, "%s", exact + 1);
}

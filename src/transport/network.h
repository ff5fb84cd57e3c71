/* The network interfaces (IPv4) of this host through which other hosts may be reached. */
#ifndef SW_TRANSPORT_NETWORK_H
#define SW_TRANSPORT_NETWORK_H

#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_INTERFACES_MAX 16

/* Plain bytes; address and mask in network order. */
struct sw_interface {
    char name[16];
    uint32_t address, mask;
};

/* Lists the interfaces that are up, without loopback; more than `cap` are left out. */
int sw_network_list(struct sw_interface *out, int cap);
/* Whether its name is that of a bridge for containers or virtual machines, local to a host. */
bool sw_network_is_bridge(const struct sw_interface *interface);
/* Its network, "10.1.0.0/16", in `out`, which is returned. */
const char *sw_network_of(const struct sw_interface *interface, char *out, size_t cap);
/*
 * Appends "eth0 10.1.0.7/16, docker0 172.17.0.1/16 (a bridge of this host's own)", or "none but
 * loopback".
 */
void sw_network_describe(const struct sw_interface *interfaces, int n, struct sw_strbuf *out);
/*
 * Sets NCCL_SOCKET_IFNAME of this process, unless it is set, to the interfaces that Open MPI is
 * restricted to. `out`: their names, "eth1,eth2"; "": NCCL chooses.
 */
void sw_network_for_nccl(char *out, size_t cap);

#endif

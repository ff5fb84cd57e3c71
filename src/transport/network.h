/* The network interfaces (IPv4) of this host, as far as other hosts might be reached by them. */
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

/* Up, and not loopback; more than `cap` are left out. */
int sw_network_list(struct sw_interface *out, int cap);
/* By its name: a bridge of containers or virtual machines, which no other host can reach. */
bool sw_network_is_bridge(const struct sw_interface *interface);
/* "10.1.0.0/16" */
const char *sw_network_of(const struct sw_interface *interface, char *out, size_t cap);
/* "eth0 10.1.0.7/16, docker0 172.17.0.1/16 (a bridge of this host's own)", or "none but loopback".
 */
void sw_network_describe(const struct sw_interface *interfaces, int n, struct sw_strbuf *out);
/*
 * NCCL keeps to the networks that Open MPI was told to use, unless NCCL_SOCKET_IFNAME tells it
 * otherwise: sets that for this process. Their names ("eth1,eth2"); "": NCCL chooses.
 */
void sw_network_for_nccl(char *out, size_t cap);

#endif

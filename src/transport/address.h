/*
 * Where a rank can be reached over TCP (IPv4): what it offers, and what a peer tries in turn. On
 * hosts with several networks the ranks keep to those that Open MPI was told to use
 * (btl_tcp_if_include, else oob_tcp_if_include), else try those first that both ends are on.
 */
#ifndef SW_TRANSPORT_ADDRESS_H
#define SW_TRANSPORT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define SW_ADDRESSES_MAX 8

/* Plain bytes, sent to the others as they are; addresses and masks in network order. */
struct sw_rank_address {
    uint64_t machine; /* sw_rank_address_machine() */
    uint16_t port, n_addresses;
    struct sw_address {
        uint32_t ip, mask;
    } addresses[SW_ADDRESSES_MAX];
};

/*
 * The running kernel and this process's network namespace: loopback joins processes for which it is
 * the same. 0: unknown.
 */
uint64_t sw_rank_address_machine(void);
/* This process's place, once it listens at `port` (host order) on all interfaces. */
void sw_rank_address_here(uint16_t port, struct sw_rank_address *out);
/* The k-th way (from 0) to try from one place to another; false past the last. */
bool sw_rank_address_way(const struct sw_rank_address *from, const struct sw_rank_address *to,
                         int k, struct sockaddr_in *out);
/*
 * Whether an interface is in Open MPI's list: names and networks with commas between,
 * "eth1,10.0.0.0/8". NULL or "": every one is.
 */
bool sw_interface_listed(const char *list, const char *name, uint32_t ip);

#endif

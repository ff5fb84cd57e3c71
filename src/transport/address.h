/*
 * The TCP addresses (IPv4) of a rank, and the order in which a peer tries them. On hosts with
 * several networks the ranks use those that Open MPI is restricted to (btl_tcp_if_include, else
 * oob_tcp_if_include); without a restriction they first try the networks that both hosts are on.
 */
#ifndef SW_TRANSPORT_ADDRESS_H
#define SW_TRANSPORT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define SW_ADDRESSES_MAX 8

/* Plain bytes, sent to the other ranks unchanged; addresses and masks are in network order. */
struct sw_rank_address {
    uint64_t machine; /* sw_rank_address_machine() */
    uint16_t port, n_addresses;
    struct sw_address {
        uint32_t ip, mask;
    } addresses[SW_ADDRESSES_MAX];
};

/*
 * A hash of the running kernel and of this process's network namespace: processes with the same
 * value reach each other over loopback. 0: unknown.
 */
uint64_t sw_rank_address_machine(void);
/* The addresses of this process, which listens at `port` (host order) on all interfaces. */
void sw_rank_address_here(uint16_t port, struct sw_rank_address *out);
/* The k-th address (k from 0) that rank `from` tries to connect to `to`; false past the last. */
bool sw_rank_address_way(const struct sw_rank_address *from, const struct sw_rank_address *to,
                         int k, struct sockaddr_in *out);
/*
 * Whether an interface is in a list of Open MPI: names and networks separated by commas,
 * "eth1,10.0.0.0/8". With NULL or "" every interface is.
 */
bool sw_interface_listed(const char *list, const char *name, uint32_t ip);

#endif

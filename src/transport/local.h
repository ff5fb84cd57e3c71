/* Which peers are processes of this machine, and which of those have ended. */
#ifndef SW_TRANSPORT_LOCAL_H
#define SW_TRANSPORT_LOCAL_H

#include "transport/transport.h"

/* What a rank tells the others about itself; plain bytes, the same on every rank. */
struct sw_local_card {
    char host[SW_HOST_MAX];
    char boot[40];      /* the running kernel's id: the same machine */
    uint64_t pid_space; /* the process-id namespace; 0: unknown */
    int32_t pid, first_on_node;
};

struct sw_local;
/* This process's card; `first_on_node`: the lowest rank that shares memory with it. */
struct sw_local_card sw_local_card(int first_on_node);
/* cards (size). NULL when memory is short. */
struct sw_local *sw_local_new(const struct sw_local_card *cards, int rank, int size);
/* The process of that rank ran on this machine and has ended. */
bool sw_local_gone(const struct sw_local *local, int rank);
void sw_local_free(struct sw_local *local);

#endif

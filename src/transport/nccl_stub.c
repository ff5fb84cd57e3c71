/* Stands in for device-to-device edges in builds without NCCL. */
#include "transport/transport.h"

enum sw_status sw_transport_nccl_open(struct sw_transport *t, int device)
{
    (void)t;
    return sw_fail(SW_EDEVICE,
                   "device %d cannot exchange data directly: this program was built without NCCL; "
                   "its stages pass their results through host memory instead",
                   device);
}

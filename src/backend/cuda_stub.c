/* Stands in for the CUDA backend in builds without it. */
#include "backend/backend.h"

enum sw_status sw_backend_cuda_open(int device, struct sw_backend **out)
{
    *out = NULL;
    return sw_fail(SW_EDEVICE, "GPU %d: this program was built without CUDA; see --version",
                   device);
}

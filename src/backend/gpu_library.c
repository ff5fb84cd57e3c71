/* Stands in for the GPU library's loading: there is none yet. */
#include "backend/gpu_library.h"

const struct sw_gpu_library *sw_gpu_library_load(const char **why, enum sw_status *status)
{
    if (why)
        *why = "this program has no GPU library";
    if (status)
        *status = SW_OK;
    return NULL;
}

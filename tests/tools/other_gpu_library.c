/* A GPU library that was left behind by another build: it knows its sources, and nothing else. */
#include "backend/gpu_library.h"

static const char *source_id(void)
{
    return "0123456789ab";
}

extern const struct sw_gpu_library sw_gpu_library;
const struct sw_gpu_library sw_gpu_library = {.source_id = source_id};

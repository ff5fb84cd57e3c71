/* Pinned host memory, from which copies to a GPU overlap computing. */
#ifndef SW_ENGINE_PINS_H
#define SW_ENGINE_PINS_H

#include "backend/gpu_library.h"

struct sw_pins {
    struct sw_backend *gpu;
    bool is_warned; /* the warning that pinning fails was logged */
};

/* Pins `bytes` of host memory until sw_pins_remove. False: that fails, so copies are slower; the
 * first time a warning is logged. */
bool sw_pins_add(struct sw_pins *pins, void *host, uint64_t bytes);
/* `host` as it was added; not called for what could not be pinned. */
void sw_pins_remove(struct sw_pins *pins, void *host);

#endif

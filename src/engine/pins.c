/* Owns pinning, and the one warning when it fails. */
#include "engine/pins.h"

#include "base/log.h"

bool sw_pins_add(struct sw_pins *pins, void *host, uint64_t bytes)
{
    static const char message[] =
        "memory of streamed layers cannot be pinned, so copying and computing "
        "do not overlap, which may halve the speed: %s";
    if (pins->gpu->gpu->pin(pins->gpu, host, bytes) == SW_OK)
        return true;
    /* What fails for one layer fails for others. */
    sw_log(pins->is_warned ? SW_LOG_DEBUG : SW_LOG_WARN, message, sw_error_message());
    pins->is_warned = true;
    sw_error_clear();
    return false;
}

void sw_pins_remove(struct sw_pins *pins, void *host)
{
    pins->gpu->gpu->unpin(pins->gpu, host);
}

/* Lines of routes: whatever is counted is of the model's layers and experts. */
#include "model/popularity.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LAYERS = 3, EXPERTS = 8 };
    struct sw_popularity p = {.n_layers = LAYERS,
                              .n_experts = EXPERTS,
                              .uses = calloc(LAYERS * EXPERTS, sizeof(uint64_t))};
    const char *at = (const char *)data, *const end = at + size;
    enum sw_status status = p.uses ? SW_OK : SW_ENOMEM;
    while (at < end && status == SW_OK) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline ? newline + 1 : end;
        status = sw_popularity_line(&p, at, (size_t)(next - at));
        at = next;
    }
    if (status == SW_OK && p.lines > 1) {
        double sum = 0, *shares = sw_popularity_shares(&p);
        for (int e = 0; shares && e < EXPERTS; e++)
            sum += shares[e];
        if (shares && !(sum < 1.0001 && (sum > 0.9999 || sum == 0)))
            abort();
        free(shares);
    }
    sw_popularity_free(&p);
    return 0;
}

/*
 * Memory that a process takes of a GPU before it allocates anything: a bare context, then all
 * kernels and cuBLAS, then the code of the measurement; compared with what a plan counts. A tool,
 * not a test.
 */
#include "backend/gpu_library.h"
#include "plan/plan.h"

#include <stdio.h>

static const struct sw_gpu_library *library;
static uint64_t before;

static enum sw_status tell(const char *when)
{
    uint64_t now;
    SW_TRY(library->left(0, &now));
    printf("%s: %.1f MiB free, %.1f MiB less than at first\n", when, (double)now / (1 << 20),
           ((double)before - (double)now) / (1 << 20));
    return SW_OK;
}

static enum sw_status measure(void)
{
    static const struct sw_gpu_options options = {.max_rows = 1, .max_cols = 1, .max_out = 1};
    struct sw_gpu_info info = {.name = ""};
    struct sw_gpu_speeds speeds;
    struct sw_backend *b;
    char why[SW_GPU_WHY_MAX];
    int n;
    SW_TRY(library->devices(&info, 1, &n, why));
    if (n == 0)
        return sw_fail(SW_EDEVICE, "there is no GPU: %s", why);
    before = info.free;
    printf("%s: %.1f MiB free%s\n", info.name, (double)before / (1 << 20),
           info.beside_context ? ", beside a context" : "");
    SW_TRY(tell("a bare context"));
    SW_TRY(library->open(&options, &b));
    const enum sw_status opened = tell("opened");
    printf("  of which workspace: %.1f MiB at most\n",
           (double)library->workspace(&options) / (1 << 20));
    b->ops->close(b);
    SW_TRY(opened);
    SW_TRY(tell("closed"));
    SW_TRY(library->measure(0, &speeds));
    SW_TRY(tell("speeds looked at"));
    printf("a plan counts %.1f MiB, of which links take %.1f MiB\n",
           (double)SW_GPU_CONTEXT_BYTES / (1 << 20), (double)SW_GPU_NCCL_BYTES / (1 << 20));
    return SW_OK;
}

int main(void)
{
    const char *why;
    enum sw_status status;
    library = sw_gpu_library_load(&why, &status);
    if (!library) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    status = measure();
    if (status != SW_OK)
        fprintf(stderr, "%s\n", sw_error_message());
    return status != SW_OK;
}

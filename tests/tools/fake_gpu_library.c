/*
 * tests/fake_gpu.h as a GPU library for the whole program. SPILLWAY_FAKE_GPU=BYTES[:TAKEN[:AFTER]]:
 * one GPU with so many bytes, of which somebody else has TAKEN, but that is to be seen only after
 * it has been looked at AFTER times (default: 1). SPILLWAY_FAKE_BUS: bytes a second from host
 * memory.
 */
#include "fake_gpu.h"

#include "base/version.h"

static int looks;

static void read_gpu(uint64_t *bytes, uint64_t *taken, int *after)
{
    const char *text = getenv("SPILLWAY_FAKE_GPU");
    unsigned long long b = 0, t = 0;
    *after = 1;
    if (text)
        (void)sscanf(text, "%llu:%llu:%d", &b, &t, after);
    *bytes = b;
    *taken = t;
}

static enum sw_status devices(struct sw_gpu_info *out, int cap, int *n, char why[SW_GPU_WHY_MAX])
{
    uint64_t bytes, taken;
    int after;
    read_gpu(&bytes, &taken, &after);
    *n = bytes > 0 && cap > 0;
    *why = 0;
    if (*n)
        *out = (struct sw_gpu_info){.name = "Fake GPU",
                                    .bus_id = "0000:01:00.0",
                                    .free = looks >= after ? bytes - taken : bytes,
                                    .total = bytes,
                                    .major = 7,
                                    .minor = 5};
    looks++;
    return SW_OK;
}

static uint64_t workspace(const struct sw_gpu_options *o)
{
    return sw_gpu_workspace_bytes(o->max_rows, o->max_cols, o->max_out);
}

static enum sw_status open_fake(const struct sw_gpu_options *o, struct sw_backend **out)
{
    const uint64_t own = workspace(o);
    struct sw_gpu_options options = *o;
    uint64_t bytes, taken;
    int index, after;
    *out = NULL;
    read_gpu(&bytes, &taken, &after);
    const uint64_t room = bytes - taken;
    if (own > room)
        return sw_fail(SW_ENOMEM, "GPU %d has no room for its workspace", o->device);
    if (options.memory > room - own)
        options.memory = room - own;
    return fake_open(&options, 1, NULL, out, &index);
}

static enum sw_status measure(int device, struct sw_gpu_speeds *out)
{
    const char *bus = getenv("SPILLWAY_FAKE_BUS");
    (void)device;
    *out = (struct sw_gpu_speeds){
        .bandwidth = 400e9, .flops = 10e12, .to_device = bus ? atof(bus) : 12e9};
    return SW_OK;
}

static enum sw_status left(int device, uint64_t *free)
{
    uint64_t bytes, taken;
    int after;
    (void)device;
    read_gpu(&bytes, &taken, &after);
    *free = looks > after ? bytes - taken : bytes;
    return SW_OK;
}

static const struct sw_gpu_link_ops *no_links(void)
{
    return NULL;
}

extern const struct sw_gpu_library sw_gpu_library;
const struct sw_gpu_library sw_gpu_library = {.source_id = sw_source_id,
                                              .what = "fake",
                                              .devices = devices,
                                              .open = open_fake,
                                              .workspace = workspace,
                                              .measure = measure,
                                              .left = left,
                                              .links = no_links};

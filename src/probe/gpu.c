/* Owns listing and measuring GPUs by way of the GPU library; without the library there are none. */
#include "probe/gpu.h"

#include "backend/gpu_library.h"
#include "base/log.h"
#include "plan/plan.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum sw_status sw_gpu_list(struct sw_gpu *gpus, int *n, char why[SW_GPU_WHY_MAX])
{
    static const struct sw_device defaults = {
        .bandwidth = SW_GPU_BANDWIDTH, .flops = SW_GPU_FLOPS, .launch = SW_GPU_LAUNCH};
    struct sw_gpu_info infos[SW_MAX_DEVICES];
    enum sw_status status;
    *n = 0;
    *why = 0;
    const struct sw_gpu_library *library = sw_gpu_library_load(NULL, &status);
    SW_TRY(status);
    if (!library)
        return SW_OK;
    memset(infos, 0, sizeof infos);
    SW_TRY(library->devices(infos, SW_MAX_DEVICES, n, why));
    *n = *n < SW_MAX_DEVICES ? *n : SW_MAX_DEVICES;
    for (int i = 0; i < *n; i++) {
        struct sw_gpu *gpu = &gpus[i];
        gpu->device = defaults;
        snprintf(gpu->device.name, sizeof gpu->device.name, "%.*s", SW_NAME_MAX - 1, infos[i].name);
        gpu->device.free = infos[i].free;
        gpu->device.total = infos[i].total;
        gpu->beside_context = infos[i].beside_context;
        snprintf(gpu->bus, sizeof gpu->bus, "%.*s", SW_GPU_BUS - 1, infos[i].bus_id);
    }
    return SW_OK;
}

void sw_gpu_measure(int device, struct sw_device *out, double *to_device)
{
    struct sw_gpu_speeds speeds;
    const struct sw_gpu_library *library = sw_gpu_library_load(NULL, NULL);
    *to_device = 0;
    if (!library)
        return;
    if (library->measure(device, &speeds) != SW_OK) {
        sw_log(SW_LOG_WARN, "the GPU's speed cannot be measured, a default is used: %s",
               sw_error_message());
        sw_error_clear();
        return;
    }
    *to_device = speeds.to_device;
    if (speeds.bandwidth > 0)
        out->bandwidth = speeds.bandwidth;
    if (speeds.flops > 0)
        out->flops = speeds.flops;
    if (speeds.launch > 0)
        out->launch = speeds.launch;
}

/* A plan takes the context off free memory, but this process has one already, of any size. */
void sw_gpu_correct(int device, int sharers, bool beside_context, struct sw_device *out)
{
    uint64_t left;
    const struct sw_gpu_library *library = sw_gpu_library_load(NULL, NULL);
    if (!library)
        return;
    if (library->left(device, &left) != SW_OK) {
        sw_error_clear();
        return;
    }
    const uint64_t counted = left / (uint64_t)sharers + SW_GPU_CONTEXT_BYTES - SW_GPU_NCCL_BYTES;
    const uint64_t most = beside_context ? out->total / (uint64_t)sharers : out->free;
    out->free = counted < most ? counted : most;
}

int sw_gpu_nccl(void)
{
    const struct sw_gpu_library *library = sw_gpu_library_load(NULL, NULL);
    const struct sw_gpu_link_ops *links = library ? library->links() : NULL;
    return links ? links->version() : 0;
}

/* NVIDIA's driver has a folder for each GPU. */
int sw_gpu_in_driver(const char *root)
{
    char path[1024];
    int n = 0;
    snprintf(path, sizeof path, "%s/proc/driver/nvidia/gpus", root);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

int sw_gpu_unused(const char *root, const char **why)
{
    return sw_gpu_library_load(why, NULL) ? 0 : sw_gpu_in_driver(root);
}

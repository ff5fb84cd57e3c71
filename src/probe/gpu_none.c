/* Stands in for the list of GPUs in builds without CUDA. */
#include "probe/gpu.h"

#include <dirent.h>
#include <stdio.h>

enum sw_status sw_gpu_list(struct sw_gpu *gpus, int *n)
{
    (void)gpus;
    *n = 0;
    return SW_OK;
}

/* NVIDIA's driver has a folder for each. */
int sw_gpu_unused(const char *root)
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

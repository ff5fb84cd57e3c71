/* Owns the first failure of a backend, which it keeps, and the advice in its message. */
#include "gpu/cuda.h"

#include <stdio.h>
#include <string.h>

#define NO_CODE                                                                                    \
    "this build has no code for this kind of GPU; add it to CMAKE_CUDA_ARCHITECTURES and build "   \
    "again, or leave the GPU out with CUDA_VISIBLE_DEVICES"

static const struct {
    cudaError_t error;
    const char *advice;
} advices[] = {
    {cudaErrorMemoryAllocation, "give this rank fewer layers on the GPU (--gpu-memory, --slices)"},
    {cudaErrorInsufficientDriver,
     "install a newer NVIDIA driver (nvidia-smi shows the present one)"},
    {cudaErrorDevicesUnavailable,
     "another process may hold it for itself alone (nvidia-smi: compute mode)"},
    {cudaErrorNoKernelImageForDevice, NO_CODE},
    {cudaErrorInvalidDeviceFunction, NO_CODE}, /* the runtime's error for a kernel without code */
    {cudaErrorUnsupportedPtxVersion, "the driver is too old to make code for this kind of GPU; "
                                     "install a newer one (nvidia-smi shows the present one)"},
    {cudaErrorECCUncorrectable, "the GPU's memory is damaged (nvidia-smi -q -d ECC); use another"},
    {cudaErrorIllegalAddress, "a fault of this program, unless the GPU fails elsewhere, too "
                              "(dmesg | grep Xid); please report it"},
    {cudaErrorMisalignedAddress, "a fault of this program; please report it"},
    {cudaErrorLaunchFailure, "a fault of this program, unless the GPU fails elsewhere, too "
                             "(dmesg | grep Xid); please report it"},
    {cudaErrorLaunchTimeout, "the GPU also drives a display, which ends long computations; use "
                             "one that does not"},
};

static const char *advice_for(cudaError_t error)
{
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
        if (advices[i].error == error)
            return advices[i].advice;
    return "nvidia-smi and dmesg may show more";
}

const char *sw_cuda_label(const struct sw_cuda *cuda, char *out, size_t cap)
{
    snprintf(out, cap, "GPU %d (%s)", cuda->options.device, cuda->name);
    return out;
}

static enum sw_status error_keep(struct sw_cuda *cuda, enum sw_status status, const char *file,
                                 int line)
{
    cuda->status = status;
    cuda->file = file;
    cuda->line = line;
    snprintf(cuda->error, sizeof cuda->error, "%s", sw_error_message());
    return status;
}

enum sw_status sw_cuda_failed(struct sw_cuda *cuda, cudaError_t error, const char *call,
                              const char *file, int line)
{
    char label[96];
    (void)cudaGetLastError(); /* or the next launch would report it again */
    if (cuda->status != SW_OK)
        return sw_cuda_status(cuda);
    sw_fail_at(file, line, "%s: %s (%s) at %.*s; %s", sw_cuda_label(cuda, label, sizeof label),
               cudaGetErrorString(error), cudaGetErrorName(error), (int)strcspn(call, "("), call,
               advice_for(error));
    return error_keep(cuda, error == cudaErrorMemoryAllocation ? SW_ENOMEM : SW_EDEVICE, file,
                      line);
}

enum sw_status sw_cuda_blas_failed(struct sw_cuda *cuda, cublasStatus_t error, const char *call,
                                   const char *file, int line)
{
    char label[96];
    if (cuda->status != SW_OK)
        return sw_cuda_status(cuda);
    sw_fail_at(file, line, "%s: cuBLAS reports %s at %.*s; nvidia-smi and dmesg may show more",
               sw_cuda_label(cuda, label, sizeof label), cublasGetStatusName(error),
               (int)strcspn(call, "("), call);
    return error_keep(cuda, error == CUBLAS_STATUS_ALLOC_FAILED ? SW_ENOMEM : SW_EDEVICE, file,
                      line);
}

enum sw_status sw_cuda_record(struct sw_cuda *cuda, enum sw_status status)
{
    if (status == SW_OK || cuda->status != SW_OK)
        return cuda->status;
    return error_keep(cuda, status, "gpu", 0);
}

enum sw_status sw_cuda_status(const struct sw_cuda *cuda)
{
    if (cuda->status != SW_OK)
        sw_fail_at(cuda->file, cuda->line, "%s", cuda->error);
    return cuda->status;
}

enum sw_status sw_cuda_enter(struct sw_cuda *cuda)
{
    SW_TRY(sw_cuda_status(cuda));
    CUDA_TRY(cuda, cudaSetDevice(cuda->options.device));
    return SW_OK;
}

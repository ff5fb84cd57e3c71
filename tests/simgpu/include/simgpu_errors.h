/* CUDA's error codes, as one table: name, number, text. */
#ifndef SIMGPU_ERRORS_H
#define SIMGPU_ERRORS_H

#define SIMGPU_ERRORS(X)                                                                           \
    X(cudaSuccess, 0, "no error")                                                                  \
    X(cudaErrorInvalidValue, 1, "invalid argument")                                                \
    X(cudaErrorMemoryAllocation, 2, "out of memory")                                               \
    X(cudaErrorInitializationError, 3, "initialization error")                                     \
    X(cudaErrorCudartUnloading, 4, "driver shutting down")                                         \
    X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                          \
    X(cudaErrorInvalidPitchValue, 12, "invalid pitch argument")                                    \
    X(cudaErrorInvalidDevicePointer, 17, "invalid device pointer")                                 \
    X(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                    \
    X(cudaErrorStubLibrary, 34, "the driver library is a stub")                                    \
    X(cudaErrorInsufficientDriver, 35, "driver version is insufficient for runtime version")       \
    X(cudaErrorDevicesUnavailable, 46, "device(s) busy or unavailable")                            \
    X(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                               \
    X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                                \
    X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                       \
    X(cudaErrorInvalidKernelImage, 200, "device kernel image is invalid")                          \
    X(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for the device")         \
    X(cudaErrorECCUncorrectable, 214, "uncorrectable ECC error encountered")                       \
    X(cudaErrorUnsupportedPtxVersion, 222, "the PTX was made by a newer toolkit")                  \
    X(cudaErrorPeerAccessUnsupported, 217, "peer access is not supported")                         \
    X(cudaErrorOperatingSystem, 304, "OS call failed or is not supported")                         \
    X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")                              \
    X(cudaErrorIllegalState, 401, "illegal state")                                                 \
    X(cudaErrorNotReady, 600, "device not ready")                                                  \
    X(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered")                    \
    X(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch")               \
    X(cudaErrorLaunchTimeout, 702, "the launch timed out and was terminated")                      \
    X(cudaErrorPeerAccessAlreadyEnabled, 704, "peer access is already enabled")                    \
    X(cudaErrorPeerAccessNotEnabled, 705, "peer access has not been enabled")                      \
    X(cudaErrorAssert, 710, "device-side assert triggered")                                        \
    X(cudaErrorHostMemoryAlreadyRegistered, 712, "host memory is already registered")              \
    X(cudaErrorHostMemoryNotRegistered, 713, "host memory is not registered")                      \
    X(cudaErrorIllegalInstruction, 715, "an illegal instruction was encountered")                  \
    X(cudaErrorMisalignedAddress, 716, "misaligned address")                                       \
    X(cudaErrorLaunchFailure, 719, "unspecified launch failure")                                   \
    X(cudaErrorNotPermitted, 800, "operation not permitted")                                       \
    X(cudaErrorNotSupported, 801, "operation not supported")                                       \
    X(cudaErrorSystemNotReady, 802, "system not yet initialized")                                  \
    X(cudaErrorSystemDriverMismatch, 803, "system driver and display driver differ")               \
    X(cudaErrorCompatNotSupportedOnDevice, 804, "forward compatibility is not supported here")     \
    X(cudaErrorStreamCaptureUnsupported, 900, "operation not permitted during stream capture")     \
    X(cudaErrorStreamCaptureInvalidated, 901, "operation failed due to a previous capture error")  \
    X(cudaErrorStreamCaptureMerge, 902, "operation would merge separate captures")                 \
    X(cudaErrorStreamCaptureUnmatched, 903, "capture was not ended in the stream it began in")     \
    X(cudaErrorStreamCaptureUnjoined, 904, "capturing stream has unjoined work")                   \
    X(cudaErrorStreamCaptureIsolation, 905, "dependency created on uncaptured work")               \
    X(cudaErrorStreamCaptureImplicit, 906, "operation would make the legacy stream depend")        \
    X(cudaErrorCapturedEvent, 907, "operation not permitted on an event last recorded in capture") \
    X(cudaErrorStreamCaptureWrongThread, 908, "capture was not ended in the thread it began in")   \
    X(cudaErrorUnknown, 999, "unknown error")

#define SIMGPU_ENUM(name, number, text) name = number,
enum cudaError { SIMGPU_ERRORS(SIMGPU_ENUM) };
#undef SIMGPU_ENUM
typedef enum cudaError cudaError_t;

#endif

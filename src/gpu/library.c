/* The only symbol that the shared object exports. */
#include "gpu/cuda.h"

#include "base/version.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
/* 13000 is 13.0. The preprocessor cannot turn a quotient into text, so the digits are computed. */
#define DIGIT(n) (char)('0' + (n) % 10)

static const char what[] = {'C',
                            'U',
                            'D',
                            'A',
                            ' ',
                            DIGIT(CUDART_VERSION / 10000),
                            DIGIT(CUDART_VERSION / 1000),
                            '.',
                            DIGIT(CUDART_VERSION / 10),
                            ',',
                            ' ',
                            'c',
                            'u',
                            'B',
                            'L',
                            'A',
                            'S',
                            ' ',
                            DIGIT(CUBLAS_VER_MAJOR / 10),
                            DIGIT(CUBLAS_VER_MAJOR),
                            '.',
                            DIGIT(CUBLAS_VER_MINOR),
                            0};

__attribute__((visibility("default"))) extern const struct sw_gpu_library sw_gpu_library;
const struct sw_gpu_library sw_gpu_library = {
    .source_id = sw_source_id,
    .what = what,
    .devices = sw_cuda_devices,
    .open = sw_cuda_open,
    .workspace = sw_cuda_workspace,
    .measure = sw_cuda_measure,
    .left = sw_cuda_left,
    .links = sw_cuda_links,
};

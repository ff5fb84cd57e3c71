// cuBLAS by plain loops, on the handle's stream.
#include "cublas_v2.h"
#include "runtime.h"
#include "simgpu_half.h"

#include <algorithm>
#include <cstring>

struct cublasContext {
    cudaStream_t stream;
    int device;
    bool device_scalars;
};

namespace simgpu
{
struct Product {
    bool a_transposed, b_transposed;
    int m, n, k, batch;
    const char *a, *b;
    char *c;
    cudaDataType_t a_type, b_type, c_type;
    int lda, ldb, ldc;
    long long stride_a, stride_b, stride_c; // elements
    bool integers;
    const void *alpha_at, *beta_at; // device memory, or
    float alpha, beta;              // host values at the call
    int32_t alpha_i, beta_i;
};

static const struct Kind {
    cudaDataType_t a, c;
    bool integers;
} kinds[] = {
    {CUDA_R_32F, CUDA_R_32F, false},   {CUDA_R_16F, CUDA_R_32F, false},
    {CUDA_R_16F, CUDA_R_16F, false},   {CUDA_R_16BF, CUDA_R_32F, false},
    {CUDA_R_16BF, CUDA_R_16BF, false}, {CUDA_R_8I, CUDA_R_32F, false},
    {CUDA_R_8I, CUDA_R_32I, true},
};

static size_t bytes_of(cudaDataType_t type)
{
    return type == CUDA_R_8I ? 1 : type == CUDA_R_16F || type == CUDA_R_16BF ? 2 : 4;
}

static float value(cudaDataType_t type, const char *p)
{
    unsigned short half;
    float f;
    uint32_t bits;
    switch (type) {
    case CUDA_R_8I:
        return static_cast<float>(*reinterpret_cast<const signed char *>(p));
    case CUDA_R_16F:
        memcpy(&half, p, sizeof half);
        return half_value(half);
    case CUDA_R_16BF:
        memcpy(&half, p, sizeof half);
        bits = static_cast<uint32_t>(half) << 16;
        memcpy(&f, &bits, sizeof f);
        return f;
    default:
        memcpy(&f, p, sizeof f);
        return f;
    }
}

static void store(cudaDataType_t type, char *p, float f)
{
    unsigned short half;
    uint32_t bits;
    switch (type) {
    case CUDA_R_16F:
        half = half_bits(f);
        memcpy(p, &half, sizeof half);
        break;
    case CUDA_R_16BF:
        memcpy(&bits, &f, sizeof bits);
        bits = f != f ? 0x7fff0000 : bits + 0x7fff + (bits >> 16 & 1);
        half = static_cast<unsigned short>(bits >> 16);
        memcpy(p, &half, sizeof half);
        break;
    default:
        memcpy(p, &f, sizeof f);
    }
}

// op(A)'s rows, or op(B)'s columns, each of k elements in a row. T: float or int32_t.
template <class T>
static std::vector<T> gather(const char *from, cudaDataType_t type, int ld, bool along, int count,
                             int k)
{
    const size_t n_k = static_cast<size_t>(k), step = bytes_of(type),
                 lead = static_cast<size_t>(ld);
    std::vector<T> out(static_cast<size_t>(count) * n_k);
    for (size_t i = 0; i < static_cast<size_t>(count); i++)
        for (size_t j = 0; j < n_k; j++) {
            const size_t at = along ? i * lead + j : j * lead + i;
            out[i * n_k + j] = static_cast<T>(value(type, from + at * step));
        }
    return out;
}

// Sixteen sums side by side, joined at the end: fast, and in one order whatever the other sizes.
template <class T> static T dot(const T *a, const T *b, size_t k)
{
    T sums[16] = {};
    size_t i = 0;
    for (; i + 16 <= k; i += 16)
        for (size_t l = 0; l < 16; l++)
            sums[l] += a[i + l] * b[i + l];
    for (size_t l = 0; i < k; i++, l++)
        sums[l] += a[i] * b[i];
    for (size_t width = 8; width; width /= 2)
        for (size_t l = 0; l < width; l++)
            sums[l] += sums[l + width];
    return sums[0];
}

// Only to be counted and refused: a device multiplies zeros, or whatever is alike, faster than
// other numbers.
template <class T> static void look_for_alike(const std::vector<T> &operand)
{
    for (const T &v : operand)
        if (memcmp(&v, operand.data(), sizeof v) != 0)
            return;
    planted_fault("product of one number");
    if (!settings().alike)
        die("a product whose operand has but one number (SIMGPU_ALIKE)");
}

template <class T, class Put>
static void multiply(const Product &p, const char *a, const char *b, Put put)
{
    const size_t k = static_cast<size_t>(p.k);
    const std::vector<T> rows = gather<T>(a, p.a_type, p.lda, p.a_transposed, p.m, p.k);
    const std::vector<T> columns = gather<T>(b, p.b_type, p.ldb, !p.b_transposed, p.n, p.k);
    look_for_alike(rows);
    look_for_alike(columns);
    for (size_t j = 0; j < static_cast<size_t>(p.n); j++)
        for (size_t i = 0; i < static_cast<size_t>(p.m); i++)
            put(j * static_cast<size_t>(p.ldc) + i,
                dot(rows.data() + i * k, columns.data() + j * k, k));
}

static void run_product(Product p)
{
    if (p.alpha_at) {
        memcpy(&p.alpha, p.alpha_at, sizeof p.alpha);
        memcpy(&p.beta, p.beta_at, sizeof p.beta);
        memcpy(&p.alpha_i, p.alpha_at, sizeof p.alpha_i);
        memcpy(&p.beta_i, p.beta_at, sizeof p.beta_i);
    }
    for (int i = 0; i < p.batch; i++) {
        const char *a = p.a + i * p.stride_a * static_cast<long long>(bytes_of(p.a_type));
        const char *b = p.b + i * p.stride_b * static_cast<long long>(bytes_of(p.b_type));
        char *c = p.c + i * p.stride_c * static_cast<long long>(bytes_of(p.c_type));
        // With beta 0 what C held is not read: it may be NaN.
        if (p.integers)
            multiply<int32_t>(p, a, b, [&](size_t at, int32_t sum) {
                int32_t *out = reinterpret_cast<int32_t *>(c) + at;
                *out = p.alpha_i * sum + (p.beta_i ? p.beta_i * *out : 0);
            });
        else
            multiply<float>(p, a, b, [&](size_t at, float sum) {
                char *out = c + at * bytes_of(p.c_type);
                const float old = p.beta != 0 ? p.beta * value(p.c_type, out) : 0;
                store(p.c_type, out, p.alpha * sum + old);
            });
    }
}

static bool supported(const Product &p, cublasComputeType_t compute)
{
    const bool integers = compute == CUBLAS_COMPUTE_32I || compute == CUBLAS_COMPUTE_32I_PEDANTIC;
    bool known = false;
    for (const Kind &kind : kinds)
        known |= kind.a == p.a_type && p.a_type == p.b_type && kind.c == p.c_type &&
                 kind.integers == integers;
    if (compute == CUBLAS_COMPUTE_16F || !known)
        return false;
    // 8-bit operands: four at a time.
    const uintptr_t places = reinterpret_cast<uintptr_t>(p.a) | reinterpret_cast<uintptr_t>(p.b);
    return p.a_type != CUDA_R_8I || (p.lda % 4 == 0 && p.ldb % 4 == 0 && places % 4 == 0);
}

// Rows and columns as stored fit the leading dimension.
static bool sizes_fit(const Product &p)
{
    const int a_rows = p.a_transposed ? p.k : p.m, b_rows = p.b_transposed ? p.n : p.k;
    return p.m >= 0 && p.n >= 0 && p.k >= 0 && p.batch >= 0 && p.lda >= std::max(1, a_rows) &&
           p.ldb >= std::max(1, b_rows) && p.ldc >= std::max(1, p.m);
}

static size_t extent(cudaDataType_t type, int ld, int rows, int columns, long long stride,
                     int batch)
{
    const size_t one =
        static_cast<size_t>(ld) * static_cast<size_t>(columns - 1) + static_cast<size_t>(rows);
    return (one + static_cast<size_t>(stride) * static_cast<size_t>(batch - 1)) * bytes_of(type);
}

// What the real one would find out by a fault, later.
static void check_places(const Product &p)
{
    if (!p.m || !p.n || !p.k || !p.batch)
        return;
    const struct {
        const char *name;
        const void *at;
        size_t bytes;
    } operands[] = {
        {"A", p.a,
         extent(p.a_type, p.lda, p.a_transposed ? p.k : p.m, p.a_transposed ? p.m : p.k, p.stride_a,
                p.batch)},
        {"B", p.b,
         extent(p.b_type, p.ldb, p.b_transposed ? p.n : p.k, p.b_transposed ? p.k : p.n, p.stride_b,
                p.batch)},
        {"C", p.c, extent(p.c_type, p.ldc, p.m, p.n, p.stride_c, p.batch)},
    };
    const std::lock_guard<std::mutex> guard(lock);
    for (const auto &o : operands)
        if (!on_device(o.at, o.bytes)) {
            char what[200];
            describe_address(o.at, what, sizeof what);
            die("cublasGemm (m %d, n %d, k %d): %s takes %zu bytes from %s", p.m, p.n, p.k, o.name,
                o.bytes, what);
        }
}

static cublasStatus_t product(cublasHandle_t handle, Product p, const void *alpha, const void *beta,
                              cublasComputeType_t compute)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!sizes_fit(p) || !alpha || !beta)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!supported(p, compute))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    p.integers = compute == CUBLAS_COMPUTE_32I || compute == CUBLAS_COMPUTE_32I_PEDANTIC;
    if (handle->device_scalars) {
        p.alpha_at = alpha;
        p.beta_at = beta;
    } else if (p.integers) {
        memcpy(&p.alpha_i, alpha, sizeof p.alpha_i);
        memcpy(&p.beta_i, beta, sizeof p.beta_i);
    } else {
        memcpy(&p.alpha, alpha, sizeof p.alpha);
        memcpy(&p.beta, beta, sizeof p.beta);
    }
    check_places(p);
    const cudaError_t error = enqueue(handle->stream, "cublasGemm", [p] { run_product(p); });
    return error ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}
} // namespace simgpu

using namespace simgpu;

#define CUBLAS_ENTER()                                                                             \
    do {                                                                                           \
        const int fault_ = planted_fault(__func__);                                                \
        if (fault_)                                                                                \
            return static_cast<cublasStatus_t>(fault_);                                            \
    } while (0)

extern "C" {
cublasStatus_t cublasCreate(cublasHandle_t *out)
{
    CUBLAS_ENTER();
    int device;
    if (use_device(&device))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *out = new cublasContext{nullptr, device, false};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    cudaDeviceSynchronize();
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion(cublasHandle_t, int *version)
{
    *version = CUBLAS_VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    CUBLAS_ENTER();
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t *stream)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *stream = handle->stream;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *workspace, size_t bytes)
{
    CUBLAS_ENTER();
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    const std::lock_guard<std::mutex> guard(lock);
    const bool aligned = reinterpret_cast<uintptr_t>(workspace) % 256 == 0;
    return !bytes || (aligned && on_device(workspace, bytes)) ? CUBLAS_STATUS_SUCCESS
                                                              : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t)
{
    return handle ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_INITIALIZED;
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode)
{
    if (!handle)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    handle->device_scalars = mode == CUBLAS_POINTER_MODE_DEVICE;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasGetStatusName(cublasStatus_t status)
{
    static const struct {
        cublasStatus_t status;
        const char *name;
    } names[] = {
        {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS"},
        {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED"},
        {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED"},
        {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE"},
        {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH"},
        {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR"},
        {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED"},
        {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR"},
        {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED"},
    };
    for (const auto &n : names)
        if (n.status == status)
            return n.name;
    return "CUBLAS_STATUS_?";
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    return cublasGetStatusName(status);
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t op_a,
                                          cublasOperation_t op_b, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType_t a_type,
                                          int lda, long long stride_a, const void *b,
                                          cudaDataType_t b_type, int ldb, long long stride_b,
                                          const void *beta, void *c, cudaDataType_t c_type, int ldc,
                                          long long stride_c, int batch,
                                          cublasComputeType_t compute, cublasGemmAlgo_t)
{
    CUBLAS_ENTER();
    Product p = {};
    p.a_transposed = op_a != CUBLAS_OP_N;
    p.b_transposed = op_b != CUBLAS_OP_N;
    p.m = m;
    p.n = n;
    p.k = k;
    p.batch = batch;
    p.a = static_cast<const char *>(a);
    p.b = static_cast<const char *>(b);
    p.c = static_cast<char *>(c);
    p.a_type = a_type;
    p.b_type = b_type;
    p.c_type = c_type;
    p.lda = lda;
    p.ldb = ldb;
    p.ldc = ldc;
    p.stride_a = stride_a;
    p.stride_b = stride_b;
    p.stride_c = stride_c;
    return product(handle, p, alpha, beta, compute);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void *alpha, const void *a,
                            cudaDataType_t a_type, int lda, const void *b, cudaDataType_t b_type,
                            int ldb, const void *beta, void *c, cudaDataType_t c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algo)
{
    CUBLAS_ENTER();
    return cublasGemmStridedBatchedEx(handle, op_a, op_b, m, n, k, alpha, a, a_type, lda, 0, b,
                                      b_type, ldb, 0, beta, c, c_type, ldc, 0, 1, compute, algo);
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                           int m, int n, int k, const float *alpha, const float *a, int lda,
                           const float *b, int ldb, const float *beta, float *c, int ldc)
{
    CUBLAS_ENTER();
    return cublasGemmEx(handle, op_a, op_b, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb,
                        beta, c, CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
}

/* The stand-in for cuBLAS against plain loops, over shapes, types, transposes and strides. */
#include "simgpu/child.h"
#include "simgpu/sim_kernels.h"

#include <cublas_v2.h>
#include <math.h>

struct type {
    cudaDataType_t type;
    size_t bytes;
    double unit; /* of its relative rounding */
};
static const struct type f32 = {CUDA_R_32F, 4, 0x1p-24}, f16 = {CUDA_R_16F, 2, 0x1p-11},
                         bf16 = {CUDA_R_16BF, 2, 0x1p-8}, i8 = {CUDA_R_8I, 1, 0},
                         i32 = {CUDA_R_32I, 4, 0};

/* Small numbers that every type holds exactly. */
static void put(struct type t, void *at, size_t i, int value)
{
    const float f = t.type == CUDA_R_8I ? (float)value : (float)value / 8;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint16_t half = (uint16_t)(bits >> 16);
    if (t.type == CUDA_R_16F)
        half = (uint16_t)((bits >> 16 & 0x8000) |
                          (value ? ((bits >> 23 & 255) - 112) << 10 | (bits >> 13 & 0x3ff) : 0));
    if (t.type == CUDA_R_8I)
        ((signed char *)at)[i] = (signed char)value;
    else if (t.bytes == 2)
        ((uint16_t *)at)[i] = half;
    else
        ((float *)at)[i] = f;
}

static double get(struct type t, const void *at, size_t i)
{
    if (t.type == CUDA_R_32I)
        return ((const int *)at)[i];
    if (t.type == CUDA_R_32F)
        return (double)((const float *)at)[i];
    const uint16_t half = ((const uint16_t *)at)[i];
    const uint32_t bits = (uint32_t)half << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return t.type == CUDA_R_16BF ? (double)f
                                 : ldexp((half & 1023) + (half >> 10 & 31 ? 1024 : 0),
                                         (half >> 10 & 31 ? half >> 10 & 31 : 1) - 25) *
                                       (half >> 15 ? -1 : 1);
}

struct shape {
    int m, n, k, lda_more, ldb_more, ldc_more, batch;
};

static int element(int seed, int i, int j)
{
    return (seed * 31 + i * 17 + j * 23 + i * j) % 15 - 7;
}

static void product(cublasHandle_t handle, struct type ab, struct type c, struct shape s, bool ta,
                    bool tb, int alpha, int beta)
{
    const int a_rows = ta ? s.k : s.m, a_cols = ta ? s.m : s.k;
    const int b_rows = tb ? s.n : s.k, b_cols = tb ? s.k : s.n;
    const int lda = a_rows + s.lda_more, ldb = b_rows + s.ldb_more, ldc = s.m + s.ldc_more;
    const size_t a_n = (size_t)(lda * a_cols), b_n = (size_t)(ldb * b_cols),
                 c_n = (size_t)(ldc * s.n), batch = (size_t)s.batch;
    char *a = malloc(a_n * batch * ab.bytes), *b = malloc(b_n * batch * ab.bytes),
         *out = malloc(c_n * batch * c.bytes);
    memset(a, 0xff, a_n * batch * ab.bytes); /* NaN between the rows */
    memset(b, 0xff, b_n * batch * ab.bytes);
    memset(out, 0xff, c_n * batch * c.bytes);
    for (int z = 0; z < s.batch; z++) {
        for (int j = 0; j < a_cols; j++)
            for (int i = 0; i < a_rows; i++)
                put(ab, a, (size_t)z * a_n + (size_t)(j * lda + i), element(z, i, j));
        for (int j = 0; j < b_cols; j++)
            for (int i = 0; i < b_rows; i++)
                put(ab, b, (size_t)z * b_n + (size_t)(j * ldb + i), element(z + 5, j, i));
        for (int j = 0; j < s.n && beta; j++)
            for (int i = 0; i < s.m; i++) {
                if (c.type == CUDA_R_32I)
                    ((int *)(void *)out)[(size_t)z * c_n + (size_t)(j * ldc + i)] = i - j;
                else
                    put(c, out, (size_t)z * c_n + (size_t)(j * ldc + i), i % 7 - j % 5);
            }
    }
    char *before = malloc(c_n * batch * c.bytes);
    memcpy(before, out, c_n * batch * c.bytes);
    void *d_a = to_device(a, a_n * batch * ab.bytes), *d_b = to_device(b, b_n * batch * ab.bytes),
         *d_c = to_device(out, c_n * batch * c.bytes);
    const float alpha_f = (float)alpha, beta_f = (float)beta;
    const bool integers = c.type == CUDA_R_32I;
    const cublasStatus_t status = cublasGemmStridedBatchedEx(
        handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, s.m, s.n, s.k,
        integers ? (const void *)&alpha : &alpha_f, d_a, ab.type, lda, (long long)a_n, d_b, ab.type,
        ldb, (long long)b_n, integers ? (const void *)&beta : &beta_f, d_c, c.type, ldc,
        (long long)c_n, s.batch, integers ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
        CUBLAS_GEMM_DEFAULT);
    NEED(status == CUBLAS_STATUS_SUCCESS);
    from_device(out, d_c, c_n * batch * c.bytes);
    const double scale = ab.type == CUDA_R_8I ? 1 : 64; /* of an element of A times one of B */
    for (int z = 0; z < s.batch; z++)
        for (int j = 0; j < s.n; j++)
            for (int i = 0; i < ldc; i++) {
                const size_t at = (size_t)z * c_n + (size_t)(j * ldc + i);
                if (i >= s.m) { /* between the columns nothing is written */
                    NEED(memcmp(out + at * c.bytes, before + at * c.bytes, c.bytes) == 0);
                    continue;
                }
                double sum = 0;
                for (int x = 0; x < s.k; x++)
                    sum += (double)((ta ? element(z, x, i) : element(z, i, x)) *
                                    (tb ? element(z + 5, x, j) : element(z + 5, j, x)));
                sum = alpha * sum / scale + (beta ? beta * get(c, before, at) : 0);
                NEED(fabs(get(c, out, at) - sum) <= c.unit * fabs(sum));
            }
    NEED_CUDA(cudaFree(d_a));
    NEED_CUDA(cudaFree(d_b));
    NEED_CUDA(cudaFree(d_c));
    free(a);
    free(b);
    free(out);
    free(before);
}

static const struct shape shapes[] = {{1, 1, 1, 0, 0, 0, 1},  {5, 3, 7, 0, 0, 0, 1},
                                      {8, 1, 33, 4, 2, 1, 1}, {31, 17, 65, 1, 3, 5, 1},
                                      {4, 9, 16, 0, 0, 2, 3}, {64, 5, 128, 8, 8, 8, 2}};

static void floats(void)
{
    cublasHandle_t handle;
    cudaStream_t s;
    NEED(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    NEED_CUDA(cudaStreamCreate(&s));
    NEED(cublasSetStream(handle, s) == CUBLAS_STATUS_SUCCESS);
    const struct type kinds[][2] = {{f32, f32}, {f16, f32}, {bf16, f32}, {f16, f16}, {bf16, bf16}};
    for (size_t t = 0; t < sizeof kinds / sizeof kinds[0]; t++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            for (int way = 0; way < 4; way++)
                product(handle, kinds[t][0], kinds[t][1], shapes[i], way & 1, way & 2,
                        way == 3 ? -2 : 1, way == 2);
    NEED(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
}

static void integers(void)
{
    cublasHandle_t handle;
    NEED(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    for (int way = 0; way < 4; way++) {
        const bool ta = way & 1, tb = way & 2;
        product(handle, i8, i32, (struct shape){12, 8, 64, 0, 4, 1, 1}, ta, tb, 1, 0);
        product(handle, i8, i32, (struct shape){4, 20, 100, 8, 0, 0, 2}, ta, tb, 3, 1);
        product(handle, i8, f32, (struct shape){4, 4, 36, 0, 0, 0, 1}, ta, tb, 1, 0);
    }
    /* leading dimensions that are no multiple of 4 */
    void *d = to_device(NULL, 4096);
    const int one = 1, zero = 0;
    NEED(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, 4, 4, 6, &one, d, CUDA_R_8I, 6, d,
                      CUDA_R_8I, 8, &zero, d, CUDA_R_32I, 4, CUBLAS_COMPUTE_32I,
                      CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_NOT_SUPPORTED);
    NEED(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, 4, 4, 8, &one, d, CUDA_R_8I, 4, d,
                      CUDA_R_8I, 8, &zero, d, CUDA_R_32I, 4, CUBLAS_COMPUTE_32I,
                      CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_INVALID_VALUE);
    NEED(cublasSetWorkspace(handle, d, 4096) == CUBLAS_STATUS_SUCCESS);
    NEED(cublasSetWorkspace(handle, d, 4097) == CUBLAS_STATUS_INVALID_VALUE);
    NEED(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
}

/* On its stream, after what is before it and late. */
static void on_its_stream(void)
{
    cublasHandle_t handle;
    cudaStream_t s;
    NEED(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    NEED_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    NEED(cublasSetStream(handle, s) == CUBLAS_STATUS_SUCCESS);
    float x[16], *h;
    for (int i = 0; i < 16; i++)
        x[i] = (float)i;
    float *d_x = to_device(NULL, sizeof x), *d_y = to_device(NULL, sizeof x);
    NEED_CUDA(cudaHostAlloc((void **)&h, sizeof x, 0));
    memcpy(h, x, sizeof x);
    NEED_CUDA(cudaMemcpyAsync(d_x, h, sizeof x, cudaMemcpyHostToDevice, s));
    float alpha = 1, beta = 0;
    NEED(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &alpha, d_x, 4, d_x, 4, &beta, d_y,
                     4) == CUBLAS_STATUS_SUCCESS);
    alpha = beta = 1000; /* read at the call */
    NEED(cudaStreamQuery(s) == cudaErrorNotReady);
    NEED_CUDA(cudaMemcpyAsync(h, d_y, sizeof x, cudaMemcpyDeviceToHost, s));
    NEED_CUDA(cudaStreamSynchronize(s));
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            float sum = 0;
            for (int k = 0; k < 4; k++)
                sum += x[k * 4 + i] * x[j * 4 + k];
            NEED(h[j * 4 + i] == sum);
        }
    simgpu_fail("cublasSgemm", 1, CUBLAS_STATUS_EXECUTION_FAILED);
    NEED(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &alpha, d_x, 4, d_x, 4, &beta, d_y,
                     4) == CUBLAS_STATUS_EXECUTION_FAILED);
    NEED(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
}

static void too_large(void)
{
    cublasHandle_t handle;
    NEED(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    const float alpha = 1, beta = 0;
    float *d = to_device(NULL, 64), *c = to_device(NULL, 60);
    cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &alpha, d, 4, d, 4, &beta, c, 4);
}

static void products(void)
{
    expect_right(floats, "SIMGPU_DELAY=0/1");
    expect_right(integers, "");
}

static void order(void)
{
    expect_right(on_its_stream, "SIMGPU_DELAY=50000/1");
}

static void operands_beyond_their_memory(void)
{
    expect_death(too_large, "", "C takes 64 bytes from byte 0 of an allocation of 60 bytes", NULL);
}

SW_UNIT_TESTS({"products", products}, {"order", order},
              {"operands beyond their memory", operands_beyond_their_memory})

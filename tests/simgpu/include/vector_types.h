/* CUDA's short vectors and dim3. */
#ifndef SIMGPU_VECTOR_TYPES_H
#define SIMGPU_VECTOR_TYPES_H

#ifdef __cplusplus
#define SIMGPU_ALIGN(n) alignas(n)
#else
#define SIMGPU_ALIGN(n) _Alignas(n)
#endif

/* Alignment as on the device: a misplaced vector access is an error there. */
#define SIMGPU_VECTORS(T, name, a2, a4)                                                            \
    struct name##1                                                                                 \
    {                                                                                              \
        T x;                                                                                       \
    };                                                                                             \
    struct name##2                                                                                 \
    {                                                                                              \
        SIMGPU_ALIGN(a2) T x;                                                                      \
        T y;                                                                                       \
    };                                                                                             \
    struct name##3                                                                                 \
    {                                                                                              \
        T x, y, z;                                                                                 \
    };                                                                                             \
    struct name##4                                                                                 \
    {                                                                                              \
        SIMGPU_ALIGN(a4) T x;                                                                      \
        T y, z, w;                                                                                 \
    };                                                                                             \
    typedef struct name##1 name##1;                                                                \
    typedef struct name##2 name##2;                                                                \
    typedef struct name##3 name##3;                                                                \
    typedef struct name##4 name##4;

SIMGPU_VECTORS(signed char, char, 2, 4)
SIMGPU_VECTORS(unsigned char, uchar, 2, 4)
SIMGPU_VECTORS(short, short, 4, 8)
SIMGPU_VECTORS(unsigned short, ushort, 4, 8)
SIMGPU_VECTORS(int, int, 8, 16)
SIMGPU_VECTORS(unsigned, uint, 8, 16)
SIMGPU_VECTORS(long long, longlong, 16, 16)
SIMGPU_VECTORS(unsigned long long, ulonglong, 16, 16)
SIMGPU_VECTORS(float, float, 8, 16)
SIMGPU_VECTORS(double, double, 16, 16)

struct dim3 {
    unsigned x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
#endif
};
typedef struct dim3 dim3;

#ifdef __cplusplus
#define SIMGPU_MAKE(T, name)                                                                       \
    static inline name##1 make_##name##1(T x)                                                      \
    {                                                                                              \
        return {x};                                                                                \
    }                                                                                              \
    static inline name##2 make_##name##2(T x, T y)                                                 \
    {                                                                                              \
        return {x, y};                                                                             \
    }                                                                                              \
    static inline name##3 make_##name##3(T x, T y, T z)                                            \
    {                                                                                              \
        return {x, y, z};                                                                          \
    }                                                                                              \
    static inline name##4 make_##name##4(T x, T y, T z, T w)                                       \
    {                                                                                              \
        return {x, y, z, w};                                                                       \
    }
SIMGPU_MAKE(signed char, char)
SIMGPU_MAKE(unsigned char, uchar)
SIMGPU_MAKE(short, short)
SIMGPU_MAKE(unsigned short, ushort)
SIMGPU_MAKE(int, int)
SIMGPU_MAKE(unsigned, uint)
SIMGPU_MAKE(long long, longlong)
SIMGPU_MAKE(unsigned long long, ulonglong)
SIMGPU_MAKE(float, float)
SIMGPU_MAKE(double, double)
#undef SIMGPU_MAKE
#endif
#undef SIMGPU_VECTORS

#endif

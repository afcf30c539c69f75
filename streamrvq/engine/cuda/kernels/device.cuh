// What every kernel is written in: float operations of one rounding each, and shared memory.
//
// Knows: CUDA, and nothing else: no headers, because NVRTC has none. Does not know: layers. For the tests a header of the
// same names runs the kernels on the CPU (tests/support/cuda/emulate.hpp).
//
// Arithmetic that must give the CPU's bits has a name here. A kernel uses no other float operation. None of them is
// contracted, reordered or replaced by a compiler: they are intrinsics of one IEEE rounding each.
#pragma once
#ifdef __CUDACC__

#ifdef __CUDACC_RTC__
typedef unsigned int uint32_t;
typedef long long int64_t;
#else
#include <stdint.h>
#endif

#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__
// A block's threads, and how many blocks of them a multiprocessor must have registers for.
#define BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)

DEVICE float fma_(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DEVICE float add_(float a, float b) { return __fadd_rn(a, b); }
DEVICE float sub_(float a, float b) { return __fsub_rn(a, b); }
DEVICE float mul_(float a, float b) { return __fmul_rn(a, b); }
DEVICE float div_(float a, float b) { return __fdiv_rn(a, b); }
DEVICE float root_(float a) { return __fsqrt_rn(a); }
DEVICE float round_(float a) { return rintf(a); }  // to the nearest whole number, of two the even one
DEVICE float pow2_(float n) { return __int_as_float((__float2int_rn(n) + 127) << 23); }
DEVICE float abs_(float a) { return fabsf(a); }
DEVICE float least_() { return __int_as_float(static_cast<int>(0xff800000u)); }  // minus infinity

// The same of doubles, for angles.
DEVICE double fma_wide(double a, double b, double c) { return __fma_rn(a, b, c); }
DEVICE double add_wide(double a, double b) { return __dadd_rn(a, b); }
DEVICE double mul_wide(double a, double b) { return __dmul_rn(a, b); }
DEVICE double div_wide(double a, double b) { return __ddiv_rn(a, b); }
DEVICE double round_wide(double a) { return rint(a); }
DEVICE float narrow_(double a) { return __double2float_rn(a); }
DEVICE float whole_(int64_t a) { return __ll2float_rn(a); }  // rounded to the nearest

// A place in shared memory is a number of bytes, not a generic pointer. That is one register, and one instruction less for
// every access.
typedef uint32_t Shared;
DEVICE float *shared_floats() {
    extern __shared__ __align__(16) float shared_memory[];
    return shared_memory;
}
DEVICE Shared shared_place(const float *at) { return static_cast<Shared>(__cvta_generic_to_shared(at)); }
DEVICE Shared shared_begin() { return shared_place(shared_floats()); }
DEVICE Shared after(Shared at, int floats) { return at + 4u * static_cast<uint32_t>(floats); }
// Keeps the compiler from computing an address anew in every turn of a loop.
DEVICE Shared kept(Shared at) {
    asm volatile("" : "+r"(at));
    return at;
}
DEVICE float4 shared4(Shared at) {
    float4 v;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(at));
    return v;
}
DEVICE void shared_put4(Shared at, float4 v) {
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(at), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w) : "memory");
}

// Asynchronous copies into shared memory. They come in groups: `copies_close` ends one, and `copies_wait<N>` waits until at
// most N groups are left. Other threads see what was copied after a barrier.
DEVICE void copy16(Shared to, const float *from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
// The same, or zeros if what should be read is not there. `from` must be an address that may be read in both cases.
DEVICE void copy16_if(Shared to, const float *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
}
DEVICE void copy4_if(Shared to, const float *from, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(there ? 4 : 0) : "memory");
}
DEVICE void copies_close() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> DEVICE void copies_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

DEVICE float4 get4(const float *p) { return *reinterpret_cast<const float4 *>(p); }
DEVICE void put4(float *p, float4 v) { *reinterpret_cast<float4 *>(p) = v; }

#else
#include "emulate.hpp"
#endif

DEVICE float4 all4(float v) { return make_float4(v, v, v, v); }
// A number that is known to the compiler, as an argument.
template <int I> struct Index {
    static constexpr int value = I;
};
// Component I, which is known to the compiler.
template <int I> DEVICE float part(const float4 &v) {
    if constexpr (I == 0) return v.x;
    if constexpr (I == 1) return v.y;
    if constexpr (I == 2) return v.z;
    return v.w;
}

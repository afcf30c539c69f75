// NEON of 64-bit Arm: 4 floats a vector, 32 registers.
#include "kernels/kernels.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>

#include <cstdint>

namespace {

struct V {
    static constexpr int W = 4, MR = 8, NR = 2;
    using F = float32x4_t;
    using M = uint32x4_t;
    static F set(float x) { return vdupq_n_f32(x); }
    static F load(const float *p) { return vld1q_f32(p); }
    static void store(float *p, F x) { vst1q_f32(p, x); }
    static F load_half(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
    static F add(F a, F b) { return vaddq_f32(a, b); }
    static F sub(F a, F b) { return vsubq_f32(a, b); }
    static F mul(F a, F b) { return vmulq_f32(a, b); }
    static F div(F a, F b) { return vdivq_f32(a, b); }
    static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
    static F fms(F a, F b, F c) { return vfmaq_f32(vnegq_f32(c), a, b); }
    static F min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }  // b if either is not a number
    static F abs(F a) { return vabsq_f32(a); }
    static F round(F a) { return vrndnq_f32(a); }
    static F pow2(F n) {
        return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
    }
    static M greater(F a, F b) { return vcgtq_f32(a, b); }
    static M ordered(F a) { return vceqq_f32(a, a); }
    static F select(M m, F yes, F no) { return vbslq_f32(m, yes, no); }
    static float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    static float root(float a) { return __builtin_sqrtf(a); }
};

}  // namespace

#include "kernels/conv.inl.hpp"

const srvq::Kernels *srvq::neon_kernels() {
    static constexpr Kernels kernels = table("neon");
    return &kernels;  // every 64-bit Arm has it
}

#else

const srvq::Kernels *srvq::neon_kernels() { return nullptr; }

#endif

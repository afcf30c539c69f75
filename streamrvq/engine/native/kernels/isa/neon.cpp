// NEON of 64-bit Arm: 4 floats a vector, 32 registers.
#include "kernels/instruction_sets.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>

#include <cstdint>

namespace {

struct V {
    static constexpr int kWidth = 4, kRows = 8, kVectors = 2;
    using Floats = float32x4_t;
    using Doubles = float64x2_t;
    using Mask = uint32x4_t;
    static Floats broadcast(float x) { return vdupq_n_f32(x); }
    static Floats load(const float *p) { return vld1q_f32(p); }
    static void store(float *p, Floats x) { vst1q_f32(p, x); }
    static Floats load_half(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
    static Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
    static Floats sub(Floats a, Floats b) { return vsubq_f32(a, b); }
    static Floats mul(Floats a, Floats b) { return vmulq_f32(a, b); }
    static Floats div(Floats a, Floats b) { return vdivq_f32(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
    static void accumulate(Floats &sum, Floats a, Floats b) { sum = fma(a, b, sum); }
    static Floats fms(Floats a, Floats b, Floats c) { return vfmaq_f32(vnegq_f32(c), a, b); }
    static Floats min(Floats a, Floats b) { return vbslq_f32(vcltq_f32(a, b), a, b); }  // b if either is not a number
    static Floats abs(Floats a) { return vabsq_f32(a); }
    static Floats round(Floats a) { return vrndnq_f32(a); }
    static Floats pow2(Floats n) {
        return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
    }
    static Mask greater(Floats a, Floats b) { return vcgtq_f32(a, b); }
    static Mask is_number(Floats a) { return vceqq_f32(a, a); }
    static Floats select(Mask m, Floats yes, Floats no) { return vbslq_f32(m, yes, no); }
    static Doubles broadcast_double(double x) { return vdupq_n_f64(x); }
    static Doubles load_floats(const float *p) { return vcvt_f64_f32(vld1_f32(p)); }
    static Doubles load_integers(const int32_t *p) { return vcvtq_f64_s64(vmovl_s32(vld1_s32(p))); }
    static Doubles add_exact_product(Doubles a, Doubles b, Doubles c) { return vfmaq_f64(c, a, b); }
    static Doubles halved(const Doubles *s) { return vpaddq_f64(s[0], s[1]); }
    static Doubles min(Doubles a, Doubles b) { return vminq_f64(a, b); }
    static Doubles max(Doubles a, Doubles b) { return vmaxq_f64(a, b); }
    static void store_rounded(float *p, Doubles x) { vst1_f32(p, vcvt_f32_f64(x)); }
    static float fma_scalar(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
    static float sqrt_scalar(float a) { return __builtin_sqrtf(a); }
};

}  // namespace

#include "kernels/kernels.inl.hpp"

const srvq::Kernels *srvq::neon_kernels() {
    static constexpr Kernels kernels = kernel_table("neon");
    return &kernels;  // every 64-bit Arm has it
}

#else

const srvq::Kernels *srvq::neon_kernels() { return nullptr; }

#endif

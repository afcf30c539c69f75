// AVX2 with FMA and half-precision conversion: 8 floats a vector, 16 registers.
#include "kernels/instruction_sets.hpp"

#if defined(__AVX2__) && defined(__FMA__)
#include <cpuid.h>
#include <immintrin.h>

#include <cstdint>

namespace {

struct V {
    static constexpr int kWidth = 8, kRows = 6, kVectors = 2;
    using Floats = __m256;
    using Doubles = __m256d;
    using Mask = __m256;
    static Floats broadcast(float x) { return _mm256_set1_ps(x); }
    static Floats load(const float *p) { return _mm256_loadu_ps(p); }
    static void store(float *p, Floats x) { _mm256_storeu_ps(p, x); }
    static Floats load_half(const uint16_t *p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
    }
    static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
    static Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
    static Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
    static Floats div(Floats a, Floats b) { return _mm256_div_ps(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
    // With the intrinsic, GCC puts some sums of a tile into registers of their inputs, and others onto the stack.
    static void accumulate(Floats &sum, Floats a, Floats b) { asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b)); }
    static Floats fms(Floats a, Floats b, Floats c) { return _mm256_fmsub_ps(a, b, c); }
    static Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
    static Floats abs(Floats a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
    static Floats round(Floats a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Floats pow2(Floats n) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
    }
    static Mask greater(Floats a, Floats b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
    static Mask is_number(Floats a) { return _mm256_cmp_ps(a, a, _CMP_ORD_Q); }
    static Floats select(Mask m, Floats yes, Floats no) { return _mm256_blendv_ps(no, yes, m); }
    static Doubles broadcast_double(double x) { return _mm256_set1_pd(x); }
    static Doubles load_floats(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
    static Doubles load_integers(const int32_t *p) {
        return _mm256_cvtepi32_pd(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
    }
    static Doubles add_exact_product(Doubles a, Doubles b, Doubles c) { return _mm256_fmadd_pd(a, b, c); }
    static Doubles halved(const Doubles *s) {
        Doubles two[2];  // of sums i and i + 2, two numbers each
        for (int i = 0; i < 2; ++i)
            two[i] = _mm256_permute2f128_pd(s[i], s[i + 2], 0x20) + _mm256_permute2f128_pd(s[i], s[i + 2], 0x31);
        return _mm256_unpacklo_pd(two[0], two[1]) + _mm256_unpackhi_pd(two[0], two[1]);
    }
    static Doubles min(Doubles a, Doubles b) { return _mm256_min_pd(a, b); }
    static Doubles max(Doubles a, Doubles b) { return _mm256_max_pd(a, b); }
    static void store_rounded(float *p, Doubles x) { _mm_storeu_ps(p, _mm256_cvtpd_ps(x)); }
    static float fma_scalar(float a, float b, float c) {
        return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
    }
    static float sqrt_scalar(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
};

}  // namespace

#include "kernels/kernels.inl.hpp"

// Clang 14, for one, cannot be asked for "f16c".
static bool has_half() {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

const srvq::Kernels *srvq::avx2_kernels() {
    static constexpr Kernels kernels = kernel_table("avx2");
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_half() ? &kernels : nullptr;
}

#else

const srvq::Kernels *srvq::avx2_kernels() { return nullptr; }

#endif

// AVX2 with FMA and half-precision conversion: 8 floats a vector, 16 registers.
#include "kernels/kernels.hpp"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include <cstdint>

namespace {

struct V {
    static constexpr int W = 8, MR = 6, NR = 2;
    using F = __m256;
    using M = __m256;
    static F set(float x) { return _mm256_set1_ps(x); }
    static F load(const float *p) { return _mm256_loadu_ps(p); }
    static void store(float *p, F x) { _mm256_storeu_ps(p, x); }
    static F load_half(const uint16_t *p) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
    }
    static F add(F a, F b) { return _mm256_add_ps(a, b); }
    static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
    static F div(F a, F b) { return _mm256_div_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
    static F fms(F a, F b, F c) { return _mm256_fmsub_ps(a, b, c); }
    static F min(F a, F b) { return _mm256_min_ps(a, b); }
    static F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
    static F round(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static F pow2(F n) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
    }
    static M greater(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
    static M ordered(F a) { return _mm256_cmp_ps(a, a, _CMP_ORD_Q); }
    static F select(M m, F yes, F no) { return _mm256_blendv_ps(no, yes, m); }
    static float fma1(float a, float b, float c) {
        return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
    }
    static float root(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
};

}  // namespace

#include "kernels/conv.inl.hpp"

const srvq::Kernels *srvq::avx2_kernels() {
    static constexpr Kernels kernels = table("avx2");
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") ? &kernels
                                                                                                             : nullptr;
}

#else

const srvq::Kernels *srvq::avx2_kernels() { return nullptr; }

#endif

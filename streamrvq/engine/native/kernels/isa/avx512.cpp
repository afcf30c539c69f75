// AVX-512: 16 floats a vector, 32 registers.
#include "kernels/kernels.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>

#include <cstdint>

namespace {

struct V {
    static constexpr int W = 16, MR = 8, NR = 2;
    using F = __m512;
    using M = __mmask16;
    static F set(float x) { return _mm512_set1_ps(x); }
    static F load(const float *p) { return _mm512_loadu_ps(p); }
    static void store(float *p, F x) { _mm512_storeu_ps(p, x); }
    static F load_half(const uint16_t *p) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
    }
    static F add(F a, F b) { return _mm512_add_ps(a, b); }
    static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F div(F a, F b) { return _mm512_div_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
    static F fms(F a, F b, F c) { return _mm512_fmsub_ps(a, b, c); }
    static F min(F a, F b) { return _mm512_min_ps(a, b); }
    static F abs(F a) { return _mm512_abs_ps(a); }
    static F round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static F pow2(F n) {  // of whole n from −126 to 127
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
    }
    static M greater(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
    static M ordered(F a) { return _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q); }
    static F select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
    static float fma1(float a, float b, float c) {
        return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
    }
    static float root(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
};

}  // namespace

#include "kernels/conv.inl.hpp"

const srvq::Kernels *srvq::avx512_kernels() {
    static constexpr Kernels kernels = table("avx512");
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")
               ? &kernels
               : nullptr;
}

#else

const srvq::Kernels *srvq::avx512_kernels() { return nullptr; }

#endif

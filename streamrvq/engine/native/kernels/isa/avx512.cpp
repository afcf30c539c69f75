// AVX-512: 16 floats a vector, 32 registers.
#include "kernels/instruction_sets.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>

#include <cstdint>

namespace {

struct V {
    static constexpr int kWidth = 16, kRows = 8, kVectors = 2;
    using Floats = __m512;
    using Doubles = __m512d;
    using Mask = __mmask16;
    static Floats broadcast(float x) { return _mm512_set1_ps(x); }
    static Floats load(const float *p) { return _mm512_loadu_ps(p); }
    static void store(float *p, Floats x) { _mm512_storeu_ps(p, x); }
    static Floats load_half(const uint16_t *p) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
    }
    static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
    static Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
    static Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
    static Floats div(Floats a, Floats b) { return _mm512_div_ps(a, b); }
    static Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static void accumulate(Floats &sum, Floats a, Floats b) { sum = fma(a, b, sum); }
    static Floats fms(Floats a, Floats b, Floats c) { return _mm512_fmsub_ps(a, b, c); }
    static Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
    static Floats abs(Floats a) { return _mm512_abs_ps(a); }
    static Floats round(Floats a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Floats pow2(Floats n) {  // of whole n from −126 to 127
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
    }
    static Mask greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
    static Mask is_number(Floats a) { return _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q); }
    static Floats select(Mask m, Floats yes, Floats no) { return _mm512_mask_blend_ps(m, no, yes); }
    static Doubles broadcast_double(double x) { return _mm512_set1_pd(x); }
    static Doubles load_floats(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
    static Doubles load_integers(const int32_t *p) {
        return _mm512_cvtepi32_pd(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
    }
    static Doubles add_exact_product(Doubles a, Doubles b, Doubles c) { return _mm512_fmadd_pd(a, b, c); }
    static Doubles halved(const Doubles *s) {
        Doubles four[4], two[2];  // of each sum so many numbers: those of i, i + 4; of i, i + 4, i + 2, i + 6
        for (int i = 0; i < 4; ++i)
            four[i] = _mm512_shuffle_f64x2(s[i], s[i + 4], 0x44) + _mm512_shuffle_f64x2(s[i], s[i + 4], 0xee);
        for (int i = 0; i < 2; ++i)
            two[i] = _mm512_shuffle_f64x2(four[i], four[i + 2], 0x88) + _mm512_shuffle_f64x2(four[i], four[i + 2], 0xdd);
        const Doubles one = _mm512_unpacklo_pd(two[0], two[1]) + _mm512_unpackhi_pd(two[0], two[1]);
        return _mm512_shuffle_f64x2(one, one, 0xd8);  // they are 0, 1, 4, 5, 2, 3, 6, 7
    }
    static Doubles min(Doubles a, Doubles b) { return _mm512_min_pd(a, b); }
    static Doubles max(Doubles a, Doubles b) { return _mm512_max_pd(a, b); }
    static void store_rounded(float *p, Doubles x) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(x)); }
    static float fma_scalar(float a, float b, float c) {
        return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
    }
    static float sqrt_scalar(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
};

}  // namespace

#include "kernels/kernels.inl.hpp"

const srvq::Kernels *srvq::avx512_kernels() {
    static constexpr Kernels kernels = kernel_table("avx512");
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")
               ? &kernels
               : nullptr;
}

#else

const srvq::Kernels *srvq::avx512_kernels() { return nullptr; }

#endif

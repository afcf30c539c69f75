// Plain C++ with std::fma: slow where the compiler has no instruction for it, and right everywhere. What the others are
// compared with, and what a machine without them runs.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/instruction_sets.hpp"

namespace {

struct V {
    static constexpr int kWidth = 4, kRows = 4, kVectors = 2;
    struct Floats {
        float at[kWidth];
    };
    typedef double Doubles __attribute__((vector_size(kWidth * sizeof(float))));
    struct Mask {
        bool at[kWidth];
    };
    template <class G>
    static Floats each(G g) {
        Floats y;
        for (int i = 0; i < kWidth; ++i) y.at[i] = g(i);
        return y;
    }
    static Floats broadcast(float x) {
        return each([&](int) { return x; });
    }
    static Floats load(const float *p) {
        return each([&](int i) { return p[i]; });
    }
    static void store(float *p, Floats x) { std::memcpy(p, x.at, sizeof x.at); }
    static Floats load_half(const uint16_t *p) {
        return each([&](int i) { return from_half(p[i]); });
    }
    static Floats add(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] + b.at[i]; });
    }
    static Floats sub(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] - b.at[i]; });
    }
    static Floats mul(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] * b.at[i]; });
    }
    static Floats div(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] / b.at[i]; });
    }
    static Floats fma(Floats a, Floats b, Floats c) {
        return each([&](int i) { return std::fma(a.at[i], b.at[i], c.at[i]); });
    }
    static void accumulate(Floats &sum, Floats a, Floats b) { sum = fma(a, b, sum); }
    static Floats fms(Floats a, Floats b, Floats c) {
        return each([&](int i) { return std::fma(a.at[i], b.at[i], -c.at[i]); });
    }
    static Floats min(Floats a, Floats b) {
        return each([&](int i) { return a.at[i] < b.at[i] ? a.at[i] : b.at[i]; });
    }
    static Floats abs(Floats a) {
        return each([&](int i) { return std::fabs(a.at[i]); });
    }
    static Floats round(Floats a) {
        return each([&](int i) { return std::nearbyint(a.at[i]); });
    }
    static Floats pow2(Floats n) {
        return each([&](int i) { return std::ldexp(1.0f, static_cast<int>(n.at[i])); });
    }
    static Mask greater(Floats a, Floats b) {
        Mask m;
        for (int i = 0; i < kWidth; ++i) m.at[i] = a.at[i] > b.at[i];
        return m;
    }
    static Mask is_number(Floats a) {
        Mask m;
        for (int i = 0; i < kWidth; ++i) m.at[i] = a.at[i] == a.at[i];
        return m;
    }
    static Floats select(Mask m, Floats yes, Floats no) {
        return each([&](int i) { return m.at[i] ? yes.at[i] : no.at[i]; });
    }
    template <class G>
    static Doubles each_double(G g) {
        Doubles y;
        for (int i = 0; i < kWidth / 2; ++i) y[i] = g(i);
        return y;
    }
    static Doubles broadcast_double(double x) {
        return each_double([&](int) { return x; });
    }
    static Doubles load_floats(const float *p) {
        return each_double([&](int i) { return static_cast<double>(p[i]); });
    }
    static Doubles load_integers(const int32_t *p) {
        return each_double([&](int i) { return static_cast<double>(p[i]); });
    }
    static Doubles add_exact_product(Doubles a, Doubles b, Doubles c) { return a * b + c; }
    static Doubles halved(const Doubles *sums) {
        return each_double([&](int i) {
            Doubles s = sums[i];
            for (int half = kWidth / 4; half > 0; half /= 2)
                for (int j = 0; j < half; ++j) s[j] += s[j + half];
            return s[0];
        });
    }
    static Doubles min(Doubles a, Doubles b) {
        return each_double([&](int i) { return a[i] < b[i] ? a[i] : b[i]; });
    }
    static Doubles max(Doubles a, Doubles b) {
        return each_double([&](int i) { return a[i] > b[i] ? a[i] : b[i]; });
    }
    static void store_rounded(float *p, Doubles x) {
        for (int i = 0; i < kWidth / 2; ++i) p[i] = static_cast<float>(x[i]);
    }
    static float fma_scalar(float a, float b, float c) { return std::fma(a, b, c); }
    static float sqrt_scalar(float a) { return std::sqrt(a); }

    static float from_half(uint16_t h) {
        const int exponent = (h >> 10) & 31, mantissa = h & 1023;
        const float size = exponent ? std::ldexp(1024.0f + static_cast<float>(mantissa), exponent - 25)
                                    : std::ldexp(static_cast<float>(mantissa), -24);
        return h & 0x8000 ? -size : size;
    }
};

}  // namespace

#include "kernels/kernels.inl.hpp"

const srvq::Kernels *srvq::portable_kernels() {
    static constexpr Kernels kernels = kernel_table("portable");
    return &kernels;
}

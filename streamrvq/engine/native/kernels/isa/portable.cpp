// Plain C++ with std::fma: slow where the compiler has no instruction for it, and right everywhere. What the others are
// compared with, and what a machine without them runs.
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

struct V {
    static constexpr int W = 4, MR = 4, NR = 2;
    struct F {
        float at[W];
    };
    struct M {
        bool at[W];
    };
    template <class G>
    static F each(G g) {
        F y;
        for (int i = 0; i < W; ++i) y.at[i] = g(i);
        return y;
    }
    static F set(float x) {
        return each([&](int) { return x; });
    }
    static F load(const float *p) {
        return each([&](int i) { return p[i]; });
    }
    static void store(float *p, F x) { std::memcpy(p, x.at, sizeof x.at); }
    static F load_half(const uint16_t *p) {
        return each([&](int i) { return from_half(p[i]); });
    }
    static F add(F a, F b) {
        return each([&](int i) { return a.at[i] + b.at[i]; });
    }
    static F sub(F a, F b) {
        return each([&](int i) { return a.at[i] - b.at[i]; });
    }
    static F mul(F a, F b) {
        return each([&](int i) { return a.at[i] * b.at[i]; });
    }
    static F div(F a, F b) {
        return each([&](int i) { return a.at[i] / b.at[i]; });
    }
    static F fma(F a, F b, F c) {
        return each([&](int i) { return std::fma(a.at[i], b.at[i], c.at[i]); });
    }
    static F fms(F a, F b, F c) {
        return each([&](int i) { return std::fma(a.at[i], b.at[i], -c.at[i]); });
    }
    static F min(F a, F b) {
        return each([&](int i) { return a.at[i] < b.at[i] ? a.at[i] : b.at[i]; });
    }
    static F abs(F a) {
        return each([&](int i) { return std::fabs(a.at[i]); });
    }
    static F round(F a) {
        return each([&](int i) { return std::nearbyint(a.at[i]); });
    }
    static F pow2(F n) {
        return each([&](int i) { return std::ldexp(1.0f, static_cast<int>(n.at[i])); });
    }
    static M greater(F a, F b) {
        M m;
        for (int i = 0; i < W; ++i) m.at[i] = a.at[i] > b.at[i];
        return m;
    }
    static M ordered(F a) {
        M m;
        for (int i = 0; i < W; ++i) m.at[i] = a.at[i] == a.at[i];
        return m;
    }
    static F select(M m, F yes, F no) {
        return each([&](int i) { return m.at[i] ? yes.at[i] : no.at[i]; });
    }
    static float fma1(float a, float b, float c) { return std::fma(a, b, c); }
    static float root(float a) { return std::sqrt(a); }

    static float from_half(uint16_t h) {
        const int exponent = (h >> 10) & 31, mantissa = h & 1023;
        const float size = exponent ? std::ldexp(1024.0f + static_cast<float>(mantissa), exponent - 25)
                                    : std::ldexp(static_cast<float>(mantissa), -24);
        return h & 0x8000 ? -size : size;
    }
};

}  // namespace

#include "kernels/conv.inl.hpp"

const srvq::Kernels *srvq::portable_kernels() {
    static constexpr Kernels kernels = table("portable");
    return &kernels;
}

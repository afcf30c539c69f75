// What the processor can do at most: arithmetic of registers alone, of loaded numbers, and reading. Included by conv.inl.hpp.
//
// Knows: a tile's shape. Does not know: clocks and threads (api.cpp), codecs.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

constexpr int kChains = V::MR * V::NR;  // independent ones, as many as a tile has

// The operations of so many rounds, each a step of every chain. Looks at the chains, so that no compiler leaves them out.
inline double operations(const V::F *chains, double rounds) {
    alignas(64) float lanes[V::W];
    float sum = 0.0f;
    for (int j = 0; j < kChains; ++j) {
        V::store(lanes, chains[j]);
        sum += lanes[0];
    }
    return sum > 0.0f ? 2.0 * V::W * kChains * rounds : 0.0;
}

// What the processor can do at most.
double peak(int64_t rounds) {
    V::F y[kChains];
    for (auto &v : y) v = V::set(1.0f);
    const volatile float factor = 0.999f, rest = 0.001f;  // so that no compiler does the sum beforehand
    const V::F a = V::set(factor), b = V::set(rest);
    for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 32
        for (int j = 0; j < kChains; ++j) y[j] = V::fma(y[j], a, b);
    }
    return operations(y, static_cast<double>(rounds));
}

// The same chains with numbers that come from a core's first cache, as a tile's do: loading costs power, and where power is
// what bounds the clock, no tile reaches the peak of registers alone.
double fed(int64_t rounds) {
    constexpr int64_t depth = 64;
    alignas(64) float w[depth * V::NR * V::W], x[V::MR * depth];
    for (float &v : w) v = 0.001f;
    for (float &v : x) v = 0.999f;
    V::F y[kChains];
    for (auto &v : y) v = V::set(1.0f);
    for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 4
        for (int64_t k = 0; k < depth; ++k) {
            V::F v[V::NR];
            for (int n = 0; n < V::NR; ++n) v[n] = V::load(w + (k * V::NR + n) * V::W);
#pragma GCC unroll 16
            for (int r = 0; r < V::MR; ++r) {
                const V::F s = V::set(x[r * depth + k]);
                for (int n = 0; n < V::NR; ++n) y[r * V::NR + n] = V::fma(s, v[n], y[r * V::NR + n]);
            }
        }
    return operations(y, static_cast<double>(rounds * depth));
}

float read(const float *x, int64_t count) {
    V::F sum[8];
    for (auto &v : sum) v = V::set(0.0f);
    for (int64_t i = 0; i + 8 * V::W <= count; i += 8 * V::W)
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) sum[j] = V::add(sum[j], V::load(x + i + j * V::W));
    for (int j = 1; j < 8; ++j) sum[0] = V::add(sum[0], sum[j]);
    alignas(64) float lanes[V::W];
    V::store(lanes, sum[0]);
    return lanes[0];
}

}  // namespace
}  // namespace srvq

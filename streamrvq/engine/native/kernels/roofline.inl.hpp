// The roofline: the most that the processor can do, by registers alone, by loaded numbers, and in reading. Included by
// kernels.inl.hpp.
//
// Knows: a tile's shape. Does not know: clocks and threads (run/roofline.cpp), codecs.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

constexpr int kChains = V::kRows * V::kVectors;  // independent ones, as many as a tile has

// The operations of `rounds` rounds, each a step of every chain. It reads the chains, so that no compiler leaves them out.
inline double operations(const V::Floats *chains, double rounds) {
    alignas(64) float elements[V::kWidth];
    float sum = 0.0f;
    for (int j = 0; j < kChains; ++j) {
        V::store(elements, chains[j]);
        sum += elements[0];
    }
    return sum > 0.0f ? 2.0 * V::kWidth * kChains * rounds : 0.0;
}

// Fused multiply-adds of numbers that stay in registers.
double register_peak(int64_t rounds) {
    V::Floats y[kChains];
    for (auto &v : y) v = V::broadcast(1.0f);
    const volatile float factor = 0.999f, rest = 0.001f;  // so that no compiler computes the sum beforehand
    const V::Floats a = V::broadcast(factor), b = V::broadcast(rest);
    for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 32
        for (int j = 0; j < kChains; ++j) y[j] = V::fma(y[j], a, b);
    }
    return operations(y, static_cast<double>(rounds));
}

// The same chains with numbers from a core's first cache, as a tile has them. Loading costs power. Where power bounds the
// clock, no tile reaches the peak of registers alone.
double load_peak(int64_t rounds) {
    constexpr int64_t depth = 64;
    alignas(64) float w[depth * V::kVectors * V::kWidth], x[V::kRows * depth];
    for (float &v : w) v = 0.001f;
    for (float &v : x) v = 0.999f;
    V::Floats y[kChains];
    for (auto &v : y) v = V::broadcast(1.0f);
    for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 4
        for (int64_t k = 0; k < depth; ++k) {
            V::Floats v[V::kVectors];
            for (int n = 0; n < V::kVectors; ++n) v[n] = V::load(w + (k * V::kVectors + n) * V::kWidth);
#pragma GCC unroll 16
            for (int r = 0; r < V::kRows; ++r) {
                const V::Floats s = V::broadcast(x[r * depth + k]);
                for (int n = 0; n < V::kVectors; ++n) y[r * V::kVectors + n] = V::fma(s, v[n], y[r * V::kVectors + n]);
            }
        }
    return operations(y, static_cast<double>(rounds * depth));
}

float read(const float *x, int64_t count) {
    V::Floats sum[8];
    for (auto &v : sum) v = V::broadcast(0.0f);
    for (int64_t i = 0; i + 8 * V::kWidth <= count; i += 8 * V::kWidth)
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) sum[j] = V::add(sum[j], V::load(x + i + j * V::kWidth));
    for (int j = 1; j < 8; ++j) sum[0] = V::add(sum[0], sum[j]);
    alignas(64) float elements[V::kWidth];
    V::store(elements, sum[0]);
    return elements[0];
}

}  // namespace
}  // namespace srvq

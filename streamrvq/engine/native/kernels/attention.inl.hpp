// Layer norms and attention. Included by kernels.inl.hpp.
//
// Knows: rows, keys and values that lie in memory one after the other. Does not know: weights, positions, streams. Loops over
// channels or heads have independent elements: whatever the compiler does with them, each has its own order.
#pragma once
#include "kernels/functions.inl.hpp"

namespace srvq {
namespace {

constexpr int kSums = 16;

// Sum i has the terms i, i + 16, … in order; then the later half of the sums is added to the earlier one, until one is left.
template <class Term>
inline float joined_sums(int64_t count, Term add) {
    float sums[kSums] = {};
    int64_t c = 0;
    for (; c + kSums <= count; c += kSums)
        for (int i = 0; i < kSums; ++i) sums[i] = add(sums[i], c + i);
    for (int i = 0; c + i < count; ++i) sums[i] = add(sums[i], c + i);
    for (int half = kSums / 2; half; half /= 2)
        for (int i = 0; i < half; ++i) sums[i] = sums[i] + sums[i + half];
    return sums[0];
}

void norm(const NormRows &s) {
    const float columns = static_cast<float>(s.columns);
    for (int64_t r = 0; r < s.rows; ++r) {
        const float *const x = s.in + r * s.columns;
        float *const y = s.out + r * s.columns;
        const float mean = joined_sums(s.columns, [&](float sum, int64_t c) { return sum + x[c]; }) / columns;
        const float squares = joined_sums(s.columns, [&](float sum, int64_t c) {
            const float d = x[c] - mean;
            return V::fma_scalar(d, d, sum);
        });
        const float deviation = V::sqrt_scalar(squares / columns + s.epsilon);
        for (int64_t c = 0; c < s.columns; ++c) y[c] = V::fma_scalar((x[c] - mean) / deviation, s.weight[c], s.bias[c]);
    }
}

// exp(x) for x ≤ 0; below −87 it is less than 1e-37.
inline V::Floats share_of(V::Floats x) {
    const V::Floats zero = V::broadcast(0.0f);
    return exp_of(V::sub(zero, V::min(V::sub(zero, x), V::broadcast(87.0f))));
}

// q · k of four keys for all heads, a head an element. A vector that is wider than the heads that are left reads numbers of the
// next dimension in its other elements, which are not used.
inline void scores_of(const Attention &s, int64_t key, int64_t padded) {
    alignas(64) float dots[V::kWidth];
    const int64_t keys = s.count - key < 4 ? s.count - key : 4;
    const float *const k[4] = {s.keys + key * s.stride, s.keys + (key + (keys > 1 ? 1 : 0)) * s.stride,
                               s.keys + (key + (keys > 2 ? 2 : 0)) * s.stride, s.keys + (key + (keys > 3 ? 3 : 0)) * s.stride};
    for (int64_t first = 0; first < s.heads; first += V::kWidth) {
        V::Floats sums[4] = {V::broadcast(0.0f), V::broadcast(0.0f), V::broadcast(0.0f), V::broadcast(0.0f)};
        for (int64_t at = first; at < s.dim * s.heads; at += s.heads) {
            const V::Floats q = V::load(s.query + at);
#pragma GCC unroll 4
            for (int i = 0; i < 4; ++i) sums[i] = V::fma(q, V::load(k[i] + at), sums[i]);
        }
        for (int64_t i = 0; i < keys; ++i) {
            V::store(dots, sums[i]);
            for (int64_t h = first; h < s.heads && h < first + V::kWidth; ++h) s.scores[h * padded + key + i] = dots[h - first];
        }
    }
}

// N vectors of outputs from number `at` on, `count` of the last one's elements: chains beside each other, for one alone waits
// for itself.
template <int N>
inline void values_of(const Attention &s, const float *scores, float sum, int64_t at, int64_t count = V::kWidth) {
    V::Floats totals[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) totals[n] = V::broadcast(0.0f);
    for (int64_t key = 0; key < s.count; ++key) {
        const V::Floats score = V::broadcast(scores[key]);
        const float *const values = s.values + key * s.stride + at;
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) totals[n] = V::fma(score, V::load(values + n * V::kWidth), totals[n]);
    }
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n)
        store_some(s.out + at + n * V::kWidth, V::div(totals[n], V::broadcast(sum)), n + 1 < N ? V::kWidth : count);
}

// Scores: one chain over dimensions a key and head. Their maximum, exponentials, then one chain over keys an output, and one for
// the sum of the exponentials.
void attend(const Attention &s) {
    const int64_t padded = (s.count + V::kWidth - 1) / V::kWidth * V::kWidth;
    for (int64_t key = 0; key < s.count; key += 4) scores_of(s, key, padded);
    for (int64_t h = 0; h < s.heads; ++h) {
        float *const scores = s.scores + h * padded;
        float most = scores[0];
        for (int64_t key = 1; key < s.count; ++key) most = scores[key] > most ? scores[key] : most;
        for (int64_t key = s.count; key < padded; ++key) scores[key] = most;
        for (int64_t key = 0; key < s.count; key += V::kWidth)
            V::store(scores + key, share_of(V::mul(V::sub(V::load(scores + key), V::broadcast(most)), V::broadcast(s.scale))));
        float sum = 0.0f;
        for (int64_t key = 0; key < s.count; ++key) sum = sum + scores[key];
        int64_t d = 0;
        for (; d + 4 * V::kWidth <= s.dim; d += 4 * V::kWidth) values_of<4>(s, scores, sum, h * s.dim + d);
        for (; d < s.dim; d += V::kWidth) values_of<1>(s, scores, sum, h * s.dim + d, s.dim - d);
    }
}

}  // namespace
}  // namespace srvq

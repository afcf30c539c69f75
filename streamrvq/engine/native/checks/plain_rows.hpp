// What LSTMs, norms, attention, depthwise transposed convolutions and joins give, in plain loops. All is one stream's.
//
// Cosine and sine of an angle come from the system: ours must round to the same floats.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "plain_loops.hpp"

namespace checks {

inline float sigmoid(float x) {
    const Exponential part(0.0f - std::fmin(std::fabs(x), 87.0f));
    const float e = (part.q + 1.0f) * part.scale;
    return (0.0f > x ? e : 1.0f) / (1.0f + e);
}

inline float hyperbolic(float x) {
    const float z = x * x, size = std::fmin(std::fabs(x), 10.0f);
    if (size < 0.625f) {
        float p = -0x1.8c8c88p-8f;
        for (const float c : {0x1.577db8p-6f, -0x1.b916f0p-5f, 0x1.110ddcp-3f, -0x1.555552p-2f}) p = std::fma(p, z, c);
        return std::fma(z * x, p, x);
    }
    const Exponential part(size + size);
    const float big = 1.0f - 2.0f / ((part.q + 1.0f) * part.scale + 1.0f);
    return 0.0f > x ? 0.0f - big : big;
}

// The chain of one column of `weight` [columns][depth] over one row, from `start` on.
inline float chain(float start, const float *x, const float *weight, int64_t column, int64_t depth) {
    for (int64_t i = 0; i < depth; ++i) start = std::fma(x[i], weight[column * depth + i], start);
    return start;
}

inline Floats lstm_of(const LayerSpec &l, const float *x, int64_t rows) {
    Floats y, h(static_cast<size_t>(l.cout)), cell(h), gates(static_cast<size_t>(4 * l.cout));
    for (int64_t t = 0; t < rows; ++t) {
        for (int64_t j = 0; j < 4 * l.cout; ++j)
            gates[static_cast<size_t>(j)] =
                chain(chain(l.bias[j], x + t * l.cin, l.weight, j, l.cin), h.data(), l.recurrent, j, l.cout);
        for (size_t u = 0, n = h.size(); u < n; ++u) {
            cell[u] = std::fma(sigmoid(gates[n + u]), cell[u], sigmoid(gates[u]) * hyperbolic(gates[2 * n + u]));
            h[u] = sigmoid(gates[3 * n + u]) * hyperbolic(cell[u]);
        }
        y.insert(y.end(), h.begin(), h.end());
    }
    return y;
}

// Sum i has the terms i, i + 16, …; then halves are added.
inline float joined_sums(const Floats &terms, bool squares) {
    Floats sums(16);
    for (size_t c = 0; c < terms.size(); ++c)
        sums[c % 16] = squares ? std::fma(terms[c], terms[c], sums[c % 16]) : sums[c % 16] + terms[c];
    for (size_t half = 8; half; half /= 2)
        for (size_t i = 0; i < half; ++i) sums[i] = sums[i] + sums[i + half];
    return sums[0];
}

inline Floats norm_of(const LayerSpec &l, const float *x, int64_t rows) {
    Floats y;
    const float columns = static_cast<float>(l.cin);
    for (int64_t t = 0; t < rows; ++t, x += l.cin) {
        Floats row(x, x + l.cin);
        const float mean = joined_sums(row, false) / columns;
        for (float &value : row) value = value - mean;
        const float deviation = std::sqrt(joined_sums(row, true) / columns + static_cast<float>(l.epsilon));
        for (int64_t c = 0; c < l.cin; ++c) y.push_back(std::fma(row[static_cast<size_t>(c)] / deviation, l.weight[c], l.bias[c]));
    }
    return y;
}

// x [rows][q, k, v]: a head's channels lie together, first the halves that cosine keeps, then those that sine brings.
inline Floats attention_of(const LayerSpec &l, const float *x, int64_t rows) {
    const int64_t width = l.cout, dim = width / l.heads, half = dim / 2;
    Floats turned(x, x + rows * 3 * width), y;
    for (int64_t t = 0; t < rows; ++t)
        for (int64_t pair = 0; pair < 2 * width / dim * half; ++pair) {  // q's heads, then k's
            float *const one = turned.data() + t * 3 * width + pair / half * dim + pair % half, *const two = one + half;
            const double angle = static_cast<float>(t) * l.frequencies[pair % half];
            const float cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle)), before = *one;
            *one = std::fma(before, cosine, -(*two * sine));
            *two = std::fma(*two, cosine, before * sine);
        }
    const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim)));
    for (int64_t t = 0; t < rows; ++t)
        for (int64_t h = 0; h < l.heads; ++h) {
            const int64_t from = std::max<int64_t>(0, t - l.window + 1);
            const float *const q = turned.data() + t * 3 * width + h * dim;
            const auto key = [&](int64_t at) { return turned.data() + at * 3 * width + width + h * dim; };
            Floats shares;
            for (int64_t at = from; at <= t; ++at) shares.push_back(chain(0.0f, q, key(at), 0, dim));
            const float most = *std::max_element(shares.begin(), shares.end());
            float sum = 0.0f;
            for (float &share : shares) {
                const Exponential part(0.0f - std::fmin(0.0f - (share - most) * scale, 87.0f));
                share = (part.q + 1.0f) * part.scale;
                sum = sum + share;
            }
            for (int64_t d = 0; d < dim; ++d) {
                float total = 0.0f;
                for (int64_t at = from; at <= t; ++at) total = std::fma(shares[static_cast<size_t>(at - from)], key(at)[width + d], total);
                y.push_back(total / sum);
            }
        }
    return y;
}

inline Floats depthwise_of(const LayerSpec &l, const float *x, int64_t rows) {
    Floats y;
    for (int64_t t = 0; t < rows; ++t)
        for (int64_t r = 0; r < l.stride; ++r)
            for (int64_t j = 0; j < l.cin; ++j) {
                const float before = t ? x[(t - 1) * l.cin + j] : 0.0f;
                const float *const w = l.weight + j * 2 * l.stride + r;
                y.push_back(std::fma(x[t * l.cin + j], w[0], std::fma(before, w[l.stride], l.bias[j])));
            }
    return y;
}

// A unit of one convolution of one tap: what was held, through the join's own convolution if it has one, joins the branch.
inline Floats unit_of(const LayerSpec &conv, const LayerSpec &join, const float *x, int64_t rows) {
    Floats y;
    for (int64_t t = 0; t < rows; ++t, x += conv.cin)
        for (int64_t j = 0; j < conv.cout; ++j) {
            const float branch = chain(conv.bias[j], x, conv.weight, j, conv.cin);
            const float held = join.weight ? chain(join.bias[j], x, join.weight, j, conv.cin) : x[j];
            y.push_back(join.scale ? std::fma(join.scale[j], branch, held) : branch + held);
        }
    return y;
}

}  // namespace checks

// What one layer gives, in plain loops: bias, then tap by tap and channel by channel one std::fma. It shares nothing with the
// library but the constants of the sine.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "api/api.hpp"

namespace checks {

using srvq::Activation;
using srvq::LayerKind;
using srvq::LayerSpec;
using srvq::Padding;
using Floats = std::vector<float>;

// One layer, and how much of it is computed.
struct Case {
    LayerKind kind;
    int64_t cin, cout, kernel, stride, dilation, rows, streams;
    Activation activation;
    bool halves;
    Padding pad = Padding::zero;
    int64_t missing = 0;  // rows of the last window that lie past the end
    int64_t turn = 0;     // whose it is, where not all runners compute it
};

inline float snake(float x, float alpha) {
    const double t = static_cast<double>(alpha) / 3.14159265358979323846;
    const float turn = static_cast<float>(t), low = static_cast<float>(t - turn);
    const float inverse = static_cast<float>(1.0 / (static_cast<double>(alpha) + 1e-9));
    const float phase = x * turn, rest = std::fma(x, low, std::fma(x, turn, -phase));
    float f = (phase - std::nearbyint(phase)) + rest;
    f = f - std::nearbyint(f);
    const float z = f * f;
    float p = 0x1.466de4p-4f;
    for (const float c : {-0x1.32e03cp-1f, 0x1.466ee4p+1f, -0x1.4abbeep+2f, 0x1.921fb6p+1f}) p = std::fma(p, z, c);
    const float sine = f * p;
    return std::fma(sine * inverse, sine, x);
}

// exp(y) − 1 = 2ⁿ · q + (2ⁿ − 1), for y ≤ 0.
struct Exponential {
    float q, scale;
    explicit Exponential(float y) {
        const float n = std::nearbyint(y * 0x1.715476p+0f);
        const float r = std::fma(n, -0x1.7f7d1cp-20f, std::fma(n, -0x1.62e400p-1f, y));
        float p = 0x1.6c8844p-10f;
        for (const float c : {0x1.120986p-7f, 0x1.555588p-5f, 0x1.5554e0p-3f, 0x1.0p-1f}) p = std::fma(p, r, c);
        q = std::fma(r * r, p, r);
        scale = std::ldexp(1.0f, static_cast<int>(n));
    }
};

inline float elu(float x) {
    if (x > 0.0f) return x;
    const Exponential e(0.0f - std::fmin(std::fabs(x), 18.0f));
    return std::fma(e.q, e.scale, e.scale - 1.0f);
}

inline float gelu(float x) {
    const float size = std::fmin(std::fabs(x), 13.0f), u = size * 0x1.6a09e6p-1f, z = u * u;
    float both;
    if (u < 0.9f) {
        float p = -0x1.5f46a4p-17f;
        for (const float c : {0x1.e26dc2p-14f, -0x1.be3d0ap-11f, 0x1.564474p-8f, -0x1.b82bb0p-6f, 0x1.ce2f1ap-4f,
                              -0x1.812746p-2f, 0x1.20dd76p+0f})
            p = std::fma(p, z, c);
        both = x < 0.0f ? 1.0f - u * p : 1.0f + u * p;
    } else {
        const float square = size * size, lost = std::fma(size, size, -square), t = 1.0f / std::fma(u, 0.5f, 1.0f);
        const Exponential e(square * -0.5f);
        float p = -0x1.568264p-4f;
        for (const float c : {0x1.8eef1cp-2f, -0x1.5c4ab4p-1f, 0x1.e902a8p-2f, -0x1.3af596p-3f, 0x1.04720cp-2f, 0x1.d69b0ap-3f,
                              0x1.234b3ep-2f, 0x1.20abeep-2f, 0x1.b1f71cp-18f})
            p = std::fma(p, t, c);
        const float tail = ((e.q + 1.0f) * e.scale) * std::fma(lost, -0.5f, 1.0f) * p;
        both = x < 0.0f ? tail : 2.0f - tail;
    }
    return x * 0.5f * both;
}

inline float activated(Activation activation, float x, float alpha) {
    switch (activation) {
        case Activation::none: return x;
        case Activation::snake: return snake(x, alpha);
        case Activation::elu: return elu(x);
        case Activation::gelu: return gelu(x);
    }
    std::abort();
}

// Which row a convolution reads where it asks for row t of `length`; −1: zeros.
inline int64_t row_read(Padding pad, int64_t t, int64_t length, int64_t history) {
    if (t >= 0 && t < length) return t;
    switch (pad) {
        case Padding::zero: return -1;
        case Padding::replicate: return t < 0 ? 0 : length - 1;
        case Padding::reflect: break;
    }
    if (t < 0) return -t < length ? -t : -1;
    return length > history ? 2 * length - 2 - t : -1;
}

// x [streams][rows in][cin] → [streams][rows out][cout].
inline Floats expected(const Case &c, const LayerSpec &l, const Floats &x) {
    const bool across = c.kind == LayerKind::transposed_conv;
    const int64_t taps = across ? 2 : c.kernel, stride = across ? 1 : c.stride, per_row = across ? c.stride : 1;
    const int64_t n = c.rows * stride, each = n * c.cin, length = n - c.missing;
    Floats activations = x, y;
    for (size_t i = 0; i < x.size(); ++i)
        activations[i] = activated(c.activation, x[i], l.alpha[static_cast<int64_t>(i) % c.cin]);
    for (int64_t b = 0; b < c.streams; ++b)
        for (int64_t row = 0; row < c.rows; ++row)
            for (int64_t phase = 0; phase < per_row; ++phase)
                for (int64_t out = 0; out < c.cout; ++out) {
                    float sum = l.bias[out];
                    for (int64_t tap = 0; tap < taps; ++tap)
                        for (int64_t in = 0; in < c.cin; ++in) {
                            const int64_t asked = row * stride + tap * c.dilation - l.history;
                            const int64_t t = row_read(c.pad, asked, length, l.history);
                            float v = 0.0f;
                            if (t >= 0) v = activations[static_cast<size_t>(b * each + t * c.cin + in)];
                            const float w = across ? l.weight[(in * c.cout + out) * c.kernel + phase + (tap ? 0 : c.stride)]
                                                   : l.weight[(out * c.cin + in) * c.kernel + tap];
                            sum = std::fma(v, w, sum);
                        }
                    y.push_back(sum);
                }
    return y;
}

}  // namespace checks

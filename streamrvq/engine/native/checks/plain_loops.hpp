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
using Floats = std::vector<float>;

// One layer, and how much of it is computed.
struct Case {
    LayerKind kind;
    int64_t cin, cout, kernel, stride, dilation, rows, streams;
    Activation activation;
    bool halves;
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

inline float activated(Activation activation, float x, float alpha) {
    switch (activation) {
        case Activation::none: return x;
        case Activation::snake: return snake(x, alpha);
    }
    std::abort();
}

// x [streams][rows in][cin] → [streams][rows out][cout], the past all zeros.
inline Floats expected(const Case &c, const LayerSpec &l, const Floats &x) {
    const bool across = c.kind == LayerKind::transposed_conv;
    const int64_t taps = across ? 2 : c.kernel, stride = across ? 1 : c.stride, per_row = across ? c.stride : 1;
    const int64_t n = c.rows * stride, each = n * c.cin;
    Floats v = x, y;
    for (size_t i = 0; i < v.size(); ++i) v[i] = activated(c.activation, x[i], l.alpha[static_cast<int64_t>(i) % c.cin]);
    for (int64_t b = 0; b < c.streams; ++b)
        for (int64_t row = 0; row < c.rows; ++row)
            for (int64_t phase = 0; phase < per_row; ++phase)
                for (int64_t out = 0; out < c.cout; ++out) {
                    float sum = l.bias[out];
                    for (int64_t tap = 0; tap < taps; ++tap)
                        for (int64_t in = 0; in < c.cin; ++in) {
                            const int64_t t = row * stride + tap * c.dilation - l.history;
                            const float given = t < 0 ? 0.0f : v[static_cast<size_t>(b * each + t * c.cin + in)];
                            const float w = across ? l.weight[(in * c.cout + out) * c.kernel + phase + (tap ? 0 : c.stride)]
                                                   : l.weight[(out * c.cin + in) * c.kernel + tap];
                            sum = std::fma(given, w, sum);
                        }
                    y.push_back(sum);
                }
    return y;
}

}  // namespace checks

// What is computed row by row, without a matrix: norms, attention, depthwise transposed convolutions. The results lie one row
// after the other, and are then passed on as a convolution's are.
#include <algorithm>
#include <cmath>
#include <utility>

#include "run/step.hpp"

namespace srvq {

namespace {

constexpr double kHalfPi = 1.57079632679489661923, kHalfPiRest = 6.123233995736766e-17;

struct Rotation {
    float cos, sin;
};

// Of an angle in float32: reduced by quarter turns in two parts, Taylor's polynomials in double precision to below 1e-17,
// rounded once.
Rotation rotation(float angle) {
    const double quarters = std::nearbyint(static_cast<double>(angle) / kHalfPi);
    const double r = std::fma(-quarters, kHalfPiRest, std::fma(-quarters, kHalfPi, static_cast<double>(angle))), z = r * r;
    double s = 0.0, c = 0.0;  // sin r / r − 1 and cos r − 1
    for (const double n : {17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0}) s = -z / (n * (n - 1.0)) * (1.0 + s);
    for (const double n : {18.0, 16.0, 14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0}) c = -z / (n * (n - 1.0)) * (1.0 + c);
    const float sine = static_cast<float>(std::fma(r, s, r)), cosine = static_cast<float>(1.0 + c);
    switch (static_cast<int64_t>(quarters) & 3) {
        case 0: return {cosine, sine};
        case 1: return {-sine, cosine};
        case 2: return {-cosine, -sine};
    }
    return {sine, -cosine};
}

}  // namespace

StreamRows Step::kept_rows(const Convolution &c) const {
    return {c.memory.size(), request_.hops * c.spec.rate_in * 2 * c.spec.cout};
}

int64_t Step::attention_phases() const { return 3; }

void Step::rows(const Stage &stage, int64_t part, int64_t task) {
    const Convolution &c = plan_.convs[stage.first];
    if (c.spec.kind == LayerKind::attention) {
        if (part == 0) return rotate(stage.first, task);
        if (part == 1) return attend(c, task);
    } else {
        c.spec.kind == LayerKind::norm ? norm(stage.first, task) : upsample(stage.first, task);
    }
    pass_on(stage.first, task);
}

void Step::norm(size_t i, int64_t b) const {
    const Convolution &c = plan_.convs[i];
    const StreamRows to = hidden_rows(c);
    kernels_.norm({input_of(i) + b * input_rows(i).stride(), request_.hops * c.spec.rate_in, c.spec.cin, c.weight.as(),
                   c.bias.as(), static_cast<float>(c.spec.epsilon), workspace_.hidden.as() + b * to.stride() + to.history});
}

// Each output is a chain of two products: of the input before, then of the input.
void Step::upsample(size_t i, int64_t b) const {
    const Convolution &c = plan_.convs[i];
    const int64_t channels = c.spec.cin, stride = c.spec.stride;
    const float *const x = input_of(i) + b * input_rows(i).stride() + channels, *const w = c.weight.as();
    const StreamRows to = hidden_rows(c);
    float *y = workspace_.hidden.as() + b * to.stride() + to.history;
    for (int64_t t = 0; t < request_.hops * c.spec.rate_in; ++t)
        for (int64_t r = 0; r < stride; ++r, y += channels)
            for (int64_t j = 0; j < channels; ++j) {
                const float *const tap = w + j * 2 * stride + r;
                const float before = x[(t - 1) * channels + j];
                y[j] = std::fma(x[t * channels + j], tap[0], std::fma(before, tap[stride], c.bias.as()[j]));
            }
}

// q and k turned by their position, their channels as [dim][heads]; k and v go behind those that are kept.
void Step::rotate(size_t i, int64_t b) const {
    const Convolution &c = plan_.convs[i];
    const int64_t width = c.spec.cout, heads = c.spec.heads, dim = width / heads, half = dim / 2;
    const int64_t rows = request_.hops * c.spec.rate_in, first = request_.clock[b] * c.spec.rate_in;
    const StreamRows kept = kept_rows(c);
    for (int64_t t = 0; t < rows; ++t) {
        const float *const q = input_of(i) + b * input_rows(i).stride() + t * 3 * width, *const k = q + width;
        float *const query = workspace_.queries.as() + (b * rows + t) * width;
        float *const key = workspace_.kept.as() + b * kept.stride() + kept.history + t * 2 * width;
        for (int64_t d = 0; d < half; ++d) {
            const Rotation by = rotation(static_cast<float>(first + t) * c.frequencies.as()[d]);
            for (int64_t h = 0; h < heads; ++h)
                for (const auto &[from, to] : {std::pair{q, query}, std::pair{k, key}}) {
                    const float one = from[h * dim + d], two = from[h * dim + half + d];
                    to[d * heads + h] = std::fma(one, by.cos, -(two * by.sin));
                    to[(d + half) * heads + h] = std::fma(two, by.cos, one * by.sin);
                }
        }
        std::copy(k + width, k + 2 * width, key + width);
    }
}

// One row of one stream. It sees `window` positions, its own included, and none before 0.
void Step::attend(const Convolution &c, int64_t task) const {
    const int64_t rows = request_.hops * c.spec.rate_in, b = task / rows, t = task % rows;
    const int64_t width = c.spec.cout, before = c.spec.window - 1, dim = width / c.spec.heads;
    const int64_t seen = std::max(t, before - request_.clock[b] * c.spec.rate_in);
    const StreamRows kept = kept_rows(c), to = hidden_rows(c);
    const float *const keys = workspace_.kept.as() + b * kept.stride() + seen * 2 * width;
    const int64_t scores = c.spec.heads * round_up(c.spec.window, kernels_.width);
    kernels_.attend({workspace_.queries.as() + (b * rows + t) * width, keys, keys + width, before + t - seen + 1, 2 * width,
                     c.spec.heads, dim, static_cast<float>(1.0 / std::sqrt(static_cast<double>(dim))),
                     workspace_.scores.as() + task * scores,
                     workspace_.hidden.as() + b * to.stride() + to.history + t * width});
}

}  // namespace srvq

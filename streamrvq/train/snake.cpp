// Snake, y = x + sin²(αx)/(α + 1e-9), and its derivatives, for activations stored time-major, [B, T, C], in float32 or
// bfloat16. The forward pass writes after `left` rows of zeros, the causal padding of the convolution that follows.
//
// Knows: one pass over memory instead of torch's eight. Does not know: torch (snake.py calls it through ctypes).
// Sums over time are taken in a fixed order that does not depend on the number of threads.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

struct BF16 {
    uint16_t bits;
};

inline float load(float v) { return v; }
inline float load(BF16 v) {
    uint32_t u = uint32_t(v.bits) << 16;
    float f;
    std::memcpy(&f, &u, 4);
    return f;
}
inline void store(float& to, float v) { to = v; }
inline void store(BF16& to, float v) {  // round to nearest even; activations are finite
    uint32_t u;
    std::memcpy(&u, &v, 4);
    to.bits = uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

// sin and cos of the remainder r = z − nπ in [−π/2, π/2]. Their signs are wrong for odd n, but only sin² and sin·cos are
// wanted, in which the sign cancels.
inline float remainder_pi(float z) {
    float n = std::nearbyint(z * 0.318309886183790671f);
    return std::fma(n, -6.2774177e-07f, std::fma(n, -3.14159202575683594f, z));
}
inline float sine(float r) {
    float q = r * r;
    float p = std::fma(q, 2.6000054e-6f, -1.9806614e-4f);
    p = std::fma(p, q, 8.3330255e-3f);
    p = std::fma(p, q, -1.6666657e-1f);
    return std::fma(r * q, p, r);
}
inline float cosine(float r) {
    float q = r * r;
    float p = std::fma(q, -2.6051615e-7f, 2.4760495e-5f);
    p = std::fma(p, q, -1.3888378e-3f);
    p = std::fma(p, q, 4.1666638e-2f);
    p = std::fma(p, q, -0.5f);
    return std::fma(q, p, 1.0f);
}

template <class V>
void forward(const V* x, const float* alpha, V* y, int64_t rows, int64_t time, int64_t channels, int64_t left) {
    std::vector<float> inverse(channels);
    for (int64_t c = 0; c < channels; ++c) inverse[c] = 1.0f / (alpha[c] + 1e-9f);
    const float* inv = inverse.data();
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < rows; ++b) {
        for (int64_t t = 0; t < time + left; ++t) {
            V* out = y + (b * (time + left) + t) * channels;
            if (t < left) {
                std::memset(static_cast<void*>(out), 0, sizeof(V) * channels);
                continue;
            }
            const V* in = x + (b * time + t - left) * channels;
#pragma omp simd
            for (int64_t c = 0; c < channels; ++c) {
                float v = load(in[c]);
                float s = sine(remainder_pi(v * alpha[c]));
                store(out[c], std::fma(s * s, inv[c], v));
            }
        }
    }
}

// Time is cut into at most 64 pieces a row, whose sums for α are added in order.
template <class V>
void backward(const V* x, const float* alpha, const V* gy, V* gx, float* galpha, int64_t rows, int64_t time,
              int64_t channels, int64_t left) {
    std::vector<float> inverse(channels);
    for (int64_t c = 0; c < channels; ++c) inverse[c] = 1.0f / (alpha[c] + 1e-9f);
    const float* inv = inverse.data();
    const int64_t piece = (time + 63) / 64, pieces = (time + piece - 1) / piece;
    std::vector<float> partial(rows * pieces * channels, 0.0f);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < rows; ++b) {
        for (int64_t p = 0; p < pieces; ++p) {
            float* sum = partial.data() + (b * pieces + p) * channels;
            const int64_t end = (p + 1) * piece < time ? (p + 1) * piece : time;
            for (int64_t t = p * piece; t < end; ++t) {
                const V* in = x + (b * time + t) * channels;
                const V* g = gy + (b * (time + left) + left + t) * channels;
                V* out = gx + (b * time + t) * channels;
#pragma omp simd
                for (int64_t c = 0; c < channels; ++c) {
                    float v = load(in[c]), go = load(g[c]);
                    float r = remainder_pi(v * alpha[c]);
                    float s = sine(r), sc2 = 2.0f * s * cosine(r);
                    store(out[c], go * std::fma(sc2 * alpha[c], inv[c], 1.0f));
                    sum[c] += go * (v * sc2 - s * s * inv[c]) * inv[c];
                }
            }
        }
    }
    for (int64_t c = 0; c < channels; ++c) galpha[c] = 0.0f;
    for (int64_t p = 0; p < rows * pieces; ++p)
        for (int64_t c = 0; c < channels; ++c) galpha[c] += partial[p * channels + c];
}

}  // namespace

extern "C" {
void snake_forward_f32(const float* x, const float* a, float* y, int64_t b, int64_t t, int64_t c, int64_t left) {
    forward(x, a, y, b, t, c, left);
}
void snake_forward_bf16(const BF16* x, const float* a, BF16* y, int64_t b, int64_t t, int64_t c, int64_t left) {
    forward(x, a, y, b, t, c, left);
}
void snake_backward_f32(const float* x, const float* a, const float* gy, float* gx, float* ga, int64_t b, int64_t t,
                        int64_t c, int64_t left) {
    backward(x, a, gy, gx, ga, b, t, c, left);
}
void snake_backward_bf16(const BF16* x, const float* a, const BF16* gy, BF16* gx, float* ga, int64_t b, int64_t t,
                         int64_t c, int64_t left) {
    backward(x, a, gy, gx, ga, b, t, c, left);
}
}

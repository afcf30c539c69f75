// Sums of a resampler: each output is the products of a window of samples with a row of coefficients. Included by
// kernels.inl.hpp.
//
// A sample has 24 bits and a coefficient at most 29, so that every product is exact in double precision, with or without a
// fused multiply-add. Eight sums, one for each remainder of the tap's number, take the products in order. They are joined in
// the order written below. So the bits are the same for every width of vector, and numpy can make them too.
//
// Outputs a period apart have the same row. As many as there are, up to kTogether, are computed together: a row is then
// loaded once for all of them, and no sum waits for the one before it.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

constexpr int kTogether = 4;

// The eight sums of an output, in vectors as wide as those of floats.
typedef double Doubles __attribute__((vector_size(V::kWidth * sizeof(float))));
constexpr int kDoubles = V::kWidth / 2, kParts = 8 / kDoubles;
static_assert(kDoubles * kParts == 8);

struct Sums {
    Doubles part[kParts];
    double operator[](int i) const { return part[i / kDoubles][i % kDoubles]; }
};

// N outputs of one row, whose windows begin `apart` samples after each other.
template <int N>
inline void sums_of_row(const double *x, int64_t apart, const double *row, int64_t taps, Sums *all) {
    Sums sums[N] = {};
    for (int64_t tap = 0; tap < taps; tap += 8)
#pragma GCC unroll 4
        for (int p = 0; p < kParts; ++p) {
            Doubles coefficients;
            __builtin_memcpy(&coefficients, row + tap + p * kDoubles, sizeof coefficients);
#pragma GCC unroll 4
            for (int i = 0; i < N; ++i) {
                Doubles samples;
                __builtin_memcpy(&samples, x + i * apart + tap + p * kDoubles, sizeof samples);
                sums[i].part[p] += samples * coefficients;
            }
        }
    for (int i = 0; i < N; ++i) all[i] = sums[i];
}

inline float joined(const Sums &s, double most) {
    const double sum = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
    const double least = sum < -most ? -most : sum;
    return static_cast<float>(least > most ? most : least);
}

void resample(const Resampling &r) {
    const int64_t rows = r.outputs < r.period ? r.outputs : r.period;
    const double *x = r.x;
    int64_t row = r.row, phase = r.phase;
    // Outputs i, i + period, i + 2 · period … lie `down` samples apart for each `up` of them.
    const int64_t apart = r.period / r.up * r.down;
    for (int64_t i = 0; i < rows; ++i) {
        const double *const h = r.rows + row * r.taps, *window = x;
        for (int64_t m = i; m < r.outputs;) {
            Sums sums[kTogether];
            const int64_t left = (r.outputs - m + r.period - 1) / r.period;
            const int n = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            if (n == 4)
                sums_of_row<4>(window, apart, h, r.taps, sums);
            else if (n == 2)
                sums_of_row<2>(window, apart, h, r.taps, sums);
            else
                sums_of_row<1>(window, apart, h, r.taps, sums);
            for (int k = 0; k < n; ++k) r.out[m + k * r.period] = joined(sums[k], r.most);
            m += n * r.period;
            window += n * apart;
        }
        if (++row == r.period) row = 0;
        phase += r.down;
        x += phase / r.up;
        phase %= r.up;
    }
}

}  // namespace
}  // namespace srvq

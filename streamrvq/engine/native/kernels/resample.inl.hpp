// Sums of a resampler: each output is the products of a window of samples with a row of coefficients. Included by
// kernels.inl.hpp.
//
// A sample has 24 bits and a coefficient at most 29, so that every product is exact in double precision, with or without a
// fused multiply-add. Eight sums, one for each remainder of the tap's number, take the products in order. They are joined in
// the order written below. So the bits are the same for every width of vector, and numpy can make them too.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

void resample(const Resampling &r) {
    typedef double Sums __attribute__((vector_size(8 * sizeof(double))));
    const double *x = r.x;
    int64_t row = r.row, phase = r.phase;
    for (int64_t i = 0; i < r.outputs; ++i) {
        const double *const h = r.rows + row * r.taps;
        Sums sums = {};
        for (int64_t tap = 0; tap < r.taps; tap += 8) {
            Sums samples, coefficients;
            __builtin_memcpy(&samples, x + tap, sizeof samples);
            __builtin_memcpy(&coefficients, h + tap, sizeof coefficients);
            sums += samples * coefficients;
        }
        const double sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
        const double least = sum < -r.most ? -r.most : sum;
        r.out[i] = static_cast<float>(least > r.most ? r.most : least);
        if (++row == r.period) row = 0;
        phase += r.down;
        x += phase / r.up;
        phase %= r.up;
    }
}

}  // namespace
}  // namespace srvq

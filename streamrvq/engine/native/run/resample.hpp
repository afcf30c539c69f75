// A resampler: coefficients of a filter that is given as pieces of cubics, and outputs of a signal.
//
// Knows: the arithmetic of one signal, which is the same in streamrvq/resampling. Does not know: rates in Hz, streams.
#pragma once
#include <cstdint>

#include "kernels/kernels.hpp"

namespace srvq {

// The filter is centred on an output. Its unit is a sample at the lower of the two rates. It reaches `reach` units to either
// side; each unit has pieces_per_unit pieces, and each piece the coefficients of a cubic, [2 · reach · pieces_per_unit][4].
struct ResamplerSpec {
    const double *rows;    // of every phase, in the order of the outputs; or null: they are computed as they are needed
    const double *pieces;
    int64_t period, up, down, half, taps, reach, pieces_per_unit;
    double gain;  // of the filter: it makes a sum of `down / up` times as many samples one of as many
    double grid;  // a number that is added and taken away again, to round a coefficient
    double most;  // outputs are held to [−most, most]
};

// The coefficients [count][taps] of the outputs from phase `phase` on.
void resampler_rows(const ResamplerSpec &, int64_t phase, int64_t count, double *rows);

// Where the samples lie: history [2 · half], then block [count], then zeros.
struct Samples {
    const float *history, *block;
    int64_t held, count;
};

void resample(const Kernels &, const ResamplerSpec &, const Samples &, int64_t at, int64_t phase, int64_t row,
              int64_t outputs, float *out);

}  // namespace srvq

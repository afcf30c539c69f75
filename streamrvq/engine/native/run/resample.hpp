// A resampler: coefficients of a filter that is given as pieces of cubics, and outputs of a signal.
//
// Knows: the arithmetic of one signal, which is the same in streamrvq/resampling. Does not know: rates in Hz, streams.
#pragma once
#include <cstdint>

#include "kernels/kernels.hpp"

namespace srvq {

// The filter is centred on an output. Its unit is a sample at the lower of the two rates. It reaches `reach` units to either
// side; each unit has pieces_per_unit pieces, and each piece the coefficients of a cubic, [2 · reach · pieces_per_unit][4].
//
// Row m holds the coefficients of output m, as multiples of `unit`. `period` is a multiple of up: from there on rows repeat.
struct ResamplerSpec {
    const Kernels *kernels;  // srvq_resampler_prepare sets it
    int32_t *rows;           // as in Resampling: pad + period · (pad + taps) numbers. Null: computed as they are needed
    const double *pieces;
    int64_t period, held;  // srvq_resampler_prepare sets `held`: pad + held · (pad + taps) numbers are read after it
    int64_t up, down, half, taps, pad, reach, pieces_per_unit;
    int64_t inverse;  // inverse · down = 1 mod up, by which a phase has a row
    double gain;      // of the filter: it makes a sum of `down / up` times as many samples one of as many
    double unit;      // a power of two. A coefficient is a multiple of it, of at most 29 bits
    double most;      // outputs are held to [−most, most]
};

// The rows of the `count` outputs from phase `phase` on.
void resampler_rows(const ResamplerSpec &, int64_t phase, int64_t count, int32_t *rows);

// How many of the spec's rows suffice. A symmetric filter's row period − m is row m backwards, but for roundings: half of
// them do if that is so of every number.
int64_t rows_that_suffice(const ResamplerSpec &);

// Where the samples lie: history [2 · half], then block [count], then zeros.
struct Samples {
    const float *history, *block;
    int64_t held, count;
};

// `outputs` outputs. A sample has `up` parts, and the first output lies `offset` of them after the first sample of the
// history's second half.
void resample(const ResamplerSpec &, const Samples &, int64_t offset, int64_t outputs, float *out);

}  // namespace srvq

#include "run/resample.hpp"

#include <algorithm>
#include <memory>

namespace srvq {

namespace {

// Inputs between the windows of the first and the last output of a group: 64 KiB of doubles.
constexpr int64_t kGroupInputs = 2048;
// Outputs of a group whose coefficients are computed for it.
constexpr int64_t kGroupRows = 32;

// Samples [begin, begin + count) in double precision.
void widen(const Samples &s, int64_t begin, int64_t count, double *x) {
    const int64_t end = begin + count, history = std::min(end, s.held), block = std::min(end, s.held + s.count);
    int64_t at = begin;
    for (; at < history; ++at) *x++ = static_cast<double>(s.history[at]);
    for (; at < block; ++at) *x++ = static_cast<double>(s.block[at - s.held]);
    for (; at < end; ++at) *x++ = 0.0;
}

}  // namespace

void resampler_rows(const ResamplerSpec &r, int64_t phase, int64_t count, double *rows) {
    // Tap j of an output lies d = (j + 1 − half) · up − phase parts after it, where a unit has q parts. Past the filter's
    // left end that is d + reach · q parts, which is `piece` pieces and `rest` of q.
    const int64_t q = std::max(r.up, r.down), pieces = 2 * r.reach * r.pieces_per_unit;
    const int64_t step = r.up * r.pieces_per_unit, step_pieces = step / q, step_rest = step % q;
    const double width = static_cast<double>(q);
    for (int64_t i = 0; i < count; ++i, rows += r.taps) {
        const int64_t first = ((1 - r.half) * r.up - phase + r.reach * q) * r.pieces_per_unit;
        int64_t piece = first / q, rest = first % q;
        if (rest < 0) rest += q, --piece;
        for (int64_t j = 0; j < r.taps; ++j) {
            double value = 0.0;
            if (j < 2 * r.half && piece >= 0 && piece < pieces) {
                const double *const c = r.pieces + 4 * piece;
                const double t = static_cast<double>(rest) / width;
                value = (((c[3] * t + c[2]) * t + c[1]) * t + c[0]) * r.gain;
                value = (value + r.grid) - r.grid;
            }
            rows[j] = value;
            piece += step_pieces;
            rest += step_rest;
            if (rest >= q) rest -= q, ++piece;
        }
        phase = (phase + r.down) % r.up;
    }
}

void resample(const Kernels &kernels, const ResamplerSpec &r, const Samples &samples, int64_t at, int64_t phase, int64_t row,
              int64_t outputs, float *out) {
    // The windows of n outputs reach (phase + (n − 1) · down) / up inputs beyond the first.
    const int64_t most = r.rows ? std::max<int64_t>(1, kGroupInputs / r.down * r.up + kGroupInputs % r.down * r.up / r.down)
                                : kGroupRows;
    const int64_t group = std::min(outputs, most);
    const auto span = [&](int64_t n, int64_t from) { return (from + (n - 1) * r.down) / r.up + r.taps; };
    const std::unique_ptr<double[]> x(new double[static_cast<size_t>(span(group, r.up - 1))]);
    const std::unique_ptr<double[]> rows(r.rows ? nullptr : new double[static_cast<size_t>(group * r.taps)]);
    while (outputs > 0) {
        const int64_t n = std::min(outputs, group);
        widen(samples, at, span(n, phase), x.get());
        if (rows) resampler_rows(r, phase, n, rows.get());
        kernels.resample({x.get(), rows ? rows.get() : r.rows, rows ? 0 : row, rows ? n : r.period, r.taps, r.up, r.down,
                          phase, r.most, n, out});
        if (!rows) row = (row + n) % r.period;
        const int64_t moved = phase + n * r.down;
        at += moved / r.up;
        phase = moved % r.up;
        out += n;
        outputs -= n;
    }
}

}  // namespace srvq

#include "run/resample.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <memory>

namespace srvq {

namespace {

// Inputs between the windows of the first and the last output of a group: 16 KiB of doubles.
constexpr int64_t kGroupInputs = 2048;
// Outputs of a group whose coefficients are computed for it.
constexpr int64_t kGroupRows = 32;

// Samples [begin, begin + count) in double precision.
void widen(const Kernels &kernels, const Samples &s, int64_t begin, int64_t count, double *x) {
    const int64_t end = begin + count;
    const auto take = [&](const float *from, int64_t first, int64_t stop) {  // those that lie at [first, stop)
        const int64_t n = std::min(end, stop) - begin;
        if (n <= 0) return;
        kernels.widen(from + (begin - first), n, x);
        x += n;
        begin += n;
    };
    take(s.history, 0, s.held);
    take(s.block, s.held, s.held + s.count);
    std::fill_n(x, end - begin, 0.0);
}

// Outputs of a group: those of kGroupInputs inputs. Of each row as many as are computed together, if that is possible.
int64_t group_of(const ResamplerSpec &r) {
    const int64_t most = kGroupInputs / r.down * r.up + kGroupInputs % r.down * r.up / r.down, tiles = 4 * r.period;
    return std::max<int64_t>(1, most >= tiles ? most / tiles * tiles : most);
}

}  // namespace

void resampler_rows(const ResamplerSpec &r, int64_t phase, int64_t count, int32_t *rows) {
    // Tap j of an output lies d = (j + 1 − half) · up − phase parts after it, where a unit has q parts. Past the filter's
    // left end that is d + reach · q parts, which is `piece` pieces and `rest` of q.
    const int64_t q = std::max(r.up, r.down), pieces = 2 * r.reach * r.pieces_per_unit;
    const int64_t step = r.up * r.pieces_per_unit, step_pieces = step / q, step_rest = step % q;
    // A number of less than 51 bits loses its fraction when this is added: it is rounded as the processor rounds.
    constexpr double whole = 0x1.8p52;
    const double width = static_cast<double>(q), units = 1.0 / r.unit;
    std::memset(rows, 0, static_cast<size_t>(r.pad + count * (r.taps + r.pad)) * sizeof *rows);
    for (int64_t i = 0; i < count; ++i, rows += r.taps + r.pad) {
        const int64_t first = ((1 - r.half) * r.up - phase + r.reach * q) * r.pieces_per_unit;
        int64_t piece = first / q, rest = first % q;
        if (rest < 0) rest += q, --piece;
        for (int64_t j = 0; j < 2 * r.half; ++j) {
            if (piece >= 0 && piece < pieces) {
                const double *const c = r.pieces + 4 * piece;
                const double t = static_cast<double>(rest) / width;
                const double value = (((c[3] * t + c[2]) * t + c[1]) * t + c[0]) * r.gain;
                rows[r.pad + j] = static_cast<int32_t>((value * units + whole) - whole);
            }
            piece += step_pieces;
            rest += step_rest;
            if (rest >= q) rest -= q, ++piece;
        }
        phase = (phase + r.down) % r.up;
    }
}

int64_t rows_that_suffice(const ResamplerSpec &r) {
    // Output m of a period lies m · down mod up parts after an input, and output period − m as many before one.
    const int64_t held = r.period / 2 + 1, pitch = r.pad + r.taps, length = 2 * r.half;
    for (int64_t m = held; m < r.period; ++m) {
        const int32_t *const row = r.rows + m * pitch + r.pad, *const other = r.rows + (r.period - m) * pitch + r.pad;
        if (!std::equal(row, row + length, std::make_reverse_iterator(other + length))) return r.period;
    }
    return held;
}

void resample(const ResamplerSpec &r, const Samples &samples, int64_t offset, int64_t outputs, float *out) {
    const int64_t group = std::min(outputs, r.rows ? group_of(r) : kGroupRows);
    // The windows of n outputs reach (phase + (n − 1) · down) / up inputs beyond the first, and may be read with some more.
    const auto span = [&](int64_t n, int64_t phase) { return (phase + (n - 1) * r.down) / r.up + r.taps + r.pad; };
    const int64_t most = span(group, r.up - 1);
    const std::unique_ptr<double[]> x(new double[static_cast<size_t>(2 * most)]);
    const size_t size = r.rows ? 0 : static_cast<size_t>(r.pad + group * (r.pad + r.taps));
    const std::unique_ptr<int32_t[]> rows(size ? new int32_t[size] : nullptr);
    // The first output's window begins half − 1 inputs before the one that it follows.
    int64_t at = 1 + offset / r.up, phase = offset % r.up, row = phase * r.inverse % r.up;
    while (outputs > 0) {
        const int64_t n = std::min(outputs, group);
        const int64_t inputs = span(n, phase);
        widen(*r.kernels, samples, at, inputs, x.get());
        if (rows) resampler_rows(r, phase, n, rows.get());
        r.kernels->resample({x.get(), x.get() + most, inputs, rows ? rows.get() : r.rows, rows ? 0 : row, rows ? n : r.period,
                             rows ? n : r.held, 2 * r.half, r.taps, r.pad, r.up, r.down, phase,
                             r.period / r.up * r.down, r.unit, r.most, n, out});
        if (!rows) row = (row + n) % r.period;
        const int64_t moved = phase + n * r.down;
        at += moved / r.up;
        phase = moved % r.up;
        out += n;
        outputs -= n;
    }
}

}  // namespace srvq

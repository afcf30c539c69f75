// A convolution to one column, such as a decoder's last: rows take the place of columns in a vector. Included by
// conv.inl.hpp.
//
// A tile would fill one element of its vectors. Here a stretch of the input is laid out by channels, and a window's number is
// multiplied in eight vectors of rows at once. Each output is still the same chain, so no bit depends on which way is taken.
//
// Knows: windows that overlap, and the ends of a signal. Does not know: activations, which are constants by columns.
#pragma once
#include "kernels/partial.inl.hpp"

namespace srvq {
namespace {

inline float first_weight(const float *w) { return *w; }
inline float first_weight(const uint16_t *w) {
    alignas(64) float whole[V::kWidth];
    V::store(whole, V::load_half(w));
    return whole[0];
}

// Vectors of rows: enough chains to begin a multiply-add in every cycle.
constexpr int kRowVectors = 8;

// Numbers of the input that are laid out at a time, at most. They stay in a core's own cache.
constexpr int64_t kPanel = int64_t{1} << 14;

// Rows that a stretch of the input has beyond those of its outputs, because windows overlap.
inline int64_t overlap(const Conv &c) { return ((c.taps - 1) * c.tap_step + c.depth - 1) / c.row_step; }

// From one channel's rows in the panel to the next one's: so that a vector can be loaded wherever a window's rows begin.
inline int64_t apart(const Conv &c, int64_t rows) {
    return (rows + V::kWidth - 1) / V::kWidth * V::kWidth + overlap(c);
}

// Rows of outputs that the panel has room for; 0 where this way is of no use.
inline int64_t rows_at_once(const Conv &c) {
    if (c.columns != 1 || c.rows < V::kWidth || c.out.active || !c.out.plain || c.join || c.start) return 0;
    const int64_t most = (kPanel / c.row_step - overlap(c)) / V::kWidth * V::kWidth;
    return most < V::kWidth ? 0 : most < kRowVectors * V::kWidth ? most : kRowVectors * V::kWidth;
}

// The input [rows + overlap][channels] as [channel][row]. Rows after them are zeros.
inline void lay_out(const Conv &c, const float *from, int64_t rows, float *panel) {
    const int64_t channels = c.row_step, step = apart(c, rows);
    const int64_t numbers = (rows - 1) * channels + (c.taps - 1) * c.tap_step + c.depth;  // the last row may have fewer
    int64_t row = 0;
    for (; (row + V::kWidth) * channels <= numbers; row += V::kWidth)
        for (int64_t i = 0; i < channels; ++i)
#pragma GCC unroll 16
            for (int64_t r = 0; r < V::kWidth; ++r) panel[i * step + row + r] = from[(row + r) * channels + i];
    for (; row < step; ++row)
        for (int64_t i = 0; i < channels; ++i)
            panel[i * step + row] = row * channels + i < numbers ? from[row * channels + i] : 0.0f;
}

// N vectors of outputs, the first of them of the panel's first row.
template <int N, class T>
void sum_rows(const Conv &c, const T *w, const float *panel, int64_t step, float *results) {
    V::Floats y[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) y[n] = V::broadcast(*c.bias);
    for (int64_t tap = 0; tap < c.taps; ++tap) {
        int64_t row = tap * c.tap_step / c.row_step, channel = tap * c.tap_step % c.row_step;
        for (int64_t left = c.depth; left; ++row, channel = 0) {
            const int64_t count = left < c.row_step - channel ? left : c.row_step - channel;
            const float *x = panel + channel * step + row;
            for (int64_t i = 0; i < count; ++i, x += step, w += V::kWidth) {
                const V::Floats weight = V::broadcast(first_weight(w));
#pragma GCC unroll 8
                for (int n = 0; n < N; ++n) V::accumulate(y[n], V::load(x + n * V::kWidth), weight);
            }
            left -= count;
        }
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) V::store(results + n * V::kWidth, y[n]);
}

// The results of rows [t, t + count) of stream s to where they go.
inline void put_rows(const Conv &c, int64_t s, int64_t t, int64_t count, const float *results) {
    const int64_t low = c.edges.low ? c.edges.low[s] : 0, high = c.edges.low ? c.edges.high[s] : INT64_MAX;
    float *const plain = c.out.plain + s * c.out.plain_stride;
    for (int64_t end = t + count; t < end; t += V::kWidth, results += V::kWidth)
        store_some(plain + t, masked(V::load(results), t, low, high), end - t);
}

// Rows [row, end) of all streams' rows laid end to end, `most` of one stream at a time.
template <class T>
__attribute__((noinline)) void one_column(const Conv &c, const T *w, int64_t row, int64_t end, int64_t most) {
    alignas(64) float panel[kPanel], results[kRowVectors * V::kWidth];
    for (int64_t count; row < end; row += count) {
        const int64_t s = row / c.rows, t = row % c.rows, here = c.rows - t < end - row ? c.rows - t : end - row;
        count = here < most ? here : most;
        lay_out(c, c.in + s * c.in_stride + t * c.row_step, count, panel);
        const int64_t step = apart(c, count), vectors = (count + V::kWidth - 1) / V::kWidth;
        if (vectors == kRowVectors) {
            sum_rows<kRowVectors>(c, w, panel, step, results);
        } else {
            for (int64_t n = 0; n < vectors; ++n) sum_rows<1>(c, w, panel + n * V::kWidth, step, results + n * V::kWidth);
        }
        put_rows(c, s, t, count, results);
    }
}

}  // namespace
}  // namespace srvq

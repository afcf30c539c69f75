// The epilogue of a tile: results are masked, joined with a residual, activated, and stored. Included by conv.inl.hpp.
//
// Knows: the rows and columns of a tile, and where they lie in their streams. Does not know: how they were computed.
#pragma once
#include "kernels/activations.inl.hpp"

namespace srvq {
namespace {

// Where the rows of one stream that a tile holds come from and go to: pointers to the first of them, or null.
struct TileRows {
    const float *join;
    float *plain, *active;
};

// In an activation's place, where there is no `active` destination.
template <int N>
struct NotWritten {
    NotWritten(const ActivationView &, int64_t) {}
};

// The common case: rows of one stream, whole vectors, all inside the signal. No vector is asked how much of it counts, and a
// column's constants are loaded once. What there is to do is known at compile time: asked in the loop, it costs 3 to 5 % of
// a small codec's step.
// JOIN: 1: the residual is added; 2: the results are scaled first, both rounded once.
template <int NR, int JOIN, bool PLAIN, template <int> class ACTIVATION>
void epilogue_whole(const Conv &c, const float *results, int64_t rows, int64_t column, const TileRows &to) {
    constexpr bool kActive = requires(ACTIVATION<NR> f, V::Floats x) { f(x, 0); };
    const ACTIVATION<NR> activation(c.out.activation, column);
    int64_t at = column;
    for (int64_t r = 0; r < rows; ++r, at += c.columns)
#pragma GCC unroll 4
        for (int n = 0; n < NR; ++n, results += V::kWidth) {
            V::Floats v = V::load(results);
            if constexpr (JOIN == 1) v = V::add(v, V::load(to.join + at + n * V::kWidth));
            if constexpr (JOIN == 2)
                v = V::fma(V::load(c.scale + column + n * V::kWidth), v, V::load(to.join + at + n * V::kWidth));
            if constexpr (PLAIN) V::store(to.plain + at + n * V::kWidth, v);
            if constexpr (kActive) V::store(to.active + at + n * V::kWidth, activation(v, n));
        }
}

// [0: no active destination, 1 + activation][join + 3 · plain]
#define SRVQ_EPILOGUES(name, type)                                                                                  \
    {epilogue_whole<NR, 0, false, type>, epilogue_whole<NR, 1, false, type>, epilogue_whole<NR, 2, false, type>,    \
     epilogue_whole<NR, 0, true, type>,  epilogue_whole<NR, 1, true, type>,  epilogue_whole<NR, 2, true, type>},
template <int NR>
constexpr void (*kEpilogueWhole[][6])(const Conv &, const float *, int64_t, int64_t, const TileRows &) = {
    SRVQ_EPILOGUES(nothing, NotWritten) SRVQ_ACTIVATIONS(SRVQ_EPILOGUES)};
#undef SRVQ_EPILOGUES

// One vector of `count` values or more to its destinations. `at` is its place in the stream's output, `column` in the row.
inline void store_result(V::Floats y, const ActivationView &activation, float *plain, float *active, int64_t at,
                         int64_t column, int64_t count) {
    if (plain) store_some(plain + at, y, count);
    if (active) store_some(active + at, activated(y, activation, column), count);
}

// The general case: any edge, any number of columns. [low, high) are the elements inside, counted from the first row on.
template <int NR>
inline void epilogue_partial(const Conv &c, const float *results, int64_t rows, int64_t column, const TileRows &to,
                             int64_t low, int64_t high) {
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t n = 0; n < NR; ++n, results += V::kWidth) {
            const int64_t here = column + n * V::kWidth, at = r * c.columns + here, count = c.columns - here;
            if (count <= 0) continue;
            V::Floats v = masked(V::load(results), at, low, high);
            if (to.join && c.scale) {
                v = V::fma(V::load(c.scale + here), v, load_some(to.join + at, count));
            } else if (to.join) {
                v = V::add(v, load_some(to.join + at, count));
            }
            store_result(v, c.out.activation, to.plain, to.active, at, here, count);
        }
}

// The results [rows][NR · width] of the rows from `row` on, rows of all streams laid end to end.
template <int NR>
__attribute__((noinline)) void epilogue(const Conv &c, const float *results, int64_t rows, int64_t row, int64_t column) {
    int64_t s = row < c.rows ? 0 : row / c.rows, t = row - s * c.rows;
    for (int64_t count; rows; rows -= count, results += count * NR * V::kWidth, ++s, t = 0) {
        count = rows < c.rows - t ? rows : c.rows - t;
        const int64_t begin = t * c.columns, end = count * c.columns;
        const int64_t low = c.edges.low ? c.edges.low[s] - begin : 0;
        const int64_t high = c.edges.low ? c.edges.high[s] - begin : INT64_MAX;
        const TileRows to{c.join ? c.join + s * c.join_stride + begin : nullptr,
                          c.out.plain ? c.out.plain + s * c.out.plain_stride + begin : nullptr,
                          c.out.active ? c.out.active + s * c.out.active_stride + begin : nullptr};
        const bool inside = low <= 0 && high >= end, whole = column + NR * V::kWidth <= c.columns;
        if (inside && whole) {
            const int64_t which = to.active ? 1 + static_cast<int64_t>(c.out.activation.kind) : 0;
            kEpilogueWhole<NR>[which][(to.join ? c.scale ? 2 : 1 : 0) + (to.plain ? 3 : 0)](c, results, count, column, to);
        } else {
            epilogue_partial<NR>(c, results, count, column, to, low, high);
        }
    }
}

}  // namespace
}  // namespace srvq

// How a tile's results leave it: masked, joined, through the next Snake, to their sinks. Included by conv.inl.hpp.
//
// Knows: the rows and columns of a tile, where they lie in their streams. Does not know: how they were computed.
#pragma once
#include "kernels/functions.inl.hpp"

namespace srvq {
namespace {

// Where the rows of one stream that a tile holds go to, or come from: pointers to the first of them, or null.
struct Rows {
    const float *join;
    float *plain, *active;
};

// Rows of one stream, whole vectors, all inside the signal, their Snake known: the common case, in which no vector is asked
// how much of it counts. The rows are independent of each other, and a column's constants are loaded once. What there is to
// do is known when this is compiled: asked in the loop, it costs 3 to 5 % of a small codec's step.
template <int NR, bool JOIN, bool PLAIN, bool ACTIVE>
void leave_whole(const Conv &c, const float *results, int64_t rows, int64_t column, const Rows &to) {
    const Snake &snakes = c.out.snake;
    V::F turn[NR]{}, low[NR]{}, inverse[NR]{};
    for (int n = 0; ACTIVE && n < NR; ++n) {
        turn[n] = V::load(snakes.turn + column + n * V::W);
        low[n] = V::load(snakes.turn_low + column + n * V::W);
        inverse[n] = V::load(snakes.inverse + column + n * V::W);
    }
    int64_t at = column;
    for (int64_t r = 0; r < rows; ++r, at += c.columns)
#pragma GCC unroll 4
        for (int n = 0; n < NR; ++n, results += V::W) {
            V::F v = V::load(results);
            if constexpr (JOIN) v = V::add(v, V::load(to.join + at + n * V::W));
            if constexpr (PLAIN) V::store(to.plain + at + n * V::W, v);
            if constexpr (ACTIVE) V::store(to.active + at + n * V::W, snake(v, turn[n], low[n], inverse[n]));
        }
}

// By join, plain, active: a bit each.
template <int NR>
constexpr void (*kLeaveWhole[])(const Conv &, const float *, int64_t, int64_t, const Rows &) = {
    leave_whole<NR, false, false, false>, leave_whole<NR, true, false, false>, leave_whole<NR, false, true, false>,
    leave_whole<NR, true, true, false>,   leave_whole<NR, false, false, true>, leave_whole<NR, true, false, true>,
    leave_whole<NR, false, true, true>,   leave_whole<NR, true, true, true>};

// The general case: any edge, any number of columns. [low, high) are the elements inside, counted from the first row on.
template <int NR>
inline void leave_some(const Conv &c, const float *results, int64_t rows, int64_t column, const Rows &to, int64_t low,
                       int64_t high) {
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t n = 0; n < NR; ++n, results += V::W) {
            const int64_t here = column + n * V::W, at = r * c.columns + here, count = c.columns - here;
            if (count <= 0) continue;
            V::F v = masked(V::load(results), at, low, high);
            if (to.join) v = V::add(v, load_some(to.join + at, count));
            emit(v, c.out, to.plain, to.active, at, here, count);
        }
}

// The results [rows][NR · W] of the rows from `row` on, rows of all streams laid end to end.
template <int NR>
__attribute__((noinline)) void leave(const Conv &c, const float *results, int64_t rows, int64_t row, int64_t column) {
    int64_t s = row < c.rows ? 0 : row / c.rows, t = row - s * c.rows;
    for (int64_t count; rows; rows -= count, results += count * NR * V::W, ++s, t = 0) {
        count = rows < c.rows - t ? rows : c.rows - t;
        const int64_t begin = t * c.columns, end = count * c.columns;
        const int64_t low = c.edges.low ? c.edges.low[s] - begin : 0;
        const int64_t high = c.edges.low ? c.edges.high[s] - begin : INT64_MAX;
        const Rows to{c.join ? c.join + s * c.join_stride + begin : nullptr,
                      c.out.plain ? c.out.plain + s * c.out.plain_stride + begin : nullptr,
                      c.out.active ? c.out.active + s * c.out.active_stride + begin : nullptr};
        const bool inside = low <= 0 && high >= end, whole = column + NR * V::W <= c.columns;
        if (inside && whole && (!to.active || c.out.snake.turn)) {
            kLeaveWhole<NR>[(to.join ? 1 : 0) + (to.plain ? 2 : 0) + (to.active ? 4 : 0)](c, results, count, column, to);
        } else {
            leave_some<NR>(c, results, count, column, to, low, high);
        }
    }
}

}  // namespace
}  // namespace srvq

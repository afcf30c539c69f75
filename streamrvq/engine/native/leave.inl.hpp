// How a tile's results leave it: masked, joined, through the next Snake, to their sinks. Included by conv.inl.hpp.
//
// Knows: the rows and columns of a tile, where they lie in their streams. Does not know: how they were computed.
#pragma once
#include "functions.inl.hpp"

namespace srvq {
namespace {

// `rows` rows of one stream, whole vectors, all inside the signal, to where they go: the common case, without a question
// asked per vector. The rows are independent of each other, and a column's constants are loaded once.
template <int NR, bool JOIN, bool PLAIN, bool SNAKE>
inline void leave_whole(const Sinks &out, const float *results, int64_t rows, int64_t columns, int64_t column,
                        const float *join, float *plain, float *active) {
    V::F turn[NR], low[NR], inverse[NR];
    for (int n = 0; SNAKE && n < NR; ++n) {
        turn[n] = V::load(out.snake.turn + column + n * V::W);
        low[n] = V::load(out.snake.turn_low + column + n * V::W);
        inverse[n] = V::load(out.snake.inverse + column + n * V::W);
    }
    int64_t at = column;
    for (int64_t r = 0; r < rows; ++r, at += columns)
#pragma GCC unroll 4
        for (int n = 0; n < NR; ++n, results += V::W) {
            V::F v = V::load(results);
            if constexpr (JOIN) v = V::add(v, V::load(join + at + n * V::W));
            if constexpr (PLAIN) V::store(plain + at + n * V::W, v);
            if constexpr (SNAKE) V::store(active + at + n * V::W, snake(v, turn[n], low[n], inverse[n]));
        }
}

// The general case: any edge, any number of columns.
template <int NR>
inline void leave_some(const Conv &c, const float *results, int64_t rows, int64_t s, int64_t t, int64_t column,
                       const float *join, float *plain, float *active) {
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t n = 0; n < NR; ++n) {
            const int64_t here = column + n * V::W, at = r * c.columns + here, count = c.columns - here;
            if (count <= 0) continue;
            V::F v = V::load(results + (r * NR + n) * V::W);
            if (c.edges.low) {
                const int64_t before = t * c.columns;
                v = masked(v, at, c.edges.low[s] - before, c.edges.high[s] - before);
            }
            if (join) v = V::add(v, load_some(join + at, count));
            emit(v, c.out, plain, active, at, here, count);
        }
}

// The results [rows][NR · W] of the rows from `row` on, rows of all streams laid end to end.
template <int NR>
__attribute__((noinline)) void leave(const Conv &c, const float *results, int64_t rows, int64_t row, int64_t column) {
    int64_t s = row < c.rows ? 0 : row / c.rows, t = row - s * c.rows;
    for (int64_t count; rows; rows -= count, results += count * NR * V::W, ++s, t = 0) {
        count = rows < c.rows - t ? rows : c.rows - t;
        const int64_t begin = t * c.columns;
        const float *const join = c.join ? c.join + s * c.join_stride + begin : nullptr;
        float *const plain = c.out.plain ? c.out.plain + s * c.out.plain_stride + begin : nullptr;
        float *const active = c.out.active ? c.out.active + s * c.out.active_stride + begin : nullptr;
        const bool inside = !c.edges.low || (c.edges.low[s] <= begin && begin + count * c.columns <= c.edges.high[s]);
        const auto whole = [&]<bool JOIN, bool PLAIN, bool SNAKE>() {
            leave_whole<NR, JOIN, PLAIN, SNAKE>(c.out, results, count, c.columns, column, join, plain, active);
        };
        if (!inside || column + NR * V::W > c.columns || (active && !c.out.snake.turn)) {
            leave_some<NR>(c, results, count, s, t, column, join, plain, active);
        } else if (active) {
            join ? (plain ? whole.template operator()<true, true, true>() : whole.template operator()<true, false, true>())
                 : (plain ? whole.template operator()<false, true, true>() : whole.template operator()<false, false, true>());
        } else if (plain) {
            join ? whole.template operator()<true, true, false>() : whole.template operator()<false, true, false>();
        }
    }
}

}  // namespace
}  // namespace srvq

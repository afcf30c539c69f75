// The convolution: register tiles of outputs, each output one chain of fused multiply-adds. Included by kernels.inl.hpp.
//
// Knows: how to compute MR rows × NR vectors of columns of B blocks together. Tile sizes, prefetching and the type of the
// weights choose which outputs are computed together, never the order inside one. Does not know: layers, streams' ages,
// threads.
#pragma once
#include "kernels/column.inl.hpp"
#include "kernels/epilogue.inl.hpp"

namespace srvq {
namespace {

inline V::Floats load_weights(const float *p) { return V::load(p); }
inline V::Floats load_weights(const uint16_t *p) { return V::load_half(p); }

// How many bytes before their use a block's own weights are fetched, the first time that they are read. Less than a page:
// beyond one, the processor's own prefetcher suffers, and memory is read a fifth slower (Sapphire Rapids). Much less is too
// late even from a cache.
constexpr int64_t kPrefetchDistance = 3584;

// Blocks of columns that a single row goes through together. One block has two chains, and a multiply-add can begin eight
// times before the first has its result. Weights from memory do not come any faster than two chains take them, so large ones
// are read in one piece.
constexpr int kSideBySide = 4;

// A prefetch pays only where it can overlap with a tile's arithmetic.
template <int MR>
inline void prefetch_lines(Prefetch &next) {
    static_assert(Prefetch::kMaxLines == 3);
    if constexpr (MR >= 4) {
        if (next.at < next.end) {
            __builtin_prefetch(next.at, 0, 2);
            if (next.lines > 1) __builtin_prefetch(next.at + Prefetch::kLine, 0, 2);
            if (next.lines > 2) __builtin_prefetch(next.at + 2 * Prefetch::kLine, 0, 2);
            next.at += next.lines * Prefetch::kLine;
        }
    }
}

// What a row's chains begin with, where that is not the bias. Past the last column anything may be read.
inline const float *start_of(const Conv &c, int64_t row) {
    return c.start + row / c.rows * c.start_stride + row % c.rows * c.columns;
}

template <int MR, int NR, int B = 1, class T>
void tile(const Conv &c, const T *w, bool first_use, int64_t row, int64_t column, Prefetch &next) {
    constexpr int64_t width = NR * V::kWidth;
    const int64_t apart = c.taps * c.depth * width;  // from one block's weights to the next one's
    Prefetch prefetch = next;  // in registers while the tile is computed
    const float *x[MR];
    int64_t b = row < c.rows ? 0 : row / c.rows, t = row - b * c.rows;  // a division takes as long as many rows' products
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
        x[r] = c.in + b * c.in_stride + t * c.row_step;
        if (++t == c.rows) {
            t = 0;
            ++b;
        }
    }
    V::Floats y[B][MR][NR];
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
        const float *const first = c.start ? start_of(c, row + r) : c.bias;
#pragma GCC unroll 4
        for (int i = 0; i < B; ++i)
#pragma GCC unroll 4
            for (int n = 0; n < NR; ++n) y[i][r][n] = V::load(first + column + i * width + n * V::kWidth);
    }

    auto channel = [&](int64_t i) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int k = 0; k < B; ++k) {
            V::Floats v[NR];
#pragma GCC unroll 4
            for (int n = 0; n < NR; ++n) v[n] = load_weights(w + k * apart + n * V::kWidth);
#pragma GCC unroll 16
            for (int r = 0; r < MR; ++r) {
                const V::Floats s = V::broadcast(x[r][i]);
#pragma GCC unroll 4
                for (int n = 0; n < NR; ++n) V::accumulate(y[k][r][n], s, v[n]);
            }
        }
        w += width;
    };
    for (int64_t tap = 0; tap < c.taps; ++tap) {
        const int64_t first = tap * c.tap_step;
        int64_t i = 0;
        for (; i + 4 <= c.depth; i += 4) {
            if (first_use) {
#pragma GCC unroll 4
                for (int k = 0; k < B; ++k)
#pragma GCC unroll 8
                    for (int64_t line = 0; line < 4 * width * static_cast<int64_t>(sizeof(T)); line += 64)
                        __builtin_prefetch(reinterpret_cast<const char *>(w + k * apart) + kPrefetchDistance / B + line, 0, 2);
            }
            prefetch_lines<MR>(prefetch);
            channel(first + i);
            channel(first + i + 1);
            channel(first + i + 2);
            channel(first + i + 3);
        }
        for (; i < c.depth; ++i) channel(first + i);
    }
    next = prefetch;

    for (int k = 0; k < B; ++k) {
        alignas(64) float results[MR * width];
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
            for (int n = 0; n < NR; ++n) V::store(results + r * width + n * V::kWidth, y[k][r][n]);
        epilogue<NR>(c, results, MR, row, column + k * width);
    }
}

template <int NR, class T>
void tile_of(int64_t rows, const Conv &c, const T *w, bool first_use, int64_t row, int64_t column, Prefetch &next) {
    static_assert(V::kRows <= 8);
    switch (rows) {
        case 1: return tile<1, NR>(c, w, first_use, row, column, next);
        case 2: return tile<2, NR>(c, w, first_use, row, column, next);
        case 3: return tile<3, NR>(c, w, first_use, row, column, next);
        case 4: return tile<4, NR>(c, w, first_use, row, column, next);
    }
    if constexpr (V::kRows > 4) {
        switch (rows) {
            case 5: return tile<5, NR>(c, w, first_use, row, column, next);
            case 6: return tile<6, NR>(c, w, first_use, row, column, next);
        }
    }
    if constexpr (V::kRows > 6) {
        if (rows == 7) return tile<7, NR>(c, w, first_use, row, column, next);
        return tile<8, NR>(c, w, first_use, row, column, next);
    }
    __builtin_unreachable();
}

template <class T>
void conv_as(const Conv &c, const Part &p) {
    constexpr int64_t block_width = V::kVectors * V::kWidth;
    constexpr int64_t lines = 4 * block_width * sizeof(T) / Prefetch::kLine;  // read by four channels
    const int64_t depth = c.taps * c.depth, rows = p.row1 - p.row0, tiles = (rows + V::kRows - 1) / V::kRows;
    if (!tiles) return;
    if (const int64_t most = rows_at_once(c)) return one_column(c, static_cast<const T *>(c.weights), p.row0, p.row1, most);
    const int64_t height = rows / tiles, rest = rows % tiles;
    Prefetch next_layers = p.prefetch, nothing{};
    for (int64_t block = p.block0; block < p.block1; ++block) {
        const int64_t column = block * block_width;
        const T *w = static_cast<const T *>(c.weights) + column * depth;
        if (rows == 1 && !p.large && block + kSideBySide <= p.block1 && column + kSideBySide * block_width <= c.columns) {
            tile<1, V::kVectors, kSideBySide>(c, w, true, p.row0, column, nothing);
            block += kSideBySide - 1;
            continue;
        }
        const bool narrow = c.columns - column <= V::kWidth;
        // All tiles together leave time to fetch the next block: it has come when its own first tile asks for it. If it is
        // another task's, the same thread is likely to take that. Once it is fetched, or where this layer is not large, the
        // tiles fetch for the next layers. The first tile does not: it has this block's own lines to ask for.
        const char *const after = reinterpret_cast<const char *>(w + depth * block_width);
        const bool more = p.large && tiles > 1 && column + block_width < c.columns;
        Prefetch next_block{after, more ? after + depth * block_width * sizeof(T) : after, (lines + tiles - 1) / tiles};
        if (next_block.lines > Prefetch::kMaxLines) next_block.lines = Prefetch::kMaxLines;
        int64_t row = p.row0, count, owed = 0;
        for (int64_t i = 0; i < tiles; ++i, row += count) {  // of heights as equal as can be
            owed += rest;
            count = owed < tiles ? height : height + 1;
            if (owed >= tiles) owed -= tiles;
            Prefetch &next = next_block.at < next_block.end ? next_block : i ? next_layers : nothing;
            narrow ? tile_of<1>(count, c, w, i == 0, row, column, next)
                   : tile_of<V::kVectors>(count, c, w, i == 0, row, column, next);
        }
    }
}

void conv(const Conv &c, const Part &p) { c.half ? conv_as<uint16_t>(c, p) : conv_as<float>(c, p); }

}  // namespace
}  // namespace srvq

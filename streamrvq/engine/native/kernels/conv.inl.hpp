// The convolution: register tiles of outputs, each output one chain of fused multiply-adds. Included by kernel_*.cpp.
//
// Knows: how to compute MR rows × NR vectors of columns together. Tile sizes, prefetching and the type of the weights
// choose what is computed together and never the order inside one output. Does not know: layers, streams' ages, threads.
#pragma once
#include "kernels/epilogue.inl.hpp"
#include "kernels/roofline.inl.hpp"

namespace srvq {
namespace {

inline V::F load_weights(const float *p) { return V::load(p); }
inline V::F load_weights(const uint16_t *p) { return V::load_half(p); }

// How far before their use a block's own weights are fetched the first time. Less than a page: from further on, the
// processor's own guesses suffer, and memory is read a fifth slower (Sapphire Rapids); much less is too late even from a cache.
constexpr int64_t kOwnAhead = 3584;

// Prefetches are worth their slots where a tile has arithmetic to hide them behind.
template <int MR>
inline void fetch_ahead(Ahead &ahead) {
    static_assert(Ahead::kMostLines == 3);
    if constexpr (MR >= 4) {
        if (ahead.at < ahead.end) {
            __builtin_prefetch(ahead.at, 0, 2);
            if (ahead.lines > 1) __builtin_prefetch(ahead.at + Ahead::kLine, 0, 2);
            if (ahead.lines > 2) __builtin_prefetch(ahead.at + 2 * Ahead::kLine, 0, 2);
            ahead.at += ahead.lines * Ahead::kLine;
        }
    }
}

template <int MR, int NR, class T>
void tile(const Conv &c, const T *w, bool fresh, int64_t row, int64_t column, Ahead &to_fetch) {
    Ahead ahead = to_fetch;
    const float *x[MR];
    int64_t b = row / c.rows, t = row - b * c.rows;
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r) {
        x[r] = c.in + b * c.in_stride + t * c.row_step;
        if (++t == c.rows) {
            t = 0;
            ++b;
        }
    }
    V::F y[MR][NR];
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
        for (int n = 0; n < NR; ++n) y[r][n] = V::load(c.bias + column + n * V::W);

    auto channel = [&](int64_t i) __attribute__((always_inline)) {
        V::F v[NR];
#pragma GCC unroll 4
        for (int n = 0; n < NR; ++n) v[n] = load_weights(w + n * V::W);
        w += NR * V::W;
#pragma GCC unroll 16
        for (int r = 0; r < MR; ++r) {
            const V::F s = V::set(x[r][i]);
#pragma GCC unroll 4
            for (int n = 0; n < NR; ++n) y[r][n] = V::fma(s, v[n], y[r][n]);
        }
    };
    for (int64_t tap = 0; tap < c.taps; ++tap) {
        const int64_t first = tap * c.tap_step;
        int64_t i = 0;
        for (; i + 4 <= c.depth; i += 4) {
            if (fresh) {
#pragma GCC unroll 8
                for (int64_t line = 0; line < 4 * NR * V::W * static_cast<int64_t>(sizeof(T)); line += 64)
                    __builtin_prefetch(reinterpret_cast<const char *>(w) + kOwnAhead + line, 0, 2);
            }
            fetch_ahead<MR>(ahead);
            channel(first + i);
            channel(first + i + 1);
            channel(first + i + 2);
            channel(first + i + 3);
        }
        for (; i < c.depth; ++i) channel(first + i);
    }
    to_fetch = ahead;

    alignas(64) float results[MR * NR * V::W];
#pragma GCC unroll 16
    for (int r = 0; r < MR; ++r)
#pragma GCC unroll 4
        for (int n = 0; n < NR; ++n) V::store(results + (r * NR + n) * V::W, y[r][n]);
    leave<NR>(c, results, MR, row, column);
}

template <int NR, class T>
void tile_of(int64_t rows, const Conv &c, const T *w, bool fresh, int64_t row, int64_t column, Ahead &a) {
    static_assert(V::MR <= 8);
    switch (rows) {
        case 1: return tile<1, NR>(c, w, fresh, row, column, a);
        case 2: return tile<2, NR>(c, w, fresh, row, column, a);
        case 3: return tile<3, NR>(c, w, fresh, row, column, a);
        case 4: return tile<4, NR>(c, w, fresh, row, column, a);
    }
    if constexpr (V::MR > 4) {
        switch (rows) {
            case 5: return tile<5, NR>(c, w, fresh, row, column, a);
            case 6: return tile<6, NR>(c, w, fresh, row, column, a);
        }
    }
    if constexpr (V::MR > 6) {
        if (rows == 7) return tile<7, NR>(c, w, fresh, row, column, a);
        return tile<8, NR>(c, w, fresh, row, column, a);
    }
    __builtin_unreachable();
}

template <class T>
void conv_as(const Conv &c, const Part &p) {
    constexpr int64_t block_width = V::NR * V::W, lines = 4 * block_width * sizeof(T) / Ahead::kLine;  // read by four channels
    const int64_t depth = c.taps * c.depth, rows = p.row1 - p.row0, tiles = (rows + V::MR - 1) / V::MR;
    Ahead layers = p.ahead, none{};
    for (int64_t block = p.block0; block < p.block1; ++block) {
        const int64_t column = block * block_width;
        const T *w = static_cast<const T *>(c.weights) + column * depth;
        const bool narrow = c.columns - column <= V::W;
        // All tiles together leave time to fetch the next block, whose task, if it is another's, the same thread is likely to
        // take: it has come when its own first tile asks for it. After that, or where this layer has nothing large, the tiles
        // but the first, which has this block's own lines to ask for, fetch what comes after.
        const char *const next = reinterpret_cast<const char *>(w + depth * block_width);
        const bool more = p.large && tiles > 1 && column + block_width < c.columns;
        Ahead blocks{next, more ? next + depth * block_width * sizeof(T) : next, (lines + tiles - 1) / tiles};
        if (blocks.lines > Ahead::kMostLines) blocks.lines = Ahead::kMostLines;
        for (int64_t i = 0; i < tiles; ++i) {  // of as equal heights as can be
            const int64_t row = p.row0 + rows * i / tiles, count = p.row0 + rows * (i + 1) / tiles - row;
            Ahead &ahead = blocks.at < blocks.end ? blocks : i ? layers : none;
            narrow ? tile_of<1>(count, c, w, i == 0, row, column, ahead)
                   : tile_of<V::NR>(count, c, w, i == 0, row, column, ahead);
        }
    }
}

void conv(const Conv &c, const Part &p) { c.half ? conv_as<uint16_t>(c, p) : conv_as<float>(c, p); }

// The entry of greatest cosine for each vector, the lowest index on ties. The vector is brought to length 1 first, as
// the entries are; lane l of block j is entry j·W + l.
void search(const Search &s) {
    alignas(64) float counting[V::W];
    for (int i = 0; i < V::W; ++i) counting[i] = static_cast<float>(i);
    for (int64_t v = 0; v < s.count; ++v) {
        const float *x = s.vectors + v * s.dim;
        float squares = 0.0f;
        for (int64_t d = 0; d < s.dim; ++d) squares = V::fma1(x[d], x[d], squares);
        const float length = V::root(squares), least = 1e-12f;
        const float scale = length > least ? length : least;
        for (int64_t d = 0; d < s.dim; ++d) s.unit[d] = x[d] / scale;
        V::F best = V::set(-__builtin_inff()), at = V::load(counting), index = at;
        for (int64_t first = 0; first < s.size; first += V::W) {
            const float *book = s.book + first * s.dim;
            V::F dot = V::set(0.0f);
            for (int64_t d = 0; d < s.dim; ++d)
                dot = V::fma(V::set(s.unit[d]), V::load(book + d * V::W), dot);
            if (s.size - first < V::W) {  // the padding cannot win
                alignas(64) float lanes[V::W];
                V::store(lanes, dot);
                for (int64_t i = s.size - first; i < V::W; ++i) lanes[i] = -__builtin_inff();
                dot = V::load(lanes);
            }
            const V::M better = V::greater(dot, best);
            best = V::select(better, dot, best);
            at = V::select(better, index, at);
            index = V::add(index, V::set(static_cast<float>(V::W)));
        }
        alignas(64) float tops[V::W], places[V::W];
        V::store(tops, best);
        V::store(places, at);
        int64_t winner = 0;
        for (int i = 1; i < V::W; ++i)
            if (tops[i] > tops[winner] || (tops[i] == tops[winner] && places[i] < places[winner])) winner = i;
        s.codes[v] = static_cast<int64_t>(places[winner]);
    }
}

constexpr Kernels table(const char *name) {
    return {name, V::W, V::NR, V::MR, conv, spread, search, tanh_all, sine_all, peak, fed, read};
}

}  // namespace
}  // namespace srvq

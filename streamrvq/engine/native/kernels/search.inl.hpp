// The quantiser's search. Included by kernels.inl.hpp.
//
// Knows: vectors and codebook entries. Does not know: levels, frames.
//
// An element of a vector register is one entry. Tiles choose which entries and vectors are multiplied together, so that many
// chains run at once and a block of entries is read once for all of them. Each product is its own chain over dimensions, and
// each element compares its entries from the lowest index on.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

// Vectors that are compared with a block of entries while it is in the core's first cache, as many as fit in there too. A
// book of long entries comes from further away, once for all of them.
constexpr int64_t kTogether = 32, kTogetherNumbers = 4096;

// The best entry of each element so far, and its index.
struct Best {
    V::Floats dot, index;
};

// R vectors times B blocks of entries, the first of which is `block`. Elements past the last entry cannot win.
template <int R, int B>
void compare(const Search &s, const float *x, int64_t block, V::Floats index, Best *best) {
    const float *const book = s.book + block * V::kWidth * s.dim, *const bias = s.bias ? s.bias + block * V::kWidth : nullptr;
    const int64_t apart = V::kWidth * s.dim;
    V::Floats dot[R][B];
#pragma GCC unroll 8
    for (int n = 0; n < B; ++n) {
        const V::Floats first = bias ? V::load(bias + n * V::kWidth) : V::broadcast(0.0f);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) dot[r][n] = first;
    }
    for (int64_t d = 0; d < s.dim; ++d) {
        V::Floats entries[B];
#pragma GCC unroll 8
        for (int n = 0; n < B; ++n) entries[n] = V::load(book + n * apart + d * V::kWidth);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const V::Floats value = V::broadcast(x[r * s.dim + d]);
#pragma GCC unroll 8
            for (int n = 0; n < B; ++n) dot[r][n] = V::fma(value, entries[n], dot[r][n]);
        }
    }
    const int64_t left = s.size - (block + B - 1) * V::kWidth;
#pragma GCC unroll 8
    for (int n = 0; n < B; ++n) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            V::Floats found = dot[r][n];
            if (n + 1 == B && left < V::kWidth) {
                alignas(64) float elements[V::kWidth];
                V::store(elements, found);
                for (int64_t i = left; i < V::kWidth; ++i) elements[i] = -__builtin_inff();
                found = V::load(elements);
            }
            const V::Mask better = V::greater(found, best[r].dot);
            best[r].dot = V::select(better, found, best[r].dot);
            best[r].index = V::select(better, index, best[r].index);
        }
        index = V::add(index, V::broadcast(static_cast<float>(V::kWidth)));
    }
}

// As many blocks as can be of the `blocks` from `block` on, B at a time. `count` vectors, four at a time,
// then two, then one.
template <int B>
int64_t compare_all(const Search &s, const float *x, int64_t count, int64_t block, int64_t blocks, V::Floats first, Best *best) {
    for (; block + B <= blocks; block += B) {
        const V::Floats index = V::add(first, V::broadcast(static_cast<float>(block * V::kWidth)));
        int64_t r = 0;
        for (; r + 4 <= count; r += 4) compare<4, B>(s, x + r * s.dim, block, index, best + r);
        for (; r + 2 <= count; r += 2) compare<2, B>(s, x + r * s.dim, block, index, best + r);
        for (; r < count; ++r) compare<1, B>(s, x + r * s.dim, block, index, best + r);
    }
    return block;
}

// The entry of greatest cosine for each vector, the lowest index on ties. The vector is brought to length 1 first, as the
// entries are. With a bias it is the nearest entry: of x · e − |e|²/2 the greatest, a chain that begins with its second part.
// Element l of block j is entry j · width + l.
void search(const Search &s) {
    alignas(64) float counting[V::kWidth];
    for (int i = 0; i < V::kWidth; ++i) counting[i] = static_cast<float>(i);
    const V::Floats first = V::load(counting);
    for (int64_t v = 0; !s.bias && v < s.count; ++v) {
        const float *const x = s.vectors + v * s.dim;
        float squares = 0.0f;
        for (int64_t d = 0; d < s.dim; ++d) squares = V::fma_scalar(x[d], x[d], squares);
        const float length = V::sqrt_scalar(squares), least = 1e-12f;
        const float scale = length > least ? length : least;
        for (int64_t d = 0; d < s.dim; ++d) s.unit[v * s.dim + d] = x[d] / scale;
    }
    const float *const vectors = s.bias ? s.vectors : s.unit;
    const int64_t blocks = (s.size + V::kWidth - 1) / V::kWidth;
    int64_t together = 8;
    while (together < kTogether && 2 * together * s.dim <= kTogetherNumbers) together *= 2;
    for (int64_t v = 0; v < s.count; v += together) {
        const int64_t count = s.count - v < together ? s.count - v : together;
        const float *const x = vectors + v * s.dim;
        Best best[kTogether];
        for (int64_t r = 0; r < count; ++r) best[r] = {V::broadcast(-__builtin_inff()), first};
        // One vector has its chains beside each other in several blocks, four have enough of them in two.
        int64_t block = count == 1 ? compare_all<8>(s, x, count, 0, blocks, first, best) : 0;
        block = compare_all<2>(s, x, count, block, blocks, first, best);
        compare_all<1>(s, x, count, block, blocks, first, best);
        for (int64_t r = 0; r < count; ++r) {
            alignas(64) float tops[V::kWidth], places[V::kWidth];
            V::store(tops, best[r].dot);
            V::store(places, best[r].index);
            int64_t winner = 0;
            for (int i = 1; i < V::kWidth; ++i)
                if (tops[i] > tops[winner] || (tops[i] == tops[winner] && places[i] < places[winner])) winner = i;
            s.codes[v + r] = static_cast<int64_t>(places[winner]);
        }
    }
}

}  // namespace
}  // namespace srvq

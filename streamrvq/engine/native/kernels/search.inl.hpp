// The quantiser's search. Included by kernels.inl.hpp.
//
// Knows: vectors and codebook entries. Does not know: levels, frames.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

// The entry of greatest cosine for each vector, the lowest index on ties. The vector is brought to length 1 first, as the
// entries are. With a bias it is the nearest entry: of x · e − |e|²/2 the greatest, a chain that begins with its second part.
// Element l of block j is entry j · width + l.
void search(const Search &s) {
    alignas(64) float counting[V::kWidth];
    for (int i = 0; i < V::kWidth; ++i) counting[i] = static_cast<float>(i);
    for (int64_t v = 0; v < s.count; ++v) {
        const float *x = s.vectors + v * s.dim;
        float squares = 0.0f;
        for (int64_t d = 0; d < s.dim; ++d) squares = V::fma_scalar(x[d], x[d], squares);
        const float length = V::sqrt_scalar(squares), least = 1e-12f;
        const float scale = length > least ? length : least;
        for (int64_t d = 0; d < s.dim; ++d) s.unit[d] = s.bias ? x[d] : x[d] / scale;
        V::Floats best = V::broadcast(-__builtin_inff()), at = V::load(counting), index = at;
        for (int64_t first = 0; first < s.size; first += V::kWidth) {
            const float *book = s.book + first * s.dim;
            V::Floats dot = s.bias ? V::load(s.bias + first) : V::broadcast(0.0f);
            for (int64_t d = 0; d < s.dim; ++d)
                dot = V::fma(V::broadcast(s.unit[d]), V::load(book + d * V::kWidth), dot);
            if (s.size - first < V::kWidth) {  // the padding cannot win
                alignas(64) float elements[V::kWidth];
                V::store(elements, dot);
                for (int64_t i = s.size - first; i < V::kWidth; ++i) elements[i] = -__builtin_inff();
                dot = V::load(elements);
            }
            const V::Mask better = V::greater(dot, best);
            best = V::select(better, dot, best);
            at = V::select(better, index, at);
            index = V::add(index, V::broadcast(static_cast<float>(V::kWidth)));
        }
        alignas(64) float tops[V::kWidth], places[V::kWidth];
        V::store(tops, best);
        V::store(places, at);
        int64_t winner = 0;
        for (int i = 1; i < V::kWidth; ++i)
            if (tops[i] > tops[winner] || (tops[i] == tops[winner] && places[i] < places[winner])) winner = i;
        s.codes[v] = static_cast<int64_t>(places[winner]);
    }
}

}  // namespace
}  // namespace srvq

// Vectors of which only some elements count: at the end of a row, and at the ends of a signal. Included by functions.inl.hpp.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

inline void copy_some(float *to, const float *from, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// The first `count` values, at most a whole vector; zeros after them.
inline V::Floats load_some(const float *from, int64_t count) {
    if (count >= V::kWidth) return V::load(from);
    alignas(64) float elements[V::kWidth] = {};
    copy_some(elements, from, count);
    return V::load(elements);
}

inline void store_some(float *to, V::Floats y, int64_t count) {
    if (count >= V::kWidth) {
        V::store(to, y);
    } else {
        alignas(64) float elements[V::kWidth];
        V::store(elements, y);
        copy_some(to, elements, count);
    }
}

// y with the elements outside [low, high) zeroed. The vector begins at element `at`.
inline V::Floats masked(V::Floats y, int64_t at, int64_t low, int64_t high) {
    if (at >= low && at + V::kWidth <= high) return y;
    alignas(64) float elements[V::kWidth];
    V::store(elements, y);
    for (int64_t i = 0; i < V::kWidth; ++i)
        if (at + i < low || at + i >= high) elements[i] = 0.0f;
    return V::load(elements);
}

}  // namespace
}  // namespace srvq

// What each activation computes. Included by epilogue.inl.hpp.
//
// An activation is a struct that loads its constants for N vectors of columns once, and is then called for row after row:
// y = activation(x, n) for vector n of a row. Each value depends on its own input and its column's constants alone.
#pragma once
#include "kernels/functions.inl.hpp"

namespace srvq {
namespace {

template <int N>
struct Identity {
    Identity(const ActivationView &, int64_t) {}
    V::Floats operator()(V::Floats x, int) const { return x; }
};

// Constants: α/π in two floats, and 1/(α + 1e-9).
template <int N>
struct Snake {
    V::Floats turn[N], turn_low[N], inverse[N];
    Snake(const ActivationView &a, int64_t column) {
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
            turn[n] = V::load(a.constants[0] + column + n * V::kWidth);
            turn_low[n] = V::load(a.constants[1] + column + n * V::kWidth);
            inverse[n] = V::load(a.constants[2] + column + n * V::kWidth);
        }
    }
    V::Floats operator()(V::Floats x, int n) const { return snake_of(x, turn[n], turn_low[n], inverse[n]); }
};

// x, or eˣ − 1 where x is not greater than 0. No constants.
template <int N>
struct Elu {
    Elu(const ActivationView &, int64_t) {}
    V::Floats operator()(V::Floats x, int) const { return elu_of(x); }
};

// x · Φ(x), Φ the normal distribution. No constants.
template <int N>
struct Gelu {
    Gelu(const ActivationView &, int64_t) {}
    V::Floats operator()(V::Floats x, int) const { return gelu_of(x); }
};

// One vector through an activation that is known only now.
inline V::Floats activated(V::Floats x, const ActivationView &a, int64_t column) {
    switch (a.kind) {
#define SRVQ_CASE(name, type) \
    case Activation::name: return type<1>(a, column)(x, 0);
        SRVQ_ACTIVATIONS(SRVQ_CASE)
#undef SRVQ_CASE
    }
    __builtin_unreachable();
}

void activate(const float *x, float *y, int64_t count, const ActivationView &a) {
    for (int64_t i = 0; i < count; i += V::kWidth)
        store_some(y + i, activated(load_some(x + i, count - i), a, 0), count - i);
}

}  // namespace
}  // namespace srvq

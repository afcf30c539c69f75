// A frame of an LSTM. Included by kernels.inl.hpp.
//
// Knows: gates, cell and hidden values of one stream. Does not know: weights, layers.
#pragma once
#include "kernels/functions.inl.hpp"

namespace srvq {
namespace {

// c = σ(f) · c + σ(i) · tanh(g), with the first product not rounded; h = σ(o) · tanh(c).
void lstm(const LstmFrame &s) {
    for (int64_t u = 0; u < s.units; u += V::kWidth) {
        const int64_t count = s.units - u;
        const auto gate = [&](int64_t number) { return load_some(s.gates + number * s.units + u, count); };
        const V::Floats in = sigmoid_of(gate(0)), forget = sigmoid_of(gate(1)), fresh = tanh_of(gate(2));
        const V::Floats cell = V::fma(forget, load_some(s.cell + u, count), V::mul(in, fresh));
        store_some(s.cell + u, cell, count);
        store_some(s.hidden + u, V::mul(sigmoid_of(gate(3)), tanh_of(cell)), count);
    }
}

}  // namespace
}  // namespace srvq

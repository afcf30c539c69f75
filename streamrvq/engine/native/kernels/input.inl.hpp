// A step's input on its way to the first convolution. Included by kernels.inl.hpp.
#pragma once
#include "kernels/epilogue.inl.hpp"

namespace srvq {
namespace {

void write_input(const InputRows &s) {
    for (int64_t row = 0; row < s.rows; ++row)
        for (int64_t column = 0; column < s.columns; column += V::kWidth) {
            const int64_t at = row * s.columns + column, count = s.columns - column;
            V::Floats y = masked(load_some(s.in + at, count), at, s.low, s.high);
            if (s.join) y = V::add(y, load_some(s.join + at, count));
            store_result(y, s.out.activation, s.out.plain, s.out.active, at, column, count);
        }
}

}  // namespace
}  // namespace srvq

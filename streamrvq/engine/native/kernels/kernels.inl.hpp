// All kernels of one instruction set. A file of isa/ defines its vector type V, then includes this and calls kernel_table.
//
// Everything here is in an unnamed namespace, so that each file has its own copy, compiled for its own instruction set.
#pragma once
#include "kernels/vector.hpp"

static_assert(srvq::VectorType<V>, "V lacks an operation, or has one of another type; see kernels/vector.hpp");

#include "kernels/attention.inl.hpp"
#include "kernels/conv.inl.hpp"
#include "kernels/input.inl.hpp"
#include "kernels/lstm.inl.hpp"
#include "kernels/resample.inl.hpp"
#include "kernels/roofline.inl.hpp"
#include "kernels/search.inl.hpp"

namespace srvq {
namespace {

constexpr Kernels kernel_table(const char *name) {
    return {name, V::kWidth, V::kVectors, V::kRows, conv, write_input, search, lstm, norm, attend, tanh_all, widen, resample, activate,
            register_peak, load_peak, read};
}

}  // namespace
}  // namespace srvq

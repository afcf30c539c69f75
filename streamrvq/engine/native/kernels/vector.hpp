// What an instruction set must give: a type V of static functions on vectors of floats, one file of isa/ each. A vector of
// doubles has the same size, and half as many elements.
//
// Every operation has one result, to the bit, for every input; the comment beside it says which. Two sets that keep these
// rules compute the same codes. Rounding is IEEE's to nearest, ties to even; denormal numbers are kept. The library sets
// that mode before a step (PlainArithmetic in run/rounding.hpp), so that no operation has to.
#pragma once
#include <concepts>
#include <cstdint>

namespace srvq {

template <class V>
concept VectorType = requires(const float *from, float *to, const uint16_t *halves, float s, typename V::Floats a,
                              typename V::Floats b, typename V::Floats c, typename V::Floats &sum, typename V::Mask mask,
                              const int32_t *whole, double u, typename V::Doubles d, const typename V::Doubles *more) {
    // The shape of a tile: kRows rows × kVectors vectors of kWidth floats are accumulated in registers at a time.
    requires V::kWidth >= 1 && (V::kWidth & (V::kWidth - 1)) == 0;
    requires V::kRows == 4 || V::kRows == 6 || V::kRows == 8;  // tile_of() in conv.inl.hpp has these heights
    requires V::kVectors >= 1 && V::kVectors <= 4;
    requires sizeof(typename V::Floats) == V::kWidth * sizeof(float);
    requires sizeof(typename V::Doubles) == sizeof(typename V::Floats);

    // Memory. Addresses need no more alignment than their elements have.
    { V::broadcast(s) } -> std::same_as<typename V::Floats>;       // s in every element
    { V::load(from) } -> std::same_as<typename V::Floats>;         // kWidth floats, unchanged
    { V::store(to, a) } -> std::same_as<void>;                     // kWidth floats, unchanged
    { V::load_half(halves) } -> std::same_as<typename V::Floats>;  // kWidth half-precision numbers, exact, subnormals too

    // Arithmetic, element by element, each rounded once.
    { V::add(a, b) } -> std::same_as<typename V::Floats>;     // a + b
    { V::sub(a, b) } -> std::same_as<typename V::Floats>;     // a − b
    { V::mul(a, b) } -> std::same_as<typename V::Floats>;     // a · b
    { V::div(a, b) } -> std::same_as<typename V::Floats>;     // a / b; never an estimate of 1/b
    { V::fma(a, b, c) } -> std::same_as<typename V::Floats>;  // a · b + c, the product not rounded
    { V::fms(a, b, c) } -> std::same_as<typename V::Floats>;  // a · b − c, the product not rounded

    { V::accumulate(sum, a, b) } -> std::same_as<void>;       // sum = a · b + sum, as fma; the sum keeps its register

    // Exact operations.
    { V::min(a, b) } -> std::same_as<typename V::Floats>;  // a if a < b, else b: so b where either is not a number
    { V::abs(a) } -> std::same_as<typename V::Floats>;     // the sign bit cleared
    { V::round(a) } -> std::same_as<typename V::Floats>;   // the nearest whole number, ties to even
    { V::pow2(a) } -> std::same_as<typename V::Floats>;    // 2^a for whole a from −126 to 127; others are not asked for

    // Of doubles. Element i of halved is the sum of the elements of vector i, of as many vectors as they have elements: the
    // upper half of them is added to the lower half, until one is left.
    { V::broadcast_double(u) } -> std::same_as<typename V::Doubles>;         // u in every element
    { V::load_floats(from) } -> std::same_as<typename V::Doubles>;           // kWidth / 2 numbers, exact
    { V::load_integers(whole) } -> std::same_as<typename V::Doubles>;        // kWidth / 2 numbers, exact
    { V::add_exact_product(d, d, d) } -> std::same_as<typename V::Doubles>;  // a · b + c, where a · b is exact
    { V::halved(more) } -> std::same_as<typename V::Doubles>;
    { V::min(d, d) } -> std::same_as<typename V::Doubles>;  // the second, where it is not a number
    { V::max(d, d) } -> std::same_as<typename V::Doubles>;  // the second, where it is not a number
    { V::store_rounded(to, d) } -> std::same_as<void>;      // kWidth / 2 floats, each rounded once

    // Comparisons.
    { V::greater(a, b) } -> std::same_as<typename V::Mask>;        // a > b; no where either is not a number
    { V::is_number(a) } -> std::same_as<typename V::Mask>;         // a == a
    { V::select(mask, a, b) } -> std::same_as<typename V::Floats>;  // a where the mask says yes, else b

    // The same for single numbers, for sums that are taken in order.
    { V::fma_scalar(s, s, s) } -> std::same_as<float>;  // a · b + c, rounded once
    { V::sqrt_scalar(s) } -> std::same_as<float>;       // √a, rounded once
};

}  // namespace srvq

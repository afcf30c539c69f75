// Sine, tanh, ELU and GELU by polynomials. Included by activations.inl.hpp.
//
// Knows: one order of arithmetic, the same for every V, so that all instruction sets give the same bits. Does not know:
// any mathematical library.
#pragma once
#include "kernels/partial.inl.hpp"

namespace srvq {
namespace {

// sin(πf)/f for |f| ≤ 1/2 in f², fitted to the least relative error (below 2.9e-8, that of the rounded π).
constexpr float kSine[] = {0x1.921fb6p+1f, -0x1.4abbeep+2f, 0x1.466ee4p+1f, -0x1.32e03cp-1f, 0x1.466de4p-4f};
// (tanh(x) − x)/x³ for |x| < 0.625 in x².
constexpr float kTanh[] = {-0x1.555552p-2f, 0x1.110ddcp-3f, -0x1.b916f0p-5f, 0x1.577db8p-6f, -0x1.8c8c88p-8f};
// (exp(r) − 1 − r)/r² for |r| ≤ ln 2/2.
constexpr float kExp[] = {0x1.0p-1f, 0x1.5554e0p-3f, 0x1.555588p-5f, 0x1.120986p-7f, 0x1.6c8844p-10f};
// erf(u)/u for 0 ≤ u ≤ 0.9 in u².
constexpr float kErf[] = {0x1.20dd76p+0f,  -0x1.812746p-2f, 0x1.ce2f1ap-4f,   -0x1.b82bb0p-6f,
                          0x1.564474p-8f, -0x1.be3d0ap-11f, 0x1.e26dc2p-14f, -0x1.5f46a4p-17f};
// erfc(u) · exp(u²) for u ≥ 0.9 in 1/(1 + u/2).
constexpr float kErfc[] = {0x1.b1f71cp-18f, 0x1.20abeep-2f, 0x1.234b3ep-2f,  0x1.d69b0ap-3f, 0x1.04720cp-2f,
                           -0x1.3af596p-3f, 0x1.e902a8p-2f, -0x1.5c4ab4p-1f, 0x1.8eef1cp-2f, -0x1.568264p-4f};

template <int N>
inline V::Floats horner(V::Floats z, const float (&c)[N]) {
    V::Floats p = V::broadcast(c[N - 1]);
    for (int i = N - 2; i >= 0; --i) p = V::fma(p, z, V::broadcast(c[i]));
    return p;
}

// x + sin²(αx) · inverse, where turn + turn_low is α/π in two floats. The phase αx/π is the exact product x · turn, split
// into a rounded high part and its rest, plus x · turn_low. Whole turns are taken off the high part without rounding, so
// that the error does not grow with the phase. The second rounding keeps |f| ≤ 1/2 for every finite phase, which is the
// polynomial's range.
inline V::Floats snake_of(V::Floats x, V::Floats turn, V::Floats turn_low, V::Floats inverse) {
    const V::Floats phase = V::mul(x, turn);
    const V::Floats rest = V::fma(x, turn_low, V::fms(x, turn, phase));
    V::Floats f = V::add(V::sub(phase, V::round(phase)), rest);
    f = V::sub(f, V::round(f));
    const V::Floats sine = V::mul(f, horner(V::mul(f, f), kSine));
    return V::fma(V::mul(sine, inverse), sine, x);
}

// y = n · ln 2 + r, with a whole n and |r| ≤ ln 2/2 and a little. Of both parts of ln 2, n times the high one is exact.
inline V::Floats reduced(V::Floats y, V::Floats n) {
    const V::Floats high = V::fma(n, V::broadcast(-0x1.62e400p-1f), y);
    return V::fma(n, V::broadcast(-0x1.7f7d1cp-20f), high);
}

inline V::Floats octaves(V::Floats y) { return V::round(V::mul(y, V::broadcast(0x1.715476p+0f))); }  // y / ln 2

// exp(r) − 1 for |r| ≤ ln 2/2.
inline V::Floats expm1_reduced(V::Floats r) { return V::fma(V::mul(r, r), horner(r, kExp), r); }

// exp(y) = 2ⁿ · ((eʳ − 1) + 1), for y from −87 to 87.
inline V::Floats exp_of(V::Floats y) {
    const V::Floats n = octaves(y);
    return V::mul(V::add(expm1_reduced(reduced(y, n)), V::broadcast(1.0f)), V::pow2(n));
}

// Below 0: eˣ − 1 = 2ⁿ · (eʳ − 1) + (2ⁿ − 1), whose last difference is exact; beyond −18 it rounds to −1. The error is at
// most 1.01 units in the last place, of every float. NaN stays NaN.
inline V::Floats elu_of(V::Floats x) {
    const V::Floats zero = V::broadcast(0.0f), y = V::sub(zero, V::min(V::abs(x), V::broadcast(18.0f)));
    const V::Floats n = octaves(y), scale = V::pow2(n);
    const V::Floats below = V::fma(expm1_reduced(reduced(y, n)), scale, V::sub(scale, V::broadcast(1.0f)));
    return V::select(V::greater(x, zero), x, V::select(V::is_number(x), below, x));
}

// With e = exp(−|x|): 1/(1 + e) where x is not below 0, else e/(1 + e). Beyond 87 e is 0 but for less than 1e-37. The error is
// below 3 units in the last place. NaN stays NaN.
inline V::Floats sigmoid_of(V::Floats x) {
    const V::Floats zero = V::broadcast(0.0f), one = V::broadcast(1.0f);
    const V::Floats e = exp_of(V::sub(zero, V::min(V::abs(x), V::broadcast(87.0f))));
    const V::Floats share = V::div(V::select(V::greater(zero, x), e, one), V::add(one, e));
    return V::select(V::is_number(x), share, x);
}

// x/2 · erfc(−x/√2), which does not cancel below 0. With u = |x|/√2: near 0 by erf(u) = u · P(u²). Else by
// erfc(u) = exp(−x²/2) · Q(1/(1 + u/2)): the square and what it lost to rounding go into the exponential one after the other,
// the second as a factor 1 + d. Below −13 the result is x · Φ(−13), which is next to 0. NaN stays NaN.
inline V::Floats gelu_of(V::Floats x) {
    const V::Floats zero = V::broadcast(0.0f), one = V::broadcast(1.0f), size = V::min(V::abs(x), V::broadcast(13.0f));
    const V::Floats u = V::mul(size, V::broadcast(0x1.6a09e6p-1f));  // 1/√2
    const V::Floats near = V::mul(u, horner(V::mul(u, u), kErf));
    const V::Floats square = V::mul(size, size), lost = V::fms(size, size, square), minus_half = V::broadcast(-0.5f);
    const V::Floats e = exp_of(V::mul(square, minus_half));
    const V::Floats t = V::div(one, V::fma(u, V::broadcast(0.5f), one));
    const V::Floats tail = V::mul(V::mul(e, V::fma(lost, minus_half, one)), horner(t, kErfc));
    const auto below = V::greater(zero, x);
    const V::Floats inside = V::select(below, V::sub(one, near), V::add(one, near));
    const V::Floats outside = V::select(below, tail, V::sub(V::broadcast(2.0f), tail));
    const V::Floats both = V::select(V::greater(V::broadcast(0.9f), u), inside, outside);
    return V::select(V::is_number(x), V::mul(V::mul(x, V::broadcast(0.5f)), both), x);
}

// Near 0: x + x³ · P(x²). Else 1 − 2/(exp(2|x|) + 1) with the sign of x; beyond 10 that rounds to ±1. NaN stays NaN.
inline V::Floats tanh_of(V::Floats x) {
    const V::Floats z = V::mul(x, x);
    const V::Floats small = V::fma(V::mul(z, x), horner(z, kTanh), x);
    const V::Floats size = V::min(V::abs(x), V::broadcast(10.0f));
    const V::Floats e = exp_of(V::add(size, size));
    const V::Floats big = V::sub(V::broadcast(1.0f), V::div(V::broadcast(2.0f), V::add(e, V::broadcast(1.0f))));
    const V::Floats wide = V::select(V::greater(V::broadcast(0.0f), x), V::sub(V::broadcast(0.0f), big), big);
    return V::select(V::greater(V::broadcast(0.625f), V::abs(x)), small, V::select(V::is_number(x), wide, x));
}

void tanh_all(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i += V::kWidth) store_some(x + i, tanh_of(load_some(x + i, count - i)), count - i);
}

}  // namespace
}  // namespace srvq

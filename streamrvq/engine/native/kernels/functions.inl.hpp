// Sine, Snake and tanh by polynomials, and how results leave a tile. Included by kernel_*.cpp after their vector type V.
//
// Knows: one order of arithmetic, the same for every V, so that all instruction sets give the same bits. Does not know:
// any mathematical library.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

// sin(πf)/f for |f| ≤ 1/2 in f², fitted to the least relative error (below 2.9e-8, that of the rounded π).
constexpr float kSine[] = {0x1.921fb6p+1f, -0x1.4abbeep+2f, 0x1.466ee4p+1f, -0x1.32e03cp-1f, 0x1.466de4p-4f};
// (tanh(x) − x)/x³ for |x| < 0.625 in x².
constexpr float kTanh[] = {-0x1.555552p-2f, 0x1.110ddcp-3f, -0x1.b916f0p-5f, 0x1.577db8p-6f, -0x1.8c8c88p-8f};
// (exp(r) − 1 − r)/r² for |r| ≤ ln 2/2.
constexpr float kExp[] = {0x1.0p-1f, 0x1.5554e0p-3f, 0x1.555588p-5f, 0x1.120986p-7f, 0x1.6c8844p-10f};

template <int N>
inline V::F horner(V::F z, const float (&c)[N]) {
    V::F p = V::set(c[N - 1]);
    for (int i = N - 2; i >= 0; --i) p = V::fma(p, z, V::set(c[i]));
    return p;
}

// x + sin²(αx)·inverse. The phase αx/π is the exact product x·turn, split into a rounded high part and its rest, plus
// x·turn_low; whole turns are taken off the high part without rounding, so that the error does not grow with the phase.
// The second rounding keeps |f| ≤ 1/2 for every finite phase: the polynomial's range holds for all inputs.
inline V::F snake(V::F x, V::F turn, V::F turn_low, V::F inverse) {
    const V::F phase = V::mul(x, turn);
    const V::F rest = V::fma(x, turn_low, V::fms(x, turn, phase));
    V::F f = V::add(V::sub(phase, V::round(phase)), rest);
    f = V::sub(f, V::round(f));
    const V::F sine = V::mul(f, horner(V::mul(f, f), kSine));
    return V::fma(V::mul(sine, inverse), sine, x);
}

// Small: x + x³·P(x²). Else 1 − 2/(exp(2|x|) + 1) with the sign of x; beyond 10 it rounds to ±1.
inline V::F tanh_of(V::F x) {
    const V::F z = V::mul(x, x);
    const V::F small = V::fma(V::mul(z, x), horner(z, kTanh), x);
    const V::F size = V::min(V::abs(x), V::set(10.0f));
    const V::F y = V::add(size, size);
    const V::F n = V::round(V::mul(y, V::set(0x1.715476p+0f)));  // 1/ln 2
    V::F r = V::fma(n, V::set(-0x1.62e400p-1f), y);              // ln 2, high part: n times it is exact
    r = V::fma(n, V::set(-0x1.7f7d1cp-20f), r);                  // and the rest
    const V::F e = V::mul(V::add(V::fma(V::mul(r, r), horner(r, kExp), r), V::set(1.0f)), V::pow2(n));
    const V::F big = V::sub(V::set(1.0f), V::div(V::set(2.0f), V::add(e, V::set(1.0f))));
    const V::F wide = V::select(V::greater(V::set(0.0f), x), V::sub(V::set(0.0f), big), big);
    return V::select(V::greater(V::set(0.625f), V::abs(x)), small, V::select(V::ordered(x), wide, x));
}

inline void copy_some(float *to, const float *from, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

// One vector of `count` ≤ W values to its sinks; `at` is its place in the stream's output, `column` in the row.
inline void emit(V::F y, const Sinks &out, float *plain, float *active, int64_t at, int64_t column, int64_t count) {
    alignas(64) float lanes[V::W];
    if (plain) {
        if (count >= V::W) {
            V::store(plain + at, y);
        } else {
            V::store(lanes, y);
            copy_some(plain + at, lanes, count);
        }
    }
    if (active) {
        const Snake &s = out.snake;
        if (s.turn) y = snake(y, V::load(s.turn + column), V::load(s.turn_low + column), V::load(s.inverse + column));
        if (count >= V::W) {
            V::store(active + at, y);
        } else {
            V::store(lanes, y);
            copy_some(active + at, lanes, count);
        }
    }
}

// y with the elements outside [low, high) zeroed; the vector begins at element `at`.
inline V::F masked(V::F y, int64_t at, int64_t low, int64_t high) {
    if (at >= low && at + V::W <= high) return y;
    alignas(64) float lanes[V::W];
    V::store(lanes, y);
    for (int64_t i = 0; i < V::W; ++i)
        if (at + i < low || at + i >= high) lanes[i] = 0.0f;
    return V::load(lanes);
}

inline V::F load_some(const float *from, int64_t count) {
    if (count >= V::W) return V::load(from);
    alignas(64) float lanes[V::W] = {};
    copy_some(lanes, from, count);
    return V::load(lanes);
}

void spread(const Spread &s) {
    for (int64_t row = 0; row < s.rows; ++row)
        for (int64_t column = 0; column < s.columns; column += V::W) {
            const int64_t at = row * s.columns + column, count = s.columns - column;
            const V::F y = masked(load_some(s.in + at, count), at, s.low, s.high);
            emit(y, s.out, s.out.plain, s.out.active, at, column, count);
        }
}

void tanh_all(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i += V::W) {
        const V::F y = tanh_of(load_some(x + i, count - i));
        if (count - i >= V::W) {
            V::store(x + i, y);
        } else {
            alignas(64) float lanes[V::W];
            V::store(lanes, y);
            copy_some(x + i, lanes, count - i);
        }
    }
}

void sine_all(const float *x, float *y, int64_t count, Snake one) {
    const V::F turn = V::set(*one.turn), low = V::set(*one.turn_low), inverse = V::set(*one.inverse);
    for (int64_t i = 0; i < count; i += V::W) {
        alignas(64) float lanes[V::W];
        V::store(lanes, snake(load_some(x + i, count - i), turn, low, inverse));
        copy_some(y + i, lanes, count - i < V::W ? count - i : V::W);
    }
}

}  // namespace
}  // namespace srvq

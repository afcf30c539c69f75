// Sine and tanh by polynomials, operation by operation as in native/kernels/functions.inl.hpp, which derives them.
//
// Knows: one order of arithmetic. Does not know: any mathematical library.
#pragma once
#include "device.cuh"

// x + sin²(αx) · inverse, where turn + turn_low is α/π in two floats.
DEVICE float snake_of(float x, float turn, float turn_low, float inverse) {
    const float phase = mul_(x, turn);
    const float rest = fma_(x, turn_low, fma_(x, turn, -phase));
    float f = add_(sub_(phase, round_(phase)), rest);
    f = sub_(f, round_(f));
    const float z = mul_(f, f);
    float p = 0x1.466de4p-4f;
    p = fma_(p, z, -0x1.32e03cp-1f);
    p = fma_(p, z, 0x1.466ee4p+1f);
    p = fma_(p, z, -0x1.4abbeep+2f);
    p = fma_(p, z, 0x1.921fb6p+1f);
    const float sine = mul_(f, p);
    return fma_(mul_(sine, inverse), sine, x);
}

// Near 0: x + x³ · P(x²). Else 1 − 2/(exp(2|x|) + 1) with the sign of x.
DEVICE float tanh_of(float x) {
    const float z = mul_(x, x);
    float p = -0x1.8c8c88p-8f;
    p = fma_(p, z, 0x1.577db8p-6f);
    p = fma_(p, z, -0x1.b916f0p-5f);
    p = fma_(p, z, 0x1.110ddcp-3f);
    p = fma_(p, z, -0x1.555552p-2f);
    const float small = fma_(mul_(z, x), p, x);
    const float size = abs_(x) < 10.0f ? abs_(x) : 10.0f;
    const float y = add_(size, size);
    const float n = round_(mul_(y, 0x1.715476p+0f));  // 1/ln 2
    float r = fma_(n, -0x1.62e400p-1f, y);            // ln 2, high part: n times it is exact
    r = fma_(n, -0x1.7f7d1cp-20f, r);                 // and the rest
    float q = 0x1.6c8844p-10f;
    q = fma_(q, r, 0x1.120986p-7f);
    q = fma_(q, r, 0x1.555588p-5f);
    q = fma_(q, r, 0x1.5554e0p-3f);
    q = fma_(q, r, 0x1.0p-1f);
    const float e = mul_(add_(fma_(mul_(r, r), q, r), 1.0f), pow2_(n));
    const float big = sub_(1.0f, div_(2.0f, add_(e, 1.0f)));
    const float wide = 0.0f > x ? sub_(0.0f, big) : big;
    return 0.625f > abs_(x) ? small : (x == x ? wide : x);
}

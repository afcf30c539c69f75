// Sine, tanh, exponentials, ELU and GELU by polynomials, operation by operation as in native/kernels/functions.inl.hpp, which derives them.
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

// y = n · ln 2 + r, with a whole n. Of both parts of ln 2, n times the high one is exact.
DEVICE float octaves(float y) { return round_(mul_(y, 0x1.715476p+0f)); }  // y / ln 2
DEVICE float reduced(float y, float n) { return fma_(n, -0x1.7f7d1cp-20f, fma_(n, -0x1.62e400p-1f, y)); }

// exp(r) − 1 for |r| ≤ ln 2/2.
DEVICE float expm1_reduced(float r) {
    float q = 0x1.6c8844p-10f;
    q = fma_(q, r, 0x1.120986p-7f);
    q = fma_(q, r, 0x1.555588p-5f);
    q = fma_(q, r, 0x1.5554e0p-3f);
    q = fma_(q, r, 0x1.0p-1f);
    return fma_(mul_(r, r), q, r);
}

// exp(−size), no less than exp(−most).
DEVICE float exp_down(float size, float most) {
    const float y = sub_(0.0f, size < most ? size : most), n = octaves(y);
    return mul_(add_(expm1_reduced(reduced(y, n)), 1.0f), pow2_(n));
}
DEVICE float exp_of(float x) { return exp_down(sub_(0.0f, x), 87.0f); }  // for x ≤ 0

// x, or eˣ − 1 below 0.
DEVICE float elu_of(float x) {
    const float y = sub_(0.0f, abs_(x) < 18.0f ? abs_(x) : 18.0f), n = octaves(y), scale = pow2_(n);
    const float below = fma_(expm1_reduced(reduced(y, n)), scale, sub_(scale, 1.0f));
    return x > 0.0f ? x : (x == x ? below : x);
}

DEVICE float sigmoid_of(float x) {
    const float e = exp_down(abs_(x), 87.0f), share = div_(0.0f > x ? e : 1.0f, add_(1.0f, e));
    return x == x ? share : x;
}

// x/2 · erfc(−x/√2): near 0 by erf, else by exp(−x²/2) and what the square has lost.
DEVICE float gelu_of(float x) {
    const float size = abs_(x) < 13.0f ? abs_(x) : 13.0f, u = mul_(size, 0x1.6a09e6p-1f), v = mul_(u, u);
    float p = -0x1.5f46a4p-17f;
    p = fma_(p, v, 0x1.e26dc2p-14f);
    p = fma_(p, v, -0x1.be3d0ap-11f);
    p = fma_(p, v, 0x1.564474p-8f);
    p = fma_(p, v, -0x1.b82bb0p-6f);
    p = fma_(p, v, 0x1.ce2f1ap-4f);
    p = fma_(p, v, -0x1.812746p-2f);
    p = fma_(p, v, 0x1.20dd76p+0f);
    const float close = mul_(u, p), square = mul_(size, size), lost = fma_(size, size, -square);
    const float y = mul_(square, -0.5f), n = octaves(y);
    const float e = mul_(add_(expm1_reduced(reduced(y, n)), 1.0f), pow2_(n));
    const float t = div_(1.0f, fma_(u, 0.5f, 1.0f));
    float q = -0x1.568264p-4f;
    q = fma_(q, t, 0x1.8eef1cp-2f);
    q = fma_(q, t, -0x1.5c4ab4p-1f);
    q = fma_(q, t, 0x1.e902a8p-2f);
    q = fma_(q, t, -0x1.3af596p-3f);
    q = fma_(q, t, 0x1.04720cp-2f);
    q = fma_(q, t, 0x1.d69b0ap-3f);
    q = fma_(q, t, 0x1.234b3ep-2f);
    q = fma_(q, t, 0x1.20abeep-2f);
    q = fma_(q, t, 0x1.b1f71cp-18f);
    const float tail = mul_(mul_(e, fma_(lost, -0.5f, 1.0f)), q);
    const bool below = 0.0f > x;
    const float inside = below ? sub_(1.0f, close) : add_(1.0f, close), outside = below ? tail : sub_(2.0f, tail);
    const float both = 0.9f > u ? inside : outside;
    return x == x ? mul_(mul_(x, 0.5f), both) : x;
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
    const float y = add_(size, size), n = octaves(y);
    const float e = mul_(add_(expm1_reduced(reduced(y, n)), 1.0f), pow2_(n));
    const float big = sub_(1.0f, div_(2.0f, add_(e, 1.0f)));
    const float wide = 0.0f > x ? sub_(0.0f, big) : big;
    return 0.625f > abs_(x) ? small : (x == x ? wide : x);
}

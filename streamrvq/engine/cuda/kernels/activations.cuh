// The activations that can stand in front of a convolution. Each is applied where its input is made, before it is stored.
//
// Knows: numbers and constants of geometry.Activation's kinds. Does not know: layers.
#pragma once
#include "functions.cuh"

enum Activation { kNone = 0, kSnake = 1, kElu = 2, kGelu = 3 };

// An activation, and its constants for every column of what goes through it: constant i of column j is constants[i][j].
struct Activated {
    const float *constants[3];  // Snake: α/π in two floats, 1/(α + 1e-9)
    int64_t kind;
};

// The constants of one column, or of four that follow one another.
template <class V> struct Constants {
    V a, b, c;
};
DEVICE Constants<float> constants1(const Activated &f, int column) {
    if (f.kind != kSnake) return {};
    return {f.constants[0][column], f.constants[1][column], f.constants[2][column]};
}
DEVICE Constants<float4> constants4(const Activated &f, int column) {
    if (f.kind != kSnake) return {};
    return {get4(f.constants[0] + column), get4(f.constants[1] + column), get4(f.constants[2] + column)};
}

// MORE: any of them. The other tiles leave ELU and GELU out, so that what they hold in registers stays as it is.
template <bool MORE> DEVICE float activated1(int64_t kind, float x, const Constants<float> &k) {
    if constexpr (MORE) {
        if (kind == kElu) return elu_of(x);
        if (kind == kGelu) return gelu_of(x);
    }
    switch (kind) {
        case kSnake: return snake_of(x, k.a, k.b, k.c);
        default: return x;
    }
}
template <bool MORE> DEVICE float4 activated4(int64_t kind, float4 x, const Constants<float4> &k) {
    if (kind == kNone) return x;
    return make_float4(activated1<MORE>(kind, x.x, {k.a.x, k.b.x, k.c.x}), activated1<MORE>(kind, x.y, {k.a.y, k.b.y, k.c.y}),
                       activated1<MORE>(kind, x.z, {k.a.z, k.b.z, k.c.z}), activated1<MORE>(kind, x.w, {k.a.w, k.b.w, k.c.w}));
}

// The activations that can stand in front of a convolution. Each is applied where its input is made, before it is stored.
//
// Knows: numbers and constants of geometry.Activation's kinds. Does not know: layers.
#pragma once
#include "functions.cuh"

enum Activation { kNone = 0, kSnake = 1 };

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

DEVICE float activated1(int64_t kind, float x, const Constants<float> &k) {
    switch (kind) {
        case kSnake: return snake_of(x, k.a, k.b, k.c);
        default: return x;
    }
}
DEVICE float4 activated4(int64_t kind, float4 x, const Constants<float4> &k) {
    if (kind == kNone) return x;
    return make_float4(activated1(kind, x.x, {k.a.x, k.b.x, k.c.x}), activated1(kind, x.y, {k.a.y, k.b.y, k.c.y}),
                       activated1(kind, x.z, {k.a.z, k.b.z, k.c.z}), activated1(kind, x.w, {k.a.w, k.b.w, k.c.w}));
}

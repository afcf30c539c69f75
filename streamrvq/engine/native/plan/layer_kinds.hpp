// What each kind of layer is to the engine. A new kind is a case in each function here; the compiler names those that are
// missing.
//
// Knows: a layer's numbers. Does not know: where layers stand in a plan (plan.cpp).
#pragma once
#include "plan/pack.hpp"
#include "plan/spec.hpp"

namespace srvq {

// A layer as the one convolution that the kernels compute: a row reads `taps` inputs, and has `per_row` outputs.
struct Window {
    int64_t taps, stride, dilation, per_row;
};

// Whether it becomes a `Convolution` of the plan; and whether that multiplies by a matrix.
bool computes(LayerKind kind);
bool multiplies(const LayerSpec &l);

// Of layers that convolve.
Window window_of(const LayerSpec &l);

// The layer's weights, packed to m.bytes of memory at `to`. Depth i of the matrix is tap, then channel. Column j is output of
// the row, then channel.
void fill_weights(const Kernels &k, const LayerSpec &l, Matrix &m, char *to);

// Outputs of the offline network for `inputs` inputs, as geometry.Layer.out_length says; −1, open, stays −1.
int64_t output_length(const LayerSpec &l, int64_t inputs);

}  // namespace srvq

// Results that no tile computes, on their way out: joined with a residual, kept as they are, activated for the next layer.
//
// Knows: destinations. Does not know: what made the results. The order is that of epilogue.cuh, without a mask.
#pragma once
#include "activations.cuh"

struct Passed {
    const float *join;      // added to the results, or null
    float *plain;           // the results as they are, or null
    float *active;          // the results activated, or null
    Activated activation;   // of `active`
    int join_stride, plain_stride, active_stride;  // from stream to stream
    int columns;            // of a row of the results
};

// Number `at` of stream b, which lies in column `column`.
DEVICE void pass(const Passed &p, int b, int at, int column, float v) {
    if (p.join) v = add_(v, p.join[b * p.join_stride + at]);
    if (p.plain) p.plain[b * p.plain_stride + at] = v;
    if (p.active) p.active[b * p.active_stride + at] = activated1<true>(p.activation.kind, v, constants1(p.activation, column));
}

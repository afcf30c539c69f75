// The two ends of a plan: what the input goes through before the first convolution, and tanh after a decoder's last one.
//
// Knows: masks, activations, tanh. Does not know: convolutions.
#pragma once
#include "activations.cuh"

struct Spread {
    const float *in;         // [rows][count]
    float *plain;            // as it is inside the signal, for a residual unit; or null
    float *active;           // activated, for the first convolution
    const int *low, *high;   // of each stream: the elements from low on and before high are inside its signal
    Activated activation;
    int count, channels;     // numbers of a stream, and of one of its samples
    int plain_stride, active_stride;
};

DEVICE void spread_thread(const Spread &s) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.y;
    if (i >= s.count) return;
    const float v = i < s.low[b] || i >= s.high[b] ? 0.0f : s.in[static_cast<int64_t>(b) * s.count + i];
    if (s.plain) s.plain[static_cast<int64_t>(b) * s.plain_stride + i] = v;
    s.active[static_cast<int64_t>(b) * s.active_stride + i] =
        activated1<true>(s.activation.kind, v, constants1(s.activation, i % s.channels));
}

struct Finish {
    float *x;
    int64_t count;
};

DEVICE void finish_thread(const Finish &f) {
    const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < f.count) f.x[i] = tanh_of(f.x[i]);
}

// A decoder's last convolution: one column, then the mask and tanh.
//
// Knows: one layer. Does not know: tiles: a tile of one column would idle, so here a thread computes an output, and the
// block's rows come through shared memory.
#pragma once
#include "functions.cuh"

// Stride and dilation 1; depth a multiple of 4.
struct Column {
    const float *in;         // row t of stream b: in + b · in_stride + t · depth
    const float *weights;    // [taps · depth]
    const float *bias;       // [1]
    float *out;
    const int *low, *high;   // as in Conv
    const int *cut;
    int in_stride, taps, depth, rows, out_stride;
    int finish;              // through tanh
};

template <int THREADS> DEVICE void column_block(const Column &c) {
    float *const x = shared_floats();
    const Shared memory = shared_begin();
    const int pitch = c.depth + 4, b = blockIdx.y, t0 = blockIdx.x * THREADS, tid = threadIdx.x;
    const int count = (c.rows - t0 < THREADS ? c.rows - t0 : THREADS) + c.taps - 1, quads = c.depth / 4;
    for (int i = tid; i < count * quads; i += THREADS) {
        const int r = i / quads, k = (i - r * quads) * 4;
        copy16(after(memory, r * pitch + k), c.in + b * c.in_stride + (t0 + r) * c.depth + k);
    }
    float *const w = x + (THREADS + c.taps - 1) * pitch;
    for (int i = tid; i < c.taps * c.depth; i += THREADS) w[i] = c.weights[i];
    copies_close();
    copies_wait<0>();
    __syncthreads();
    const int t = t0 + tid;
    if (t >= c.rows) return;
    float acc = c.bias[0];
    for (int tap = 0; tap < c.taps; ++tap)
#pragma unroll 4
        for (int k = 0; k < c.depth; k += 4) {
            const float4 a = get4(x + (tid + tap) * pitch + k), v = get4(w + tap * c.depth + k);
            acc = fma_(a.x, v.x, acc);
            acc = fma_(a.y, v.y, acc);
            acc = fma_(a.z, v.z, acc);
            acc = fma_(a.w, v.w, acc);
        }
    if (c.cut && *c.cut && (t < c.low[b] || t >= c.high[b])) acc = 0.0f;
    c.out[b * c.out_stride + t] = c.finish ? tanh_of(acc) : acc;
}

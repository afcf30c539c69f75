// What is computed row by row, without a matrix: layer norms, and transposed convolutions of one channel a group.
//
// Knows: rows. Does not know: layers. The order is the CPU's (native/kernels/attention.inl.hpp, native/run/rows.cpp).
#pragma once
#include "passed.cuh"

// (x − mean) / √(variance + epsilon) · weight + bias.
struct Norm {
    const float *in;
    const float *weight, *bias;  // [columns]
    Passed to;
    int in_stride;               // from stream to stream
    int rows, all;               // of each stream, and of all
    float epsilon;
};

// A row's sum: lane i of 16 has added the terms i, i + 16, …; then the later half of these sums is added to the earlier one.
DEVICE float joined_sums(float *sums, int lane, float mine) {
    __syncthreads();  // the last sum has been read
    sums[lane] = mine;
    for (int half = 8; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) sums[lane] = add_(sums[lane], sums[lane + half]);
    }
    __syncthreads();
    return sums[0];
}

// Sixteen threads have a row.
template <int THREADS> DEVICE void norm_block(const Norm &n) {
    const int lane = threadIdx.x % 16, row = blockIdx.x * (THREADS / 16) + threadIdx.x / 16, columns = n.to.columns;
    float *const sums = shared_floats() + threadIdx.x / 16 * 17;
    const int there = row < n.all ? columns : 0, b = row / n.rows, at = (row - b * n.rows) * columns;
    const float *const x = n.in + (there ? b * n.in_stride + at : 0);
    const float count = whole_(columns);
    float sum = 0.0f;
#pragma unroll 4
    for (int c = lane; c < there; c += 16) sum = add_(sum, x[c]);
    const float mean = div_(joined_sums(sums, lane, sum), count);
    sum = 0.0f;
#pragma unroll 4
    for (int c = lane; c < there; c += 16) {
        const float d = sub_(x[c], mean);
        sum = fma_(d, d, sum);
    }
    const float deviation = root_(add_(div_(joined_sums(sums, lane, sum), count), n.epsilon));
    for (int c = lane; c < there; c += 16)
        pass(n.to, b, at + c, c, fma_(div_(sub_(x[c], mean), deviation), n.weight[c], n.bias[c]));
}

// Output r of row t is a chain of two products: of the row before, then of row t.
struct Upsample {
    const float *in;       // stream 0's row before the first
    const float *weights;  // [channels][2 · stride]
    const float *bias;     // [channels]
    Passed to;
    int in_stride, rows, stride;  // rows: of a stream's input
};

DEVICE void upsample_thread(const Upsample &u) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.y, channels = u.to.columns;
    if (i >= u.rows * u.stride * channels) return;
    const int c = i % channels, r = i / channels % u.stride, t = i / channels / u.stride;
    const float *const before = u.in + b * u.in_stride + t * channels + c, *const tap = u.weights + c * 2 * u.stride + r;
    pass(u.to, b, i, c, fma_(before[channels], tap[0], fma_(before[0], tap[u.stride], u.bias[c])));
}

// One frame of an LSTM's layer, after the input's part of all gates is there.
//
// Knows: gates, h and c of streams. Does not know: what made the input's part. The order is the CPU's
// (native/run/recurrence.cpp): the chain of each gate goes on with h of the frame before, unit by unit.
#pragma once
#include "passed.cuh"

struct Lstm {
    const float *gates;    // [frames][4 · units] of each stream: i, f, g, o
    const float *weights;  // [units][4 · units]
    float *hidden;         // [1 + frames][units] of each stream, the first the past's
    float *cell;           // [units] of each stream
    Passed to;             // h
    int gates_stride, hidden_stride, cell_stride;
    int rows, frame, units;
};

// A block has 32 units of R streams: a thread one gate of one unit.
template <int R, int THREADS> DEVICE void lstm_block(const Lstm &l) {
    constexpr int UNITS = THREADS / 4;
    const int tid = threadIdx.x, gate = tid / UNITS, unit = blockIdx.x * UNITS + tid % UNITS, b0 = blockIdx.y * R;
    const int mine = l.rows - b0 < R ? l.rows - b0 : R, wide = 4 * l.units;
    float *const h = shared_floats();      // [units][R]
    float *const sums = h + l.units * R;   // [R][THREADS]
#pragma unroll 4
    for (int i = tid; i < l.units * R; i += THREADS) {
        const int r = i / l.units, j = i - r * l.units;
        h[j * R + r] = r < mine ? l.hidden[(b0 + r) * l.hidden_stride + l.frame * l.units + j] : 0.0f;
    }
    __syncthreads();
    const int column = gate * l.units + (unit < l.units ? unit : 0);
    float acc[R];
#pragma unroll
    for (int r = 0; r < R; ++r) acc[r] = r < mine ? l.gates[(b0 + r) * l.gates_stride + l.frame * wide + column] : 0.0f;
    const float *const w = l.weights + column;
#pragma unroll 32
    for (int j = 0; j < l.units; ++j) {
        const float weight = w[j * wide];
        if constexpr (R % 4 == 0) {
#pragma unroll
            for (int r = 0; r < R; r += 4) {
                const float4 four = get4(h + j * R + r);
                acc[r] = fma_(four.x, weight, acc[r]);
                acc[r + 1] = fma_(four.y, weight, acc[r + 1]);
                acc[r + 2] = fma_(four.z, weight, acc[r + 2]);
                acc[r + 3] = fma_(four.w, weight, acc[r + 3]);
            }
        } else {
#pragma unroll
            for (int r = 0; r < R; ++r) acc[r] = fma_(h[j * R + r], weight, acc[r]);
        }
    }
#pragma unroll
    for (int r = 0; r < R; ++r) sums[r * THREADS + tid] = acc[r];
    __syncthreads();
    for (int i = tid; i < mine * UNITS; i += THREADS) {
        const int r = i / UNITS, u = blockIdx.x * UNITS + i % UNITS, b = b0 + r;
        if (u >= l.units) continue;
        const float *const of = sums + r * THREADS + i % UNITS;
        float *const cell = l.cell + b * l.cell_stride + u;
        const float c = fma_(sigmoid_of(of[UNITS]), *cell, mul_(sigmoid_of(of[0]), tanh_of(of[2 * UNITS])));
        const float y = mul_(sigmoid_of(of[3 * UNITS]), tanh_of(c));
        *cell = c;
        l.hidden[b * l.hidden_stride + (l.frame + 1) * l.units + u] = y;
        pass(l.to, b, l.frame * l.units + u, u, y);
    }
}

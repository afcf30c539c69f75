// Which of each layer's values lie inside each stream's signal: those outside are zeros.
//
// Knows: lengths, delays and rates of layers. Does not know: values. The same as native/run/edges.cpp: value j of a stream
// is output clock · rate + j − delay of its layer, and a layer has as many outputs as the offline network.
#pragma once
#include "device.cuh"

// How a layer's length follows from that of the layer before it, and where its outputs lie in time. Layer 0 is the input.
enum Lengths { kSame = 0, kConvolved = 1, kTransposed = 2 };
struct EdgeLayer {
    int64_t kind;         // of Lengths
    int64_t stride;
    int64_t extra;        // kConvolved: both paddings less k_eff; kTransposed: kernel less both crops
    int64_t rate, delay;  // outputs a hop; how many outputs late
    int64_t channels;
};

struct Edges {
    const int64_t *clock, *length;  // [rows]; length −1: open
    const EdgeLayer *layers;        // [layers]
    int *low, *high;                // [layers][rows]: elements inside a stream's signal
    int *cut;                       // [layers]: whether any stream has elements outside
    int rows, hops;
};

DEVICE int64_t length_after(const EdgeLayer &layer, int64_t length) {
    if (length < 0) return -1;
    if (layer.kind == kConvolved) {
        const int64_t over = length + layer.extra;
        return over < 0 ? 0 : (layer.stride == 1 ? over : over / layer.stride) + 1;
    }
    if (layer.kind == kTransposed) {
        const int64_t all = (length - 1) * layer.stride + layer.extra;
        return length > 0 && all > 0 ? all : 0;
    }
    return length;
}

DEVICE int64_t between(int64_t value, int64_t low, int64_t high) { return value < low ? low : value > high ? high : value; }

// A block has one layer, a thread every THREADS-th row.
template <int THREADS> DEVICE void edges_block(const Edges &e) {
    float *const any = shared_floats();  // [THREADS]
    const int mine = blockIdx.x, tid = threadIdx.x;
    const EdgeLayer layer = e.layers[mine];
    const int64_t count = e.hops * layer.rate;
    bool cut = false;
    for (int b = tid; b < e.rows; b += THREADS) {
        int64_t length = e.length[b];
        for (int i = 0; length >= 0 && i <= mine; ++i) length = length_after(e.layers[i], length);
        const int64_t first = e.clock[b] * layer.rate - layer.delay;
        const int64_t low = between(-first, 0, count), high = length < 0 ? count : between(length - first, low, count);
        e.low[mine * e.rows + b] = static_cast<int>(low * layer.channels);
        e.high[mine * e.rows + b] = static_cast<int>(high * layer.channels);
        cut = cut || low > 0 || high < count;
    }
    any[tid] = cut ? 1.0f : 0.0f;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (tid < half && any[tid + half] > 0.0f) any[tid] = 1.0f;
    }
    if (tid == 0) e.cut[mine] = any[0] > 0.0f ? 1 : 0;
}

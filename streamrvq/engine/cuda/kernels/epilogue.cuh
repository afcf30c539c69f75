// What is done with a convolution's results: mask, join, store plain, activation, store for the next layer.
//
// Knows: the parameters of a convolution, and a tile's results in shared memory. Does not know: how they were computed.
// The order is the CPU's (native/kernels/epilogue.inl.hpp): a masked value plus a residual is the residual.
#pragma once
#include "activations.cuh"

// A convolution as a matrix product: an output row is a window of the input, taps × depth, times the weights. Strided and
// transposed convolutions differ in these numbers alone. At dilation 1 a window is one run of numbers: taps is 1 then.
//
// Row t of stream b begins at in + b · in_stride + t · row_step, and its taps are tap_step apart.
struct Conv {
    const float *in;
    const float *weights;    // [taps · depth, padded][ldw]; what pads a tap's depth is −0, so that 0 · −0 changes no sum
    const float *bias;       // [ldw]
    const float *join;       // added to the results, or null
    float *plain;            // the results as they are, or null
    float *active;           // the results activated, or null
    const int *low, *high;   // of each stream: the elements from low on and before high are inside its signal; or null
    const int *cut;          // whether any stream of this step has others
    Activated activation;    // of `active`; its constants are padded to ldw
    int in_stride, row_step, tap_step;
    int taps, depth, padded; // depth rounded up to whole stages of the tile
    int ldw, columns;        // of a weights row: columns rounded up to 4
    int rows;                // of each stream
    int all;                 // of all streams
    int join_stride, plain_stride, active_stride;
    int quads;               // join, plain and active can be read and written in fours
};

// The same for the tiles that compute more: any activation, and results that are scaled before they are joined.
struct Scaled {
    Conv conv;
    const float *scale;  // [ldw], a factor a column; or null. It is there only where something is joined.
};

DEVICE float inside(float v, int at, int low, int high) { return at < low || at >= high ? 0.0f : v; }
DEVICE float4 inside4(float4 v, int at, int low, int high) {
    return make_float4(inside(v.x, at, low, high), inside(v.y, at + 1, low, high), inside(v.z, at + 2, low, high),
                       inside(v.w, at + 3, low, high));
}

// Results lie in shared memory with neighbouring columns exchanged (Accumulators in conv.cuh).
DEVICE float4 straight(float4 v) { return make_float4(v.y, v.x, v.w, v.z); }

// A row on its way out: of which stream, which of its rows, and how many rows of the tile are before it.
struct Row {
    int b, t, r;
    DEVICE Row(int rows, int m0, int first) : b((m0 + first) / rows), t(m0 + first - b * rows), r(first) {}
    DEVICE void next(int step, int rows) {
        r += step;
        for (t += step; t >= rows; t -= rows) ++b;
    }
};

// A block's results [end][pitch] in shared memory, rows m0 … of all streams, columns n0 … n0 + BN. A thread keeps to its
// columns, so that it loads their constants once, and a warp writes whole lines. BATCH rows at a time: what is joined to all
// of them is asked for before any is waited for. The compiler cannot do that, because what is written might be read again.
// Up to four leave ptxas the registers that it needs for the loops of the large tiles (conv.cuh); eight do not.
//
// MORE: all activations, and `scale`. Their code is long, so two rows at a time.
template <int BN, int THREADS, bool MORE>
DEVICE void epilogue4(const Conv &c, const float *scale, Shared results, int pitch, int m0, int n0, int end) {
    constexpr int QUADS = BN / 4, STEP = THREADS / QUADS, BATCH = MORE ? 2 : 4;
    static_assert(STEP > 0, "each four of columns has a thread");
    const int tid = threadIdx.x, n = n0 + tid % QUADS * 4, first = tid / QUADS;
    const int rows = c.rows, columns = c.columns;
    if (first >= STEP || n >= columns) return;
    const Constants<float4> constants = constants4(c.activation, n);
    const int64_t kind = c.activation.kind;
    const float *const join = c.join;
    float *const plain = c.plain, *const active = c.active;
    const int join_stride = c.join_stride, plain_stride = c.plain_stride, active_stride = c.active_stride;
    const bool cut = c.cut && *c.cut;
    float4 factor = all4(1.0f);
    if constexpr (MORE)
        if (scale) factor = get4(scale + n);
    Row row(rows, m0, first);
#pragma unroll 1
    while (row.r < end) {
        float4 joined[BATCH];
        Row ahead = row;
#pragma unroll
        for (int i = 0; i < BATCH; ++i, ahead.next(STEP, rows))
            if (join && ahead.r < end) joined[i] = get4(join + ahead.b * join_stride + ahead.t * columns + n);
#pragma unroll
        for (int i = 0; i < BATCH; ++i, row.next(STEP, rows)) {
            if (row.r >= end) return;
            const int at = row.t * columns + n;
            float4 v = straight(shared4(after(results, row.r * pitch + tid % QUADS * 4)));
            if (cut) v = inside4(v, at, c.low[row.b], c.high[row.b]);
            if constexpr (MORE) {
                const float4 w = joined[i];
                if (join && scale)
                    v = make_float4(fma_(factor.x, v.x, w.x), fma_(factor.y, v.y, w.y), fma_(factor.z, v.z, w.z), fma_(factor.w, v.w, w.w));
                else if (join) v = make_float4(add_(v.x, w.x), add_(v.y, w.y), add_(v.z, w.z), add_(v.w, w.w));
            } else if (join) v = make_float4(add_(v.x, joined[i].x), add_(v.y, joined[i].y), add_(v.z, joined[i].z), add_(v.w, joined[i].w));
            if (plain) put4(plain + row.b * plain_stride + at, v);
            if (active) put4(active + row.b * active_stride + at, activated4<MORE>(kind, v, constants));
        }
    }
}

// The same for any number of columns and any alignment, number by number.
template <int BN, int THREADS, bool MORE>
DEVICE void epilogue1(const Conv &c, const float *scale, const float *results, int pitch, int m0, int n0, int end) {
    constexpr int STEP = THREADS / BN > 0 ? THREADS / BN : 1, LANES = THREADS / STEP;
    const int tid = threadIdx.x, first = tid / LANES;
    if (first >= STEP) return;
    const bool cut = c.cut && *c.cut;
    for (int j = tid % LANES; j < BN && n0 + j < c.columns; j += LANES) {
        const Constants<float> constants = constants1(c.activation, n0 + j);
        int b = (m0 + first) / c.rows, t = m0 + first - b * c.rows;
        for (int r = first; r < end; r += STEP, t += STEP) {
            for (; t >= c.rows; t -= c.rows) ++b;
            const int at = t * c.columns + n0 + j;
            float v = results[r * pitch + (j ^ 1)];
            if (cut) v = inside(v, at, c.low[b], c.high[b]);
            if (MORE && c.join && scale) v = fma_(scale[n0 + j], v, c.join[b * c.join_stride + at]);
            else if (c.join) v = add_(v, c.join[b * c.join_stride + at]);
            if (c.plain) c.plain[b * c.plain_stride + at] = v;
            if (c.active) c.active[b * c.active_stride + at] = activated1<MORE>(c.activation.kind, v, constants);
        }
    }
}

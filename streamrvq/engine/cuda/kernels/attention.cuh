// Causal attention over a sliding window: queries and keys are turned by their positions, then each query attends.
//
// Knows: rows of q, k and v, and keys and values that are kept. Does not know: what made them. The order is the CPU's
// (native/run/rows.cpp, native/kernels/attention.inl.hpp): a score is one chain over dimensions, an output and the sum of
// the exponentials one chain over keys.
#pragma once
#include "passed.cuh"

struct Rotate {
    const float *in;             // [rows][3 · heads · dim] of each stream: q, k, v
    float *queries;              // [rows][heads · dim] of each stream
    float *kept;                 // stream 0's first new row of keys and values, [2 · heads · dim]
    const float *frequencies;    // [dim / 2]: radians a position
    const int64_t *clock;
    int in_stride, queries_stride, kept_stride;
    int rate, rows, heads, dim;  // rows a hop, and of each stream
};

struct Turn {
    float cos, sin;
};

// Of an angle: reduced by quarter turns in two parts, Taylor's polynomials in double precision, rounded once.
DEVICE Turn turned(float angle) {
    const double exact = static_cast<double>(angle), quarters = round_wide(div_wide(exact, 1.57079632679489661923));
    const double r = fma_wide(-quarters, 6.123233995736766e-17, fma_wide(-quarters, 1.57079632679489661923, exact));
    const double minus = -mul_wide(r, r);
    double s = 0.0, c = 0.0;  // sin r / r − 1 and cos r − 1
#pragma unroll 1
    for (int n = 17; n >= 3; n -= 2) s = mul_wide(div_wide(minus, static_cast<double>(n * (n - 1))), add_wide(1.0, s));
#pragma unroll 1
    for (int n = 18; n >= 2; n -= 2) c = mul_wide(div_wide(minus, static_cast<double>(n * (n - 1))), add_wide(1.0, c));
    const float sine = narrow_(fma_wide(r, s, r)), cosine = narrow_(add_wide(1.0, c));
    switch (static_cast<int64_t>(quarters) & 3) {
        case 0: return {cosine, sine};
        case 1: return {-sine, cosine};
        case 2: return {-cosine, -sine};
        default: return {sine, -cosine};
    }
}

// A thread has a pair of dimensions of one row, of all heads, and its share of the values.
DEVICE void rotate_thread(const Rotate &a) {
    const int half = a.dim / 2, width = a.heads * a.dim, i = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.y;
    if (i >= a.rows * half) return;
    const int t = i / half, d = i - t * half;
    const float *const q = a.in + b * a.in_stride + t * 3 * width, *const k = q + width;
    float *const query = a.queries + b * a.queries_stride + t * width, *const key = a.kept + b * a.kept_stride + t * 2 * width;
    const Turn turn = turned(mul_(whole_(a.clock[b] * a.rate + t), a.frequencies[d]));
    for (int at = d; at < width; at += a.dim) {
        query[at] = fma_(q[at], turn.cos, -mul_(q[at + half], turn.sin));
        query[at + half] = fma_(q[at + half], turn.cos, mul_(q[at], turn.sin));
        key[at] = fma_(k[at], turn.cos, -mul_(k[at + half], turn.sin));
        key[at + half] = fma_(k[at + half], turn.cos, mul_(k[at], turn.sin));
    }
    for (int at = d; at < width; at += half) key[width + at] = k[width + at];
}

struct Attend {
    const float *queries;        // [rows][heads · dim] of each stream
    const float *kept;           // [window − 1 + rows][2 · heads · dim] of each stream: keys, values
    const int64_t *clock;
    Passed to;
    int queries_stride, kept_stride;
    int rate, rows, heads, dim, window;
    float scale;
};

// The keys that a query sees: rows of `kept`.
struct Seen {
    int begin, end;
    DEVICE Seen(const Attend &a, int64_t unseen, int t)
        : begin(static_cast<int>(t > unseen ? t : unseen)), end(a.window + t) {}
};

// A block has Q rows of one stream that follow one another, and one head: what a key and a value are read for.
template <int THREADS, int Q> DEVICE void attend_block(const Attend &a) {
    const int width = a.heads * a.dim, h = blockIdx.x % a.heads, t0 = blockIdx.x / a.heads * Q, b = blockIdx.y;
    const int tid = threadIdx.x, mine = a.rows - t0 < Q ? a.rows - t0 : Q, pitch = a.window + Q - 1;
    float *const query = shared_floats();                    // [dim][Q]
    float *const scores = query + a.dim * Q;                 // [Q][pitch]
    float *const tops = scores + Q * pitch;                  // [Q][THREADS]
    const int64_t unseen = a.window - 1 - a.clock[b] * a.rate;  // kept rows that no signal has filled
    const Seen first(a, unseen, t0), last(a, unseen, t0 + mine - 1);
    const float *const kept = a.kept + b * a.kept_stride + h * a.dim;
    for (int i = tid; i < a.dim * Q; i += THREADS) {
        const int q = i % Q, d = i / Q;
        query[i] = q < mine ? a.queries[b * a.queries_stride + (t0 + q) * width + h * a.dim + d] : 0.0f;
    }
    __syncthreads();

    float most[Q];
#pragma unroll
    for (int q = 0; q < Q; ++q) most[q] = least_();
#pragma unroll 1
    for (int key = first.begin + tid; key < last.end; key += THREADS) {
        const float *const k = kept + key * 2 * width;
        float dot[Q];
#pragma unroll
        for (int q = 0; q < Q; ++q) dot[q] = 0.0f;
        int d = 0;
        if (a.dim % 4 == 0) {
#pragma unroll 4
            for (; d < a.dim; d += 4) {
                const float4 four = get4(k + d);
                const float numbers[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                for (int i = 0; i < 4; ++i)
#pragma unroll
                    for (int q = 0; q < Q; ++q) dot[q] = fma_(query[(d + i) * Q + q], numbers[i], dot[q]);
            }
        }
        for (; d < a.dim; ++d)
#pragma unroll
            for (int q = 0; q < Q; ++q) dot[q] = fma_(query[d * Q + q], k[d], dot[q]);
#pragma unroll
        for (int q = 0; q < Q; ++q) {
            const Seen seen(a, unseen, t0 + q);
            scores[q * pitch + key - first.begin] = dot[q];
            if (key >= seen.begin && key < seen.end && dot[q] > most[q]) most[q] = dot[q];
        }
    }
#pragma unroll
    for (int q = 0; q < Q; ++q) tops[q * THREADS + tid] = most[q];
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        for (int i = tid; i < Q * half; i += THREADS) {
            float *const top = tops + i / half * THREADS + i % half;
            if (top[half] > top[0]) top[0] = top[half];
        }
    }
    __syncthreads();
    const int keys = last.end - first.begin;
    for (int i = tid; i < mine * keys; i += THREADS) {
        float *const score = scores + i / keys * pitch + i % keys;
        const Seen seen(a, unseen, t0 + i / keys);
        const int key = first.begin + i % keys;
        if (key >= seen.begin && key < seen.end) *score = exp_of(mul_(sub_(*score, tops[i / keys * THREADS]), a.scale));
    }
    __syncthreads();

    // A thread has a dimension of two queries. Their windows differ by one key at either end.
    static_assert(Q % 2 == 0, "pairs of queries");
#pragma unroll 1
    for (int i = tid; i < a.dim * (Q / 2); i += THREADS) {
        const int q = i / a.dim * 2, d = i % a.dim;
        if (q >= mine) continue;
        const bool both = q + 1 < mine;
        const Seen one(a, unseen, t0 + q), two(a, unseen, t0 + q + 1);
        const float *const v = kept + width + d, *const w = scores + q * pitch - first.begin, *const x = w + pitch;
        float sum[2] = {0.0f, 0.0f}, y[2] = {0.0f, 0.0f};
        int key = one.begin;
        if (both && two.begin > one.begin) {
            sum[0] = add_(sum[0], w[key]);
            y[0] = fma_(w[key], v[key * 2 * width], y[0]);
            ++key;
        }
        const float *const other = both ? x : w;
#pragma unroll 8
        for (; key < one.end; ++key) {
            const float value = v[key * 2 * width];
            sum[0] = add_(sum[0], w[key]);
            y[0] = fma_(w[key], value, y[0]);
            sum[1] = add_(sum[1], other[key]);
            y[1] = fma_(other[key], value, y[1]);
        }
        const int at = (t0 + q) * width + h * a.dim + d;
        pass(a.to, b, at, h * a.dim + d, div_(y[0], sum[0]));
        if (!both) continue;
        sum[1] = add_(sum[1], x[key]);
        y[1] = fma_(x[key], v[key * 2 * width], y[1]);
        pass(a.to, b, at + width, h * a.dim + d, div_(y[1], sum[1]));
    }
}

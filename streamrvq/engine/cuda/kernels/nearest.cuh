// A quantiser of Euclidean distance: a block takes a few frames through all levels of a chain; and the way back.
//
// Knows: codebooks. Does not know: projections (they are convolutions of one tap). The order is the CPU's
// (native/run/quantize.cpp): of x · e − |e|²/2 the greatest, a chain that begins with its second part; of equals the lowest
// index; then the entry is taken off.
#pragma once
#include "quantise.cuh"

struct Book {
    const float *codebook;  // [size][dim]
    const float *across;    // [dim][size]
    const float *halves;    // [size]: −|entry|²/2
};

struct Nearest {
    const float *z;      // [frames][dim]
    const Book *books;   // of the chain's levels
    int *codes;          // [rows][all][hops]
    float *latents;      // [rows][all · dim][hops], or null
    int frames, hops;    // frames = rows · hops
    int dim, size;
    int count, first, all;  // levels of this chain, the number of its first, levels of all chains
};

// Each thread looks at E entries at a time, for F frames.
template <int F, int E, int THREADS> DEVICE void nearest_block(const Nearest &n) {
    constexpr int GROUPS = 16;
    float *const x = shared_floats();             // [dim][F]: what is left
    // A compiler reads four numbers at once where it wants fewer: what lies behind the last ones must be written by nobody.
    float *const tops = x + (n.dim * F + 3) / 4 * 4;  // [F][THREADS]
    float *const places = tops + F * THREADS;     // [F][THREADS]
    const int tid = threadIdx.x, first = blockIdx.x * F, mine = n.frames - first < F ? n.frames - first : F;
    for (int i = tid; i < F * n.dim; i += THREADS) {
        const int f = i / n.dim, d = i - f * n.dim;
        x[d * F + f] = f < mine ? n.z[(first + f) * n.dim + d] : 0.0f;
    }
    __syncthreads();
    for (int l = 0; l < n.count; ++l) {
        const Book book = n.books[l];
        for (int i = tid; n.latents && i < F * n.dim; i += THREADS) {
            const int f = i / n.dim, d = i - f * n.dim, frame = first + f, b = frame / n.hops, j = frame - b * n.hops;
            if (f < mine) n.latents[((b * n.all + n.first + l) * n.dim + d) * n.hops + j] = x[d * F + f];
        }
        float best[F], place[F];
#pragma unroll
        for (int f = 0; f < F; ++f) {
            best[f] = least_();
            place[f] = whole_(tid);  // whole numbers below 2^24 are exact
        }
#pragma unroll 1
        for (int e = tid; e < n.size; e += E * THREADS) {
            float dot[E][F];
            const float *column[E];
#pragma unroll
            for (int i = 0; i < E; ++i) {
                const int at = e + i * THREADS < n.size ? e + i * THREADS : e;
                column[i] = book.across + at;
#pragma unroll
                for (int f = 0; f < F; ++f) dot[i][f] = book.halves[at];
            }
#pragma unroll 8
            for (int d = 0; d < n.dim; ++d) {
                float left[F];
                if constexpr (F % 4 == 0) {
#pragma unroll
                    for (int f = 0; f < F; f += 4) {
                        const float4 four = get4(x + d * F + f);
                        left[f] = four.x;
                        left[f + 1] = four.y;
                        left[f + 2] = four.z;
                        left[f + 3] = four.w;
                    }
                } else {
#pragma unroll
                    for (int f = 0; f < F; ++f) left[f] = x[d * F + f];
                }
#pragma unroll
                for (int i = 0; i < E; ++i) {
                    const float number = column[i][d * n.size];
#pragma unroll
                    for (int f = 0; f < F; ++f) dot[i][f] = fma_(left[f], number, dot[i][f]);
                }
            }
#pragma unroll
            for (int i = 0; i < E; ++i)
#pragma unroll
                for (int f = 0; f < F; ++f)
                    if (e + i * THREADS < n.size && dot[i][f] > best[f]) {
                        best[f] = dot[i][f];
                        place[f] = whole_(e + i * THREADS);
                    }
        }
#pragma unroll
        for (int f = 0; f < F; ++f) {
            tops[f * THREADS + tid] = best[f];
            places[f * THREADS + tid] = place[f];
        }
        __syncthreads();
        for (int i = tid; i < F * GROUPS; i += THREADS) {  // as in quantise_block
            const int from = i / GROUPS * THREADS + i % GROUPS;
            best_of(tops + from, places + from, THREADS / GROUPS, GROUPS);
        }
        __syncthreads();
        for (int f = tid; f < F; f += THREADS) {
            best_of(tops + f * THREADS, places + f * THREADS, GROUPS, 1);
            const int frame = first + f, b = frame / n.hops, j = frame - b * n.hops;
            if (f < mine) n.codes[(b * n.all + n.first + l) * n.hops + j] = static_cast<int>(places[f * THREADS]);
        }
        __syncthreads();
        for (int i = tid; i < F * n.dim; i += THREADS) {
            const int f = i / n.dim, d = i - f * n.dim;
            x[d * F + f] = sub_(x[d * F + f], book.codebook[static_cast<int>(places[f * THREADS]) * n.dim + d]);
        }
        __syncthreads();
    }
}

// The entries of a chain's codes, added up level by level. A missing level, −1, adds nothing.
struct Total {
    float *z;           // [frames][dim]
    const Book *books;  // of the chain's levels
    const int *codes;   // [rows][all][hops]
    int frames, hops, dim;
    int count, first, all;
    int onto;           // what is in z already; else from 0
};

DEVICE void total_thread(const Total &t) {
    const int f = blockIdx.x, d = blockIdx.y * blockDim.x + threadIdx.x, b = f / t.hops, j = f - b * t.hops;
    if (d >= t.dim) return;
    float z = t.onto ? t.z[f * t.dim + d] : 0.0f;
    for (int l = 0; l < t.count; ++l) {
        const int code = t.codes[(b * t.all + t.first + l) * t.hops + j];
        if (code >= 0) z = add_(z, t.books[l].codebook[code * t.dim + d]);
    }
    t.z[f * t.dim + d] = z;
}

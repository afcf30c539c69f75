// The convolution: a tile of outputs a block, whose depth is walked from first to last.
//
// Knows: the parameters of a convolution, and one tile's sizes. Does not know: what is done with the results (epilogue.cuh).
//
// Every output is one chain of fused multiply-adds, which must never change:
//     acc = bias;  for each tap, for each channel:  acc = fma(x, w, acc)
// So there is one accumulator an output, no block shares an output's depth, and tensor cores are out of the question.
#pragma once
#include "epilogue.cuh"

// BM × BN outputs a block; TM × TN a thread; LM × LN lanes a warp; WM × WN warps. BK depths a stage, of which STAGES are
// being copied or used. VEC: x is copied so many numbers at a time (4 or 1). RAGGED: depth may be no multiple of BK.
template <int TM_, int TN_, int LM_, int LN_, int WM_, int WN_, int BK_, int STAGES_, int VEC_, int RAGGED_, int BLOCKS_,
          int UNROLL_>
struct Tile {
    static constexpr int TM = TM_, TN = TN_, LM = LM_, LN = LN_, WM = WM_, WN = WN_, BK = BK_, STAGES = STAGES_;
    static constexpr int VEC = VEC_, BLOCKS = BLOCKS_, UNROLL = UNROLL_;
    static constexpr bool RAGGED = RAGGED_ != 0;
    static constexpr int BM = TM * LM * WM, BN = TN * LN * WN, THREADS = 32 * WM * WN;
    static constexpr int P = BK + 4;                    // numbers from row to row of x in shared memory
    static constexpr int STAGE = BM * P + BK * BN;      // numbers of a stage
    static constexpr int PITCH = BN + 8;                // from row to row of the results there
    static constexpr int A_ALL = BM * BK / VEC, B_ALL = BK * BN / 4;  // copies a stage, of x and of w
    static constexpr int A_EACH = (A_ALL + THREADS - 1) / THREADS, B_EACH = (B_ALL + THREADS - 1) / THREADS;
    static_assert(LM * LN == 32 && TN % 4 == 0 && BK % 4 == 0, "warps of 32 lanes, fours of columns and of depths");
    static_assert(VEC == 4 || RAGGED, "single numbers are always checked against the depth");
};

// What a thread copies: the same rows of x and the same columns of w in every stage.
template <class T> struct Copier {
    const Conv &c;
    const Shared memory;
    const float *x, *w;
    int a_from[T::A_EACH], b_from[T::B_EACH];
    int left, tap_left, depth;  // stages in all, stages of this tap, and where this tap's next stage begins

    DEVICE Copier(const Conv &conv, Shared shared, int m0, int n0)
        : c(conv), memory(shared), x(conv.in), w(conv.weights), left(conv.taps * (conv.padded / T::BK)),
          tap_left(conv.padded / T::BK), depth(0) {
#pragma unroll
        for (int q = 0; q < T::A_EACH; ++q) {
            const int i = threadIdx.x + q * T::THREADS, r = i / (T::BK / T::VEC), k = i % (T::BK / T::VEC) * T::VEC;
            const int row = m0 + r < c.all ? m0 + r : c.all - 1, b = row / c.rows, t = row - b * c.rows;
            a_from[q] = b * c.in_stride + t * c.row_step + k;
        }
#pragma unroll
        for (int q = 0; q < T::B_EACH; ++q) {
            const int i = threadIdx.x + q * T::THREADS, k = i / (T::BN / 4), n = n0 + i % (T::BN / 4) * 4;
            b_from[q] = k * c.ldw + (n < c.ldw ? n : 0);
        }
    }

    DEVICE void fetch(int stage) {
        if (left > 0) {
            const Shared a = after(memory, stage * T::STAGE), b = after(a, T::BM * T::P);
#pragma unroll
            for (int q = 0; q < T::A_EACH; ++q) {
                const int i = threadIdx.x + q * T::THREADS, r = i / (T::BK / T::VEC), k = i % (T::BK / T::VEC) * T::VEC;
                if (T::A_ALL % T::THREADS != 0 && i >= T::A_ALL) break;
                const Shared to = after(a, r * T::P + k);
                const bool there = !T::RAGGED || depth + k < c.depth;
                if constexpr (!T::RAGGED) copy16(to, x + a_from[q]);
                else if constexpr (T::VEC == 4) copy16_if(to, there ? x + a_from[q] : c.in, there);
                else copy4_if(to, there ? x + a_from[q] : c.in, there);
            }
#pragma unroll
            for (int q = 0; q < T::B_EACH; ++q) {
                const int i = threadIdx.x + q * T::THREADS;
                if (T::B_ALL % T::THREADS != 0 && i >= T::B_ALL) break;
                copy16(after(b, i * 4), w + b_from[q]);
            }
            --left;
            w += T::BK * c.ldw;
            x += T::BK;
            depth += T::BK;
            if (--tap_left == 0) {
                tap_left = c.padded / T::BK;
                x += c.tap_step - c.padded;
                depth = 0;
            }
        }
        copies_close();
    }
};

// One depth: every accumulator of the thread goes on by one fused multiply-add.
template <class T, int K> DEVICE void multiply(float (&acc)[T::TM][T::TN], const float4 (&x)[T::TM], Shared w) {
    float4 v[T::TN / 4];
#pragma unroll
    for (int j = 0; j < T::TN / 4; ++j) v[j] = shared4(after(w, K * T::BN + j * T::LN * 4));
#pragma unroll
    for (int j = 0; j < T::TN / 4; ++j) {
#pragma unroll
        for (int i = 0; i < T::TM; ++i) acc[i][4 * j] = fma_(part<K>(x[i]), v[j].x, acc[i][4 * j]);
#pragma unroll
        for (int i = 0; i < T::TM; ++i) acc[i][4 * j + 1] = fma_(part<K>(x[i]), v[j].y, acc[i][4 * j + 1]);
#pragma unroll
        for (int i = 0; i < T::TM; ++i) acc[i][4 * j + 2] = fma_(part<K>(x[i]), v[j].z, acc[i][4 * j + 2]);
#pragma unroll
        for (int i = 0; i < T::TM; ++i) acc[i][4 * j + 3] = fma_(part<K>(x[i]), v[j].w, acc[i][4 * j + 3]);
    }
}

template <class T> DEVICE void conv_block(const Conv &c) {
    const Shared memory = shared_begin();
    constexpr int TM = T::TM, TN = T::TN, LM = T::LM, LN = T::LN, STAGES = T::STAGES;
    const int tid = threadIdx.x, warp = tid / 32, lane = tid % 32;
    // Neighbouring lanes share a row, lanes two apart a column: shared memory serves such reads of 16 bytes in two goes.
    const int lane_n = LN == 1 ? 0 : LN == 2 ? lane & 1 : LN == 4 ? (lane & 1) | (lane >> 2 & 2) : (lane & 1) | (lane >> 2 & 6);
    const int lane_m = LN == 1 ? lane : LN == 2 ? lane >> 1 : LN == 4 ? (lane >> 1 & 3) | (lane >> 2 & 4) : lane >> 1 & 3;
    const int warp_m = warp % T::WM, warp_n = warp / T::WM;
    const int m0 = blockIdx.x * T::BM, n0 = blockIdx.y * T::BN;
    const int my_row = warp_m * TM * LM + lane_m, my_column = warp_n * TN * LN + lane_n * 4;

    Copier<T> copier(c, memory, m0, n0);
    float acc[TM][TN];
#pragma unroll
    for (int j = 0; j < TN / 4; ++j) {
        const int n = n0 + my_column + j * LN * 4;
        const float4 v = n < c.ldw ? get4(c.bias + n) : all4(0.0f);
#pragma unroll
        for (int i = 0; i < TM; ++i) {
            acc[i][4 * j] = v.x;
            acc[i][4 * j + 1] = v.y;
            acc[i][4 * j + 2] = v.z;
            acc[i][4 * j + 3] = v.w;
        }
    }
#pragma unroll
    for (int s = 0; s < STAGES - 1; ++s) copier.fetch(s);
    int stage = 0, free = STAGES - 1;
    const Shared a_mine = kept(after(memory, my_row * T::P)), b_mine = kept(after(memory, T::BM * T::P + my_column));
    const int chunks = c.taps * (c.padded / T::BK);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        copier.fetch(free);
        Shared a = kept(after(a_mine, stage * T::STAGE)), b = kept(after(b_mine, stage * T::STAGE));
#pragma unroll T::UNROLL
        for (int k = 0; k < T::BK; k += 4) {
            float4 x[TM];
#pragma unroll
            for (int i = 0; i < TM; ++i) x[i] = shared4(after(a, i * LM * T::P));
            multiply<T, 0>(acc, x, b);
            multiply<T, 1>(acc, x, b);
            multiply<T, 2>(acc, x, b);
            multiply<T, 3>(acc, x, b);
            a = kept(after(a, 4));
            b = kept(after(b, 4 * T::BN));
        }
        stage = stage + 1 == STAGES ? 0 : stage + 1;
        free = free + 1 == STAGES ? 0 : free + 1;
    }

    // The results change hands through shared memory: see epilogue4.
    __syncthreads();
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN / 4; ++j)
            shared_put4(after(memory, (my_row + i * LM) * T::PITCH + my_column + j * LN * 4),
                        make_float4(acc[i][4 * j], acc[i][4 * j + 1], acc[i][4 * j + 2], acc[i][4 * j + 3]));
    __syncthreads();
    const int end = c.all - m0 < T::BM ? c.all - m0 : T::BM;
    if (c.quads) epilogue4<T::BN, T::THREADS>(c, memory, T::PITCH, m0, n0, end);
    else epilogue1<T::BN, T::THREADS>(c, shared_floats(), T::PITCH, m0, n0, end);
}

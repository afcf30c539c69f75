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
// EARLY: what the next depths need is read from shared memory while this one is computed (multiply_early).
template <int TM_, int TN_, int LM_, int LN_, int WM_, int WN_, int BK_, int STAGES_, int VEC_, int RAGGED_, int BLOCKS_,
          int UNROLL_, int EARLY_>
struct Tile {
    static constexpr int TM = TM_, TN = TN_, LM = LM_, LN = LN_, WM = WM_, WN = WN_, BK = BK_, STAGES = STAGES_;
    static constexpr int VEC = VEC_, BLOCKS = BLOCKS_, UNROLL = UNROLL_;
    static constexpr bool RAGGED = RAGGED_ != 0, EARLY = EARLY_ != 0;
    static constexpr int BM = TM * LM * WM, BN = TN * LN * WN, THREADS = 32 * WM * WN;
    static constexpr int P = BK + 4;                    // numbers from row to row of x in shared memory
    // Numbers of a stage. Behind it is a row of w that nobody writes: multiply_early reads it, and does not use it.
    static constexpr int STAGE = BM * P + BK * BN + (EARLY ? BN : 0);
    static constexpr int PITCH = BN + 8;                // from row to row of the results there
    static constexpr int A_ALL = BM * BK / VEC, B_ALL = BK * BN / 4;  // copies a stage, of x and of w
    static constexpr int A_EACH = (A_ALL + THREADS - 1) / THREADS, B_EACH = (B_ALL + THREADS - 1) / THREADS;
    static_assert(LM * LN == 32 && TN % 4 == 0 && BK % 4 == 0, "warps of 32 lanes, fours of columns and of depths");
    static_assert(VEC == 4 || RAGGED, "single numbers are always checked against the depth");
};

// The accumulators of a thread: rows LM apart, and in each row fours of columns, LN fours apart.
//
// Column n lies in accumulator n ^ 1, because of the banks of registers. There are two, for even and odd registers, and each
// gives one operand a cycle; an operand that the instruction before had in the same place is kept, and costs nothing. A
// fused multiply-add whose operands come from one bank takes two cycles. The weights of four columns come from shared memory
// into registers of the banks 0, 1, 0, 1, and accumulators leave there the same way, so without the exchange a weight and
// its accumulator share a bank. Inputs are what is kept: see the order of `products`.
template <class T> struct Accumulators {
    float sum[T::TM][T::TN];

    DEVICE void begin(const float *bias, int first, int ldw) {
#pragma unroll
        for (int j = 0; j < T::TN / 4; ++j) {
            const int n = first + j * T::LN * 4;
            const float4 v = n < ldw ? get4(bias + n) : all4(0.0f);
#pragma unroll
            for (int i = 0; i < T::TM; ++i) {
                sum[i][4 * j + 1] = v.x;
                sum[i][4 * j] = v.y;
                sum[i][4 * j + 3] = v.z;
                sum[i][4 * j + 2] = v.w;
            }
        }
    }

    // Row i goes on by one depth. To and fro, so that the last weight of a row is the first of the next, and is kept.
    template <int K> DEVICE void products(int i, const float4 &x, const float4 (&w)[T::TN / 4]) {
#pragma unroll
        for (int m = 0; m < T::TN; ++m) {
            const int n = i % 2 ? T::TN - 1 - m : m;
            const float4 &v = w[n / 4];
            const float weight = n % 4 == 0 ? v.x : n % 4 == 1 ? v.y : n % 4 == 2 ? v.z : v.w;
            sum[i][n ^ 1] = fma_(part<K>(x), weight, sum[i][n ^ 1]);
        }
    }

    // Into shared memory, exchanged as they are: `straight` undoes it.
    DEVICE void put(Shared to, int pitch) const {
#pragma unroll
        for (int i = 0; i < T::TM; ++i)
#pragma unroll
            for (int j = 0; j < T::TN / 4; ++j)
                shared_put4(after(to, i * T::LM * pitch + j * T::LN * 4),
                            make_float4(sum[i][4 * j], sum[i][4 * j + 1], sum[i][4 * j + 2], sum[i][4 * j + 3]));
    }
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

// Four depths: x and w are read, then used.
template <class T, int PITCH> DEVICE void multiply(Accumulators<T> &acc, Shared a, Shared b) {
#pragma unroll T::UNROLL
    for (int k = 0; k < T::BK; k += 4) {
        float4 x[T::TM];
#pragma unroll
        for (int i = 0; i < T::TM; ++i) x[i] = shared4(after(a, i * T::LM * PITCH));
        auto depth = [&](auto which) {
            constexpr int K = decltype(which)::value;
            float4 w[T::TN / 4];
#pragma unroll
            for (int j = 0; j < T::TN / 4; ++j) w[j] = shared4(after(b, K * T::BN + j * T::LN * 4));
#pragma unroll
            for (int i = 0; i < T::TM; ++i) acc.template products<K>(i, x[i], w);
        };
        depth(Index<0>{});
        depth(Index<1>{});
        depth(Index<2>{});
        depth(Index<3>{});
        a = kept(after(a, 4));
        b = kept(after(b, 4 * T::BN));
    }
}

// The same, where a depth's weights are read while the one before is computed. A row's inputs are not needed any more after
// the last of its four depths: the next four go into the same registers then. What it reads behind the last depth
// is not used: four numbers behind each row of x, and a row behind w. Nobody writes either, so it is no race.
template <class T, int PITCH> DEVICE void multiply_early(Accumulators<T> &acc, Shared a, Shared b) {
    float4 x[T::TM], w[2][T::TN / 4];
#pragma unroll
    for (int j = 0; j < T::TN / 4; ++j) w[0][j] = shared4(after(b, j * T::LN * 4));
#pragma unroll
    for (int i = 0; i < T::TM; ++i) x[i] = shared4(after(a, i * T::LM * PITCH));
#pragma unroll T::UNROLL
    for (int k = 0; k < T::BK; k += 4) {
        auto depth = [&](auto which) {
            constexpr int K = decltype(which)::value;
#pragma unroll
            for (int i = 0; i < T::TM; ++i) {
                acc.template products<K>(i, x[i], w[K % 2]);
                if constexpr (K == 3) x[i] = shared4(after(a, i * T::LM * PITCH + 4));
                if (i < T::TN / 4) w[1 - K % 2][i] = shared4(after(b, (K + 1) * T::BN + i * T::LN * 4));
            }
        };
        static_assert(T::TN / 4 <= T::TM, "a row for every four of weights");
        depth(Index<0>{});
        depth(Index<1>{});
        depth(Index<2>{});
        depth(Index<3>{});
        a = kept(after(a, 4));
        b = kept(after(b, 4 * T::BN));
    }
}

// A stage: BK depths of x, which lie at a with PITCH from row to row, and of w at b.
template <class T, int PITCH> DEVICE void multiply_stage(Accumulators<T> &acc, Shared a, Shared b) {
    if constexpr (T::EARLY) multiply_early<T, PITCH>(acc, a, b);
    else multiply<T, PITCH>(acc, a, b);
}

// Where a thread's accumulators lie in its block's tile. Neighbouring lanes share a row, lanes two apart a column: shared
// memory serves such reads of 16 bytes in two goes, not four.
template <class T> struct Corner {
    int row, column;
    DEVICE Corner() {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        const int n = T::LN == 1 ? 0 : T::LN == 2 ? lane & 1 : T::LN == 4 ? (lane & 1) | (lane >> 2 & 2) : (lane & 1) | (lane >> 2 & 6);
        const int m = T::LN == 1 ? lane : T::LN == 2 ? lane >> 1 : T::LN == 4 ? (lane >> 1 & 3) | (lane >> 2 & 4) : lane >> 1 & 3;
        row = warp % T::WM * T::TM * T::LM + m;
        column = warp / T::WM * T::TN * T::LN + n * 4;
    }
};

// All depths of a convolution. Afterwards shared memory may be used for something else.
template <class T> DEVICE void convolve(const Conv &c, Shared memory, int m0, int n0, const Corner<T> &mine, Accumulators<T> &acc) {
    Copier<T> copier(c, memory, m0, n0);
    acc.begin(c.bias, n0 + mine.column, c.ldw);
#pragma unroll
    for (int s = 0; s < T::STAGES - 1; ++s) copier.fetch(s);
    int stage = 0, free = T::STAGES - 1;
    const Shared a_mine = kept(after(memory, mine.row * T::P)), b_mine = kept(after(memory, T::BM * T::P + mine.column));
    const int chunks = c.taps * (c.padded / T::BK);
#pragma unroll 1
    for (int chunk = 0; chunk < chunks; ++chunk) {
        copies_wait<T::STAGES - 2>();
        __syncthreads();
        copier.fetch(free);
        multiply_stage<T, T::P>(acc, kept(after(a_mine, stage * T::STAGE)), kept(after(b_mine, stage * T::STAGE)));
        stage = stage + 1 == T::STAGES ? 0 : stage + 1;
        free = free + 1 == T::STAGES ? 0 : free + 1;
    }
    __syncthreads();
}

// The results change hands through shared memory: see epilogue4.
template <class T, bool MORE>
DEVICE void leave(const Conv &c, const float *scale, Shared memory, int m0, int n0, const Corner<T> &mine, const Accumulators<T> &acc) {
    acc.put(after(memory, mine.row * T::PITCH + mine.column), T::PITCH);
    __syncthreads();
    const int end = c.all - m0 < T::BM ? c.all - m0 : T::BM;
    if (c.quads) epilogue4<T::BN, T::THREADS, MORE>(c, scale, memory, T::PITCH, m0, n0, end);
    else epilogue1<T::BN, T::THREADS, MORE>(c, scale, shared_floats(), T::PITCH, m0, n0, end);
}

template <class T, bool MORE> DEVICE void conv_block(const Conv &c, const float *scale) {
    const Shared memory = shared_begin();
    const Corner<T> mine;
    const int m0 = blockIdx.x * T::BM, n0 = blockIdx.y * T::BN;
    Accumulators<T> acc;
    convolve<T>(c, memory, m0, n0, mine, acc);
    leave<T, MORE>(c, scale, memory, m0, n0, mine, acc);
}

// The residual vector quantiser: a block takes a few frames through all levels.
//
// Knows: the levels' numbers. Does not know: what made the latents. The order is the CPU's (native/run/quantize.cpp): a
// projection is one chain from the bias; squares and dot products go in index order; of equal cosines the lowest index
// wins; an entry is taken off by its negated matrix, z = (chain from −bias with −weights) + z.
//
// The projection is what takes the time: a chain as long as the latents are wide, one for every frame and dimension. Its
// weights therefore come through shared memory, in slabs of channels that all threads copy while older ones are used. They
// do not depend on the data, so the next level's first slabs are on their way during a level's search.
#pragma once
#include "levels.cuh"

struct Quantise {
    const float *z;       // [frames][latent]
    const Level *levels;
    int *codes;           // [rows][count][hops]
    float *latents;       // [rows][count · dim][hops], or null
    int frames, hops;     // frames = rows · hops
    int latent, dim, size, count;
    int slab;             // channels of a slab: a multiple of 4
};

// F frames a block. DIM: dimensions of an entry, or 0 where they are only known at run time.
template <int F_, int DIM_, int THREADS_> struct Quantiser {
    static constexpr int F = F_, DIM = DIM_, THREADS = THREADS_, SLABS = 4, GROUPS = 16;
    static_assert(THREADS % GROUPS == 0);
};

// The places of everything in a block's shared memory, in numbers. quantizer.py computes the same total.
struct QuantiseLayout {
    int pitch, slab, z, slabs, vectors, unit, entries, tops, places;
    DEVICE QuantiseLayout(const Quantise &q, int frames, int threads, int count) {
        // Whole fours: a compiler reads four numbers at once where it wants fewer, and nobody may write the others then.
        const int each = (frames * q.dim + 3) / 4 * 4;
        pitch = (q.latent + 3) / 4 * 4;
        slab = q.slab * q.dim;
        z = 0;
        slabs = z + frames * pitch;
        vectors = slabs + count * slab;
        unit = vectors + each;
        entries = unit + each;
        tops = entries + each;
        places = tops + frames * threads;  // [frames][threads]
    }
};

// All slabs of all levels, one after another.
template <class K> struct Slabs {
    const Quantise &q;
    const Shared memory;
    const int floats, of_level;  // of a slab, and slabs of a level
    int level, next, stage;

    DEVICE Slabs(const Quantise &quantise, Shared shared)
        : q(quantise), memory(shared), floats(quantise.slab * quantise.dim),
          of_level((quantise.latent + quantise.slab - 1) / quantise.slab), level(0), next(0), stage(0) {}

    DEVICE void fetch() {
        if (level < q.count) {
            const int begin = next * floats, left = q.latent * q.dim - begin, quads = ((left < floats ? left : floats) + 3) / 4;
            const float *const from = q.levels[level].in_weight + begin;
            const Shared to = after(memory, stage * floats);
            for (int i = threadIdx.x; i < quads; i += K::THREADS) copy16(after(to, 4 * i), from + 4 * i);
            if (++next == of_level) {
                next = 0;
                ++level;
            }
        }
        copies_close();
        stage = stage + 1 == K::SLABS ? 0 : stage + 1;
    }
};

// vectors[f][d]: bias, then channel by channel. Each of the first F · dim threads goes on with its own chain, slab by slab.
template <class K> DEVICE void project_in(const Quantise &q, const Level &level, int l, float *memory, const QuantiseLayout &at,
                                          Slabs<K> &slabs, int &stage, int first, int mine) {
    const int dim = K::DIM ? K::DIM : q.dim, chains = K::F * dim, tid = threadIdx.x;
    float *const vectors = memory + at.vectors;
    // More chains than threads: the unfinished sums wait in shared memory between slabs.
    for (int i = tid; i < chains; i += K::THREADS) vectors[i] = level.in_bias[i % dim];
    for (int begin = 0; begin < q.latent; begin += q.slab) {
        copies_wait<K::SLABS - 2>();
        __syncthreads();
        slabs.fetch();
        const int count = q.latent - begin < q.slab ? q.latent - begin : q.slab;
        for (int i = tid; i < chains; i += K::THREADS) {
            const float *const x = memory + at.z + i / dim * at.pitch + begin;
            const float *const w = memory + at.slabs + stage * at.slab + i % dim;
            float acc = vectors[i];
            int c = 0;
#pragma unroll 8
            for (; c + 4 <= count; c += 4) {
                const float4 v = get4(x + c);
                acc = fma_(v.x, w[c * dim], acc);
                acc = fma_(v.y, w[(c + 1) * dim], acc);
                acc = fma_(v.z, w[(c + 2) * dim], acc);
                acc = fma_(v.w, w[(c + 3) * dim], acc);
            }
            for (; c < count; ++c) acc = fma_(x[c], w[c * dim], acc);
            vectors[i] = acc;
        }
        stage = stage + 1 == K::SLABS ? 0 : stage + 1;
    }
    for (int i = tid; q.latents && i < chains; i += K::THREADS) {
        const int f = i / dim, d = i % dim, frame = first + f, b = frame / q.hops, j = frame - b * q.hops;
        if (f < mine) q.latents[((b * q.count + l) * dim + d) * q.hops + j] = vectors[i];
    }
}

// The best of this thread's entries for each frame, in increasing order, so that the lowest index of equals stays.
template <class K> DEVICE void search(const Quantise &q, const Level &level, float *memory, const QuantiseLayout &at) {
    const int dim = K::DIM ? K::DIM : q.dim, tid = threadIdx.x;
    const float *const unit = memory + at.unit;
    float best[K::F], place[K::F];
#pragma unroll
    for (int f = 0; f < K::F; ++f) {
        best[f] = least_();
        place[f] = static_cast<float>(tid);  // whole numbers below 2^24 are exact
    }
#pragma unroll 1
    for (int e = tid; e < q.size; e += K::THREADS) {
        float dot[K::F];
#pragma unroll
        for (int f = 0; f < K::F; ++f) dot[f] = 0.0f;
        if constexpr (K::DIM == 8) {
            const float4 low = get4(level.unit + e * 8), high = get4(level.unit + e * 8 + 4);
            const float entry[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
            for (int d = 0; d < 8; ++d)
#pragma unroll
                for (int f = 0; f < K::F; ++f) dot[f] = fma_(unit[f * 8 + d], entry[d], dot[f]);
        } else {
            for (int d = 0; d < dim; ++d) {
                const float entry = level.unit[e * dim + d];
#pragma unroll
                for (int f = 0; f < K::F; ++f) dot[f] = fma_(unit[f * dim + d], entry, dot[f]);
            }
        }
#pragma unroll
        for (int f = 0; f < K::F; ++f)
            if (dot[f] > best[f]) {
                best[f] = dot[f];
                place[f] = static_cast<float>(e);
            }
    }
#pragma unroll
    for (int f = 0; f < K::F; ++f) {
        memory[at.tops + f * K::THREADS + tid] = best[f];
        memory[at.places + f * K::THREADS + tid] = place[f];
    }
}

// The best of `count` candidates, `step` apart, into the first of them: the greatest, of equals that of the lowest index.
// The answer is the same in any order.
DEVICE void best_of(float *tops, float *places, int count, int step) {
    float top = tops[0], place = places[0];
    for (int i = 1; i < count; ++i) {
        const float other = tops[i * step], where = places[i * step];
        if (other > top || (other == top && where < place)) {
            top = other;
            place = where;
        }
    }
    tops[0] = top;
    places[0] = place;
}

template <class K> DEVICE void quantise_block(const Quantise &q) {
    constexpr int F = K::F, THREADS = K::THREADS, GROUPS = K::GROUPS;
    float *const memory = shared_floats();
    const QuantiseLayout at(q, F, THREADS, K::SLABS);
    const int dim = K::DIM ? K::DIM : q.dim, tid = threadIdx.x;
    const int first = blockIdx.x * F, mine = q.frames - first < F ? q.frames - first : F;
    float *const z = memory + at.z, *const vectors = memory + at.vectors, *const entries = memory + at.entries;
    float *const tops = memory + at.tops, *const places = memory + at.places;

    Slabs<K> slabs(q, after(shared_begin(), at.slabs));
    int stage = 0;
    for (int s = 0; s < K::SLABS - 1; ++s) slabs.fetch();
    for (int i = tid; i < F * at.pitch; i += THREADS) {
        const int f = i / at.pitch, c = i - f * at.pitch;
        z[i] = f < mine && c < q.latent ? q.z[(first + f) * q.latent + c] : 0.0f;
    }
    for (int l = 0; l < q.count; ++l) {
        const Level level = q.levels[l];
        project_in<K>(q, level, l, memory, at, slabs, stage, first, mine);
        __syncthreads();
        for (int f = tid; f < F; f += THREADS) {
            const float *const x = vectors + f * dim;
            float squares = 0.0f;
            for (int d = 0; d < dim; ++d) squares = fma_(x[d], x[d], squares);
            const float length = root_(squares), least = 1e-12f, scale = length > least ? length : least;
            for (int d = 0; d < dim; ++d) memory[at.unit + f * dim + d] = div_(x[d], scale);
        }
        __syncthreads();
        search<K>(q, level, memory, at);
        __syncthreads();
        // Group g of a frame has the candidates of the threads g, g + GROUPS, …
        for (int i = tid; i < F * GROUPS; i += THREADS) {
            const int from = i / GROUPS * THREADS + i % GROUPS;
            best_of(tops + from, places + from, THREADS / GROUPS, GROUPS);
        }
        __syncthreads();
        for (int f = tid; f < F; f += THREADS) {
            best_of(tops + f * THREADS, places + f * THREADS, GROUPS, 1);
            const int frame = first + f, b = frame / q.hops, j = frame - b * q.hops;
            if (f < mine) q.codes[(b * q.count + l) * q.hops + j] = static_cast<int>(places[f * THREADS]);
        }
        if (l + 1 == q.count) break;
        __syncthreads();
        for (int i = tid; i < F * dim; i += THREADS)
            entries[i] = level.codebook[static_cast<int>(places[i / dim * THREADS]) * dim + i % dim];
        __syncthreads();
        for (int c = tid; c < q.latent; c += THREADS) {
            float acc[F];
#pragma unroll
            for (int f = 0; f < F; ++f) acc[f] = -level.out_bias[c];
#pragma unroll 4
            for (int d = 0; d < dim; ++d) {
                const float w = -level.out_weight[d * q.latent + c];
#pragma unroll
                for (int f = 0; f < F; ++f) acc[f] = fma_(entries[f * dim + d], w, acc[f]);
            }
#pragma unroll
            for (int f = 0; f < F; ++f) z[f * at.pitch + c] = add_(acc[f], z[f * at.pitch + c]);
        }
        __syncthreads();
    }
    copies_wait<0>();
}

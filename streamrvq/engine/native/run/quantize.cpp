#include "run/quantize.hpp"

#include <algorithm>

namespace srvq {

namespace {

// to [frames][columns] = join + bias + in [frames][depth] · m, or without join.
void project(const Kernels &k, const Matrix &m, const float *in, int64_t frames, const float *join, float *to) {
    Conv c{};
    c.in = in;
    c.row_step = c.tap_step = m.depth;
    c.taps = 1;
    c.depth = m.depth;
    c.weights = m.data;
    c.bias = m.bias.as();
    c.columns = m.columns;
    c.rows = frames;
    c.join = join;
    c.out.plain = to;
    k.conv(c, {0, frames, 0, m.blocks(k), false, {}});
}

// to [frames][dim] plus or minus each frame's entry.
void add_entries(const Quantizer &q, const QuantizerLevel &level, const int64_t *codes, int64_t frames, float sign, float *to) {
    for (int64_t f = 0; f < frames; ++f)
        for (int64_t d = 0; d < q.dim; ++d) to[f * q.dim + d] += sign * level.codebook.as()[codes[f] * q.dim + d];
}

// Euclidean chains: each begins with the latents, or their projection.
void quantize_chains(const Kernels &k, const Quantizer &q, const float *z, int64_t frames, int64_t levels, int64_t *codes,
                     float *latents, const QuantizerScratch &layout, char *scratch) {
    float *const rest = layout.rest.in(scratch);
    int64_t i = 0;
    for (const QuantizerChain &chain : q.chains) {
        const int64_t end = std::min(levels, i + chain.levels);
        if (i == end) return;
        if (chain.project) {
            project(k, *chain.project, z, frames, nullptr, rest);
        } else {
            std::copy(z, z + frames * q.dim, rest);
        }
        for (; i < end; ++i) {
            const QuantizerLevel &level = q.levels[static_cast<size_t>(i)];
            k.search({rest, frames, q.dim, q.size, level.entries.as(), level.bias.as(), layout.unit.in(scratch), codes + i * frames});
            for (int64_t f = 0; latents && f < frames; ++f)
                std::copy(rest + f * q.dim, rest + (f + 1) * q.dim, latents + (f * levels + i) * q.dim);
            if (i + 1 < end) add_entries(q, level, codes + i * frames, frames, -1.0f, rest);
        }
    }
}

// The sum of each chain's entries, projected back, added up.
void dequantize_chains(const Kernels &k, const Quantizer &q, const int64_t *codes, int64_t levels, float *z,
                       const QuantizerScratch &layout, char *scratch) {
    int64_t i = 0;
    for (const QuantizerChain &chain : q.chains) {
        const int64_t end = std::min(levels, i + chain.levels);
        float *const total = chain.project ? layout.rest.in(scratch) : z;
        if (chain.project) std::fill(total, total + q.dim, 0.0f);
        bool any = false;
        for (; i < end; ++i) {
            if (codes[i] < 0) continue;
            add_entries(q, q.levels[static_cast<size_t>(i)], codes + i, 1, 1.0f, total);
            any = true;
        }
        if (chain.project && any) project(k, *chain.project, total, 1, z, z);
    }
}

}  // namespace

void quantize(const Kernels &k, const Quantizer &q, float *z, int64_t frames, int64_t levels, int64_t *codes,
              float *latents, const QuantizerScratch &layout, char *scratch) {
    if (q.euclidean) return quantize_chains(k, q, z, frames, levels, codes, latents, layout, scratch);
    float *const vectors = layout.vectors.in(scratch), *const entries = layout.entries.in(scratch);
    for (int64_t i = 0; i < levels; ++i) {
        const QuantizerLevel &level = q.levels[static_cast<size_t>(i)];
        int64_t *const chosen = codes + i * frames;
        project(k, level.project_in, z, frames, nullptr, vectors);
        k.search({vectors, frames, q.dim, q.size, level.entries.as(), nullptr, layout.unit.in(scratch), chosen});
        for (int64_t f = 0; latents && f < frames; ++f)
            std::copy(vectors + f * q.dim, vectors + (f + 1) * q.dim, latents + (f * levels + i) * q.dim);
        if (i + 1 == levels) break;
        for (int64_t f = 0; f < frames; ++f) {
            const float *const entry = level.codebook.as() + chosen[f] * q.dim;
            std::copy(entry, entry + q.dim, entries + f * q.dim);
        }
        project(k, level.project_out, entries, frames, z, z);
    }
}

// Frames go one by one: one that lacks a level keeps its bits.
void dequantize(const Kernels &k, const Quantizer &q, const int64_t *codes, int64_t levels, float *z,
                const QuantizerScratch &layout, char *scratch) {
    float *const entry = layout.entries.in(scratch);
    std::fill(z, z + q.latent, 0.0f);
    if (q.euclidean) return dequantize_chains(k, q, codes, levels, z, layout, scratch);
    for (int64_t i = 0; i < levels; ++i) {
        if (codes[i] < 0) continue;
        const QuantizerLevel &level = q.levels[static_cast<size_t>(i)];
        const float *const from = level.codebook.as() + codes[i] * q.dim;
        std::copy(from, from + q.dim, entry);
        project(k, level.project_out, entry, 1, z, z);
    }
}

}  // namespace srvq

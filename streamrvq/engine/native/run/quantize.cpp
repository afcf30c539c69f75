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

}  // namespace

void quantize(const Kernels &k, const Quantizer &q, float *z, int64_t frames, int64_t levels, int64_t *codes,
              float *latents, const QuantizerScratch &layout, char *scratch) {
    float *const vectors = layout.vectors.in(scratch), *const entries = layout.entries.in(scratch);
    for (int64_t i = 0; i < levels; ++i) {
        const QuantizerLevel &level = q.levels[static_cast<size_t>(i)];
        int64_t *const chosen = codes + i * frames;
        project(k, level.project_in, z, frames, nullptr, vectors);
        k.search({vectors, frames, q.dim, q.size, level.normalized.as(), layout.unit.in(scratch), chosen});
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
    for (int64_t i = 0; i < levels; ++i) {
        if (codes[i] < 0) continue;
        const QuantizerLevel &level = q.levels[static_cast<size_t>(i)];
        const float *const from = level.codebook.as() + codes[i] * q.dim;
        std::copy(from, from + q.dim, entry);
        project(k, level.project_out, entry, 1, z, z);
    }
}

}  // namespace srvq

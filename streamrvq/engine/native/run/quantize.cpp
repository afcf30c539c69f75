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

}  // namespace

void quantize(const Kernels &k, const Quantizer &q, float *z, int64_t frames, int64_t levels, int64_t *codes,
              float *latents, const QuantizerScratch &layout, char *scratch) {
    float *const entries = layout.entries.in(scratch);
    for (int64_t i = 0; i < levels; ++i) {
        const QuantizerLevel &level = q.levels[static_cast<size_t>(i)];
        int64_t *const chosen = codes + i * frames;
        float *const vectors = q.euclidean ? z : layout.vectors.in(scratch);
        if (!q.euclidean) project(k, level.project_in, z, frames, nullptr, vectors);
        const float *const bias = q.euclidean ? level.bias.as() : nullptr;
        k.search({vectors, frames, q.dim, q.size, level.entries.as(), bias, layout.unit.in(scratch), chosen});
        for (int64_t f = 0; latents && f < frames; ++f)
            std::copy(vectors + f * q.dim, vectors + (f + 1) * q.dim, latents + (f * levels + i) * q.dim);
        if (i + 1 == levels) break;
        if (q.euclidean) {
            add_entries(q, level, chosen, frames, -1.0f, z);
            continue;
        }
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
        if (q.euclidean) {
            add_entries(q, level, codes + i, 1, 1.0f, z);
            continue;
        }
        const float *const from = level.codebook.as() + codes[i] * q.dim;
        std::copy(from, from + q.dim, entry);
        project(k, level.project_out, entry, 1, z, z);
    }
}

}  // namespace srvq

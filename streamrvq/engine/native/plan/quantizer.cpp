#include "plan/quantizer.hpp"

#include <algorithm>
#include <cmath>

namespace srvq {

Quantizer::Quantizer(const Kernels &k, const LevelSpec *specs, int64_t levels, int64_t size, int64_t dim, int64_t latent)
    : kernels_(k), size_(size), dim_(dim), latent_(latent) {
    for (int64_t i = 0; i < levels; ++i) {
        const LevelSpec &s = specs[i];
        Level level;
        level.in = pack(
            k, latent, dim, [&](int64_t c, int64_t d) { return s.in_weight[d * latent + c]; },
            [&](int64_t d) { return s.in_bias[d]; });
        const auto out = [&](int64_t d, int64_t c) { return s.out_weight[c * dim + d]; };
        level.out = pack(k, dim, latent, out, [&](int64_t c) { return s.out_bias[c]; });
        // Negating every number of a chain of fused multiply-adds negates its result, bit for bit.
        level.out_negative = pack(
            k, dim, latent, [&](int64_t d, int64_t c) { return -out(d, c); },
            [&](int64_t c) { return -s.out_bias[c]; });
        level.book = Memory(static_cast<size_t>(size * dim) * sizeof(float));
        std::copy(s.book, s.book + size * dim, level.book.as());
        const int64_t whole = round_up(size, k.width);
        level.unit = Memory(static_cast<size_t>(whole * dim) * sizeof(float));
        for (int64_t e = 0; e < whole; ++e) {  // in double precision, rounded once
            double squares = 0.0;
            for (int64_t d = 0; e < size && d < dim; ++d) {
                const double x = s.book[e * dim + d];
                squares += x * x;
            }
            const double length = std::max(std::sqrt(squares), 1e-12);
            for (int64_t d = 0; d < dim; ++d)
                level.unit.as()[(e / k.width * dim + d) * k.width + e % k.width] =
                    e < size ? static_cast<float>(s.book[e * dim + d] / length) : 0.0f;
        }
        levels_.push_back(std::move(level));
    }
}

// to [frames][columns] = join + in [frames][depth] · m + bias, or without join.
void Quantizer::project(const Matrix &m, const float *in, int64_t frames, const float *join, float *to) const {
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
    kernels_.conv(c, {0, frames, 0, m.blocks(kernels_), false, {}});
}

void Quantizer::encode(float *z, int64_t frames, int64_t levels, int64_t *codes, float *inner, float *scratch) const {
    float *const vectors = scratch, *const entries = scratch + kFrames * dim_, *const unit = entries + kFrames * dim_;
    for (int64_t i = 0; i < levels; ++i) {
        const Level &level = levels_[static_cast<size_t>(i)];
        int64_t *const mine = codes + i * frames;
        project(level.in, z, frames, nullptr, vectors);
        kernels_.search({vectors, frames, dim_, size_, level.unit.as(), unit, mine});
        for (int64_t f = 0; inner && f < frames; ++f)
            std::copy(vectors + f * dim_, vectors + (f + 1) * dim_, inner + (f * levels + i) * dim_);
        if (i + 1 == levels) break;
        for (int64_t f = 0; f < frames; ++f)
            std::copy(level.book.as() + mine[f] * dim_, level.book.as() + (mine[f] + 1) * dim_, entries + f * dim_);
        project(level.out_negative, entries, frames, z, z);
    }
}

void Quantizer::decode(const int64_t *codes, int64_t frames, int64_t levels, float *z, float *scratch) const {
    std::fill(z, z + frames * latent_, 0.0f);
    for (int64_t i = 0; i < levels; ++i) {
        const Level &level = levels_[static_cast<size_t>(i)];
        for (int64_t f = 0; f < frames; ++f) {  // one by one: a frame that lacks the level keeps its bits
            const int64_t code = codes[i * frames + f];
            if (code < 0) continue;
            std::copy(level.book.as() + code * dim_, level.book.as() + (code + 1) * dim_, scratch);
            project(level.out, scratch, 1, z + f * latent_, z + f * latent_);
        }
    }
}

}  // namespace srvq

#include "plan/quantizer.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace srvq {

namespace {

// Entries in blocks, brought to length 1 in double precision and rounded once, or as they are. The last block is padded with
// zeros.
Memory in_blocks(const Kernels &k, const float *codebook, int64_t size, int64_t dim, bool unit) {
    const int64_t whole = round_up(size, k.width);
    Memory memory(static_cast<size_t>(whole * dim) * sizeof(float));
    for (int64_t e = 0; e < whole; ++e) {
        double squares = 0.0;
        for (int64_t d = 0; e < size && d < dim; ++d) {
            const double x = codebook[e * dim + d];
            squares += x * x;
        }
        const double length = unit ? std::max(std::sqrt(squares), 1e-12) : 1.0;
        for (int64_t d = 0; d < dim; ++d)
            memory.as()[(e / k.width * dim + d) * k.width + e % k.width] =
                e < size ? static_cast<float>(codebook[e * dim + d] / length) : 0.0f;
    }
    return memory;
}

// −|entry|²/2, summed in double precision in order, rounded once.
Memory half_squares(const Kernels &k, const float *codebook, int64_t size, int64_t dim) {
    return pack_columns(k, size, [&](int64_t e) {
        double squares = 0.0;
        for (int64_t d = 0; d < dim; ++d) squares += static_cast<double>(codebook[e * dim + d]) * codebook[e * dim + d];
        return static_cast<float>(-squares / 2.0);
    });
}

QuantizerLevel pack_level(const Kernels &k, Program program, const LevelSpec &s, const QuantizerSpec &q) {
    QuantizerLevel level;
    level.codebook = Memory(static_cast<size_t>(q.size * q.dim) * sizeof(float));
    std::copy(s.codebook, s.codebook + q.size * q.dim, level.codebook.as());
    if (q.euclidean) {
        if (program == Program::decode) return level;
        level.entries = in_blocks(k, s.codebook, q.size, q.dim, false);
        level.bias = half_squares(k, s.codebook, q.size, q.dim);
        return level;
    }
    const auto out = [&](int64_t d, int64_t c) { return s.out_weight[c * q.dim + d]; };
    if (program == Program::decode) {
        level.project_out = pack_matrix(k, q.dim, q.latent, out, [&](int64_t c) { return s.out_bias[c]; });
        return level;
    }
    // Negating every number of a chain of fused multiply-adds negates its result, bit for bit.
    level.project_out = pack_matrix(
        k, q.dim, q.latent, [&](int64_t d, int64_t c) { return -out(d, c); }, [&](int64_t c) { return -s.out_bias[c]; });
    level.project_in = pack_matrix(
        k, q.latent, q.dim, [&](int64_t c, int64_t d) { return s.in_weight[d * q.latent + c]; },
        [&](int64_t d) { return s.in_bias[d]; });
    level.entries = in_blocks(k, s.codebook, q.size, q.dim, true);
    return level;
}

}  // namespace

Quantizer::Quantizer(const Kernels &k, Program program, const QuantizerSpec &spec)
    : size(spec.size), dim(spec.dim), latent(spec.latent), euclidean(spec.euclidean != 0) {
    const ChainSpec whole{spec.count, nullptr, nullptr};
    for (int64_t i = 0; euclidean && i < (spec.chains ? spec.chain_count : 1); ++i) {
        const ChainSpec &s = spec.chains ? spec.chains[i] : whole;
        QuantizerChain chain{s.levels, std::nullopt};
        const auto zero = [](int64_t) { return 0.0f; };
        if (program == Program::decode && s.out_weight)
            chain.project = pack_matrix(
                k, dim, latent, [&](int64_t d, int64_t c) { return s.out_weight[c * dim + d]; }, zero);
        else if (program == Program::encode && s.in_weight)
            chain.project = pack_matrix(
                k, latent, dim, [&](int64_t c, int64_t d) { return s.in_weight[d * latent + c]; }, zero);
        else if (dim != latent)
            throw std::invalid_argument("entries of Euclidean distance must be as wide as their chain's latents");
        chains.push_back(std::move(chain));
    }
    for (int64_t i = 0; i < spec.count; ++i) levels.push_back(pack_level(k, program, spec.levels[i], spec));
}

}  // namespace srvq

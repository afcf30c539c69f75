#include "plan/quantizer.hpp"

#include <algorithm>
#include <cmath>

namespace srvq {

namespace {

// Entries brought to length 1 in double precision, rounded once. The last block is padded with zeros.
Memory normalized(const Kernels &k, const float *codebook, int64_t size, int64_t dim) {
    const int64_t whole = round_up(size, k.width);
    Memory memory(static_cast<size_t>(whole * dim) * sizeof(float));
    for (int64_t e = 0; e < whole; ++e) {
        double squares = 0.0;
        for (int64_t d = 0; e < size && d < dim; ++d) {
            const double x = codebook[e * dim + d];
            squares += x * x;
        }
        const double length = std::max(std::sqrt(squares), 1e-12);
        for (int64_t d = 0; d < dim; ++d)
            memory.as()[(e / k.width * dim + d) * k.width + e % k.width] =
                e < size ? static_cast<float>(codebook[e * dim + d] / length) : 0.0f;
    }
    return memory;
}

QuantizerLevel pack_level(const Kernels &k, Program program, const LevelSpec &s, const QuantizerSpec &q) {
    QuantizerLevel level;
    level.codebook = Memory(static_cast<size_t>(q.size * q.dim) * sizeof(float));
    std::copy(s.codebook, s.codebook + q.size * q.dim, level.codebook.as());
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
    level.normalized = normalized(k, s.codebook, q.size, q.dim);
    return level;
}

}  // namespace

Quantizer::Quantizer(const Kernels &k, Program program, const QuantizerSpec &spec)
    : size(spec.size), dim(spec.dim), latent(spec.latent) {
    for (int64_t i = 0; i < spec.count; ++i) levels.push_back(pack_level(k, program, spec.levels[i], spec));
}

}  // namespace srvq

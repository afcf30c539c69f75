// Quantisers of Euclidean distance against plain loops: two chains of levels on one latent, with projections or without.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "plain_rows.hpp"
#include "steps.hpp"

namespace checks {

// Random levels: one of the first chain, three of the second.
struct Chains {
    static constexpr int64_t kLatent = 13, kSize = 35, kLevels = 4, kCounts[] = {1, 3};

    Chains(std::mt19937 &random, bool projected) : dim(projected ? 5 : kLatent) {
        for (int64_t i = 0; i < kLevels; ++i) books.push_back(numbers(random, kSize * dim));
        for (int64_t i = 0; i < 4; ++i) ends.push_back(numbers(random, kLatent * dim));
        for (const Floats &book : books) levels.push_back({nullptr, nullptr, book.data(), nullptr, nullptr});
        for (size_t i = 0; i < 2; ++i)
            chains.push_back({kCounts[i], projected ? ends[2 * i].data() : nullptr, projected ? ends[2 * i + 1].data() : nullptr});
    }
    srvq::QuantizerSpec spec() const { return {levels.data(), chains.data(), 2, kLevels, kSize, dim, kLatent, 1}; }

    int64_t dim;
    std::vector<Floats> books, ends;
    std::vector<srvq::LevelSpec> levels;
    std::vector<srvq::ChainSpec> chains;
};

// The entry with the greatest x · e − |e|²/2, the lowest on ties.
inline int64_t nearest(const float *book, int64_t dim, const Floats &x) {
    int64_t best = -1;
    float most = 0.0f;
    for (int64_t e = 0; e < Chains::kSize; ++e) {
        double squares = 0.0;
        for (int64_t d = 0; d < dim; ++d) squares += static_cast<double>(book[e * dim + d]) * book[e * dim + d];
        const float score = chain(static_cast<float>(-squares / 2.0), x.data(), book, e, dim);
        if (best < 0 || score > most) best = e, most = score;
    }
    return best;
}

// One frame: its codes, and what they stand for.
inline Floats quantized(const Chains &q, const Floats &latents, std::vector<int64_t> &codes) {
    Floats sum(latents.size());
    int64_t i = 0;
    for (const srvq::ChainSpec &side : q.chains) {
        Floats rest = latents, total(static_cast<size_t>(q.dim));
        if (side.in_weight) {
            rest.clear();
            for (int64_t d = 0; d < q.dim; ++d) rest.push_back(chain(0.0f, latents.data(), side.in_weight, d, Chains::kLatent));
        }
        for (const int64_t end = i + side.levels; i < end; ++i) {
            const float *const book = q.levels[static_cast<size_t>(i)].codebook;
            codes.push_back(nearest(book, q.dim, rest));
            for (size_t d = 0; d < rest.size(); ++d) {
                const float entry = book[codes.back() * q.dim + static_cast<int64_t>(d)];
                rest[d] = rest[d] - entry;
                (side.out_weight ? total : sum)[d] += entry;
            }
        }
        for (size_t j = 0; side.out_weight && j < sum.size(); ++j)
            sum[j] = sum[j] + chain(0.0f, total.data(), side.out_weight, static_cast<int64_t>(j), q.dim);
    }
    return sum;
}

// Through a convolution from eight samples to a latent, and one back. Returns the runners that differ.
inline std::vector<Runner> wrong_chains(const std::vector<Runner> &runners, int64_t frames, bool projected) {
    std::mt19937 random(9);
    const int64_t hop = 8, latent = Chains::kLatent, levels = Chains::kLevels;
    const Chains q(random, projected);
    const Floats in = numbers(random, latent * hop), out = numbers(random, latent), bias = numbers(random, latent);
    LayerSpec there{};
    there.kind = LayerKind::conv;
    there.cin = there.dilation = there.rate_out = there.groups = 1;
    there.cout = latent;
    there.kernel = there.stride = there.rate_in = hop;
    there.weight = in.data();
    there.bias = bias.data();
    LayerSpec back = there;
    back.cin = latent;
    back.cout = back.kernel = back.stride = back.rate_in = 1;
    back.weight = out.data();

    const Floats pcm = numbers(random, frames * hop);
    std::vector<int64_t> wanted(static_cast<size_t>(levels * frames)), codes(wanted.size());
    Floats samples, came(static_cast<size_t>(frames)), states(1);
    for (int64_t f = 0; f < frames; ++f) {
        Floats z;
        std::vector<int64_t> chosen;
        for (int64_t j = 0; j < latent; ++j) z.push_back(chain(bias[static_cast<size_t>(j)], pcm.data() + f * hop, in.data(), j, hop));
        samples.push_back(chain(bias[0], quantized(q, z, chosen).data(), out.data(), 0, latent));
        for (int64_t i = 0; i < levels; ++i) wanted[static_cast<size_t>(i * frames + f)] = chosen[static_cast<size_t>(i)];
    }
    const srvq::QuantizerSpec quantizer = q.spec();
    const int64_t slot = 0, clock = 0, open = -1;
    std::vector<Runner> wrong;
    for (const Runner &runner : runners) {
        const Engine engine = runner.engine();
        const bool right =
            set_plan(engine.get(), srvq::Program::encode, {there}, false, -1, &quantizer) &&
            set_plan(engine.get(), srvq::Program::decode, {back}, false, -1, &quantizer, 1, false) &&
            !srvq_step(engine.get(), 1, 1, frames, states.data(), nullptr, &slot, &clock, &open, pcm.data(), nullptr, levels,
                       codes.data(), nullptr) &&
            !srvq_step(engine.get(), 2, 1, frames, states.data(), nullptr, &slot, &clock, &open, nullptr, came.data(), levels,
                       codes.data(), nullptr) &&
            codes == wanted && std::memcmp(came.data(), samples.data(), samples.size() * sizeof(float)) == 0;
        if (!right) wrong.push_back(runner);
    }
    return wrong;
}

}  // namespace checks

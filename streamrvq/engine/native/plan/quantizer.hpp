// The residual vector quantiser's weights, packed for one program.
//
// Knows: the levels' matrices and codebooks. Does not know: how they are used (run/quantize.cpp).
#pragma once
#include <optional>
#include <vector>

#include "plan/pack.hpp"
#include "plan/spec.hpp"

namespace srvq {

struct QuantizerLevel {
    Matrix project_in;   // latents to a vector; only for encoding
    Matrix project_out;  // an entry to latents; for encoding negated, since an entry is taken off what is left
    Memory codebook;     // [size][dim]
    Memory entries;      // of length 1, or for Euclidean distance as they are, [block][dim][width]; only for encoding
    Memory bias;         // −|entry|²/2, padded to whole blocks; only for encoding by Euclidean distance
};

struct QuantizerChain {
    int64_t levels;
    std::optional<Matrix> project;  // latents to the chain's own, or back in decoding
};

struct Quantizer {
    Quantizer(const Kernels &k, Program program, const QuantizerSpec &spec);

    int64_t size, dim, latent;
    bool euclidean;  // an entry is taken off the chain's latents itself, without projections
    std::vector<QuantizerLevel> levels;
    std::vector<QuantizerChain> chains;  // of Euclidean distance
    int64_t count() const { return static_cast<int64_t>(levels.size()); }
};

}  // namespace srvq

// The residual vector quantiser: latents to codes and back, a few frames at a time.
//
// Knows: the levels' matrices. Does not know: streams, threads. All frames of a call go through a level together.
#pragma once
#include <vector>

#include "plan/pack.hpp"

namespace srvq {

// One level as Python hands it over, as in DAC's state dict: in_weight [dim][latent], book [size][dim],
// out_weight [latent][dim].
struct LevelSpec {
    const float *in_weight, *in_bias, *book, *out_weight, *out_bias;
};

class Quantizer {
public:
    static constexpr int64_t kFrames = 8;  // that a call takes at most

    Quantizer(const Kernels &k, const LevelSpec *specs, int64_t levels, int64_t size, int64_t dim, int64_t latent);

    int64_t levels() const { return static_cast<int64_t>(levels_.size()); }
    int64_t size() const { return size_; }
    int64_t dim() const { return dim_; }
    int64_t latent() const { return latent_; }
    int64_t scratch() const { return round_up(kFrames * 2 * dim_ + dim_, 16); }  // numbers that a call needs room for

    // z [frames][latent], which becomes what is left over; codes [levels][frames]; inner [frames][levels · dim] or null.
    void encode(float *z, int64_t frames, int64_t levels, int64_t *codes, float *inner, float *scratch) const;

    // codes [levels][frames], −1 where a level is missing; z [frames][latent].
    void decode(const int64_t *codes, int64_t frames, int64_t levels, float *z, float *scratch) const;

private:
    struct Level {
        Matrix in, out, out_negative;
        Memory book, unit;
    };
    void project(const Matrix &m, const float *in, int64_t frames, const float *join, float *to) const;

    const Kernels &kernels_;
    int64_t size_, dim_, latent_;
    std::vector<Level> levels_;
};

}  // namespace srvq

// Latents to codes and back, a few frames at a time.
//
// Knows: the levels one by one, each for all frames of a call at once. Does not know: streams, threads.
#pragma once
#include "run/workspace.hpp"

namespace srvq {

// z [frames][latent] becomes what is left over. codes [levels][frames]. latents [frames][levels · dim], or null.
void quantize(const Kernels &k, const Quantizer &q, float *z, int64_t frames, int64_t levels, int64_t *codes,
              float *latents, const QuantizerScratch &layout, char *scratch);

// z [latent] of one frame; codes [levels], −1 where a level is missing.
void dequantize(const Kernels &k, const Quantizer &q, const int64_t *codes, int64_t levels, float *z,
                const QuantizerScratch &layout, char *scratch);

}  // namespace srvq

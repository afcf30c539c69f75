// What a step is asked for.
#pragma once
#include <cstdint>

namespace srvq {

// Rows of a step, at most: streams · hops. Deep layers have one or eight rows a hop, and what they do is bound by reading
// their weights, which is done once for that many rows. Buffers grow with it: for dac-44khz by 0.2 MB a buffer and row.
constexpr int64_t kMaxRowHops = 32;

// `streams` of them by the same `hops`.
struct Request {
    int64_t streams, hops;
    float *const *states;  // [streams], each stream's histories
    const int64_t *clock, *length;
    const float *in;  // [streams][hops · rate][channels]; null when decoding
    float *out;       // [streams][hops · out_rate][out_channels]; null when encoding
    int64_t in_stride, out_stride;
    int64_t levels;  // of the quantiser
    int64_t *codes;  // [streams][levels][code_stride]; written when encoding, read when decoding
    int64_t code_stride;
    float *latents;  // [streams][levels · dim][code_stride] or null
};

// A call of more rows · hops than kMaxRowHops runs in parts within that limit. They are as equal as can be, since a small
// rest would read all weights for itself.
struct Parts {
    int64_t rows, hops;
};
Parts parts_of(int64_t rows, int64_t hops);

}  // namespace srvq

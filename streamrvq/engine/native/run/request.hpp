// What a step is asked for.
#pragma once
#include <cstdint>

namespace srvq {

// The most streams · hops of one step. Deep layers have only one to eight rows a hop, and spend their time on reading their
// weights. A step reads them once for all its rows, so more rows are cheaper. But each buffer grows with the limit: for
// dac-44khz by 0.2 MB for each of the 32.
constexpr int64_t kMaxStreamHops = 32;

// One step moves each of `streams` streams on by `hops` hops.
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

// A call of more streams · hops than kMaxStreamHops runs in parts. The parts are as equal as can be, because even a small
// one reads all weights. These are the streams and hops of the largest part.
struct Parts {
    int64_t streams, hops;
};
Parts parts_of(int64_t streams, int64_t hops, int64_t least = 1);  // least: hops that no part may fall below, but the last

}  // namespace srvq
